"""Numbers of numpy wherever a layout or request takes a number; booleans never count as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from occlusionformer.generation import GenerationRequest, RequestError
from occlusionformer.layout import Depths, Instance, Layout, LayoutError, Polygon, RunLength, read_layout
from occlusionformer.layout.numeric import plain_number
from tests.tables import for_each

WHOLE = [np.int64, np.int32, np.uint8, np.uint16]
REAL = [np.float64, np.float32, np.float16]
CAT = {"id": "a", "caption": "a cat", "box": [0, 0, 1, 1]}


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_numbers(kind):
    layout = Layout(version=kind(1), prompt="a", width=kind(128), height=kind(64), seed=kind(7))
    assert layout == Layout(prompt="a", width=128, height=64, seed=7)
    assert {type(layout.width), type(layout.seed), type(layout.version)} == {int}
    request = GenerationRequest(layout=layout, seed=kind(3), width=kind(64), height=kind(32), steps=kind(2))
    assert (request.seed, request.canvas, request.steps) == (3, (64, 32), 2)
    assert {type(request.seed), type(request.width), type(request.steps)} == {int}
    assert RunLength(size=(kind(1), kind(2)), counts=[kind(1), kind(1)]) == RunLength(size=(1, 2), counts=[1, 1])


@for_each("kind", [*REAL, *WHOLE])
def test_real_numbers(kind):
    zero, one = kind(0), kind(1)
    region = {"points": [[zero, zero], [one, zero], [one, one]]}
    instance = Instance(id="a", caption="a cat", box=(zero, zero, one, one), region=region, opacity=one)
    assert instance == Instance(id="a", caption="a cat", box=(0, 0, 1, 1), region=Polygon.model_validate(
        {"points": [[0, 0], [1, 0], [1, 1]]}))  # fmt: skip
    assert Depths(depths={"a": one}) == Depths(depths={"a": 1.0})
    layout = Layout(prompt="a", width=64, height=64, instances=[CAT], order={"depths": {"a": one}})
    request = GenerationRequest(layout=layout, guidance=one, grounding_ratio=one, strength=one)
    assert {type(request.guidance), type(request.grounding_ratio), type(request.strength)} <= {int, float}


def test_documents_of_every_format():
    published = {
        "prompt": "a", "width": np.int64(64), "height": np.int32(48), "seed": np.int64(2),
        "annos": [{"bbox": tuple(np.array([0, 0, 32, 24])), "caption": "a cat", "occludes": [np.int64(2)]},
                  {"bbox": list(np.array([0.0, 0.0, 32.0, 24.0])), "caption": "a dog"}],
    }  # fmt: skip
    layout = read_layout(published, "published")
    assert (layout.width, layout.height, layout.seed) == (64, 48, 2)
    assert layout.zorder is not None
    assert layout.zorder.edges == {(0, 1)}
    matrix = np.array([[0, 1], [0, 0]])
    sa_z = {
        "prompt": "a", "width": np.int64(64), "height": np.int64(64), "pred_order": [list(row) for row in matrix],
        "mask_annotation": [{"id": np.int64(k), "bbox": list(np.arange(1, 5)), "caption": "a"} for k in range(2)],
    }  # fmt: skip
    assert read_layout(sa_z, "sa-z").zorder == layout.zorder


@for_each(
    ("fields", "problem"),
    [
        ({"width": np.bool_(True)}, "width: expected a whole number, got np.True_"),
        ({"width": np.float64(64)}, "width: expected a whole number, got 64.0"),
        ({"width": np.float32(64)}, "width: expected a whole number, got 64.0"),
        ({"width": np.int64(0)}, "width: expected at least 1, got 0"),
        ({"seed": np.int64(-1)}, "seed: expected at least 0, got -1"),
        (
            {"instances": [{**CAT, "opacity": np.float32("nan")}]},
            "instances[0].opacity: expected a finite number, got nan",
        ),
        ({"version": np.int64(2)}, "version: expected 1, got 2"),
    ],
)
def test_what_is_wrong_is_told_of_them_as_of_others(fields, problem):
    with pytest.raises(LayoutError) as caught:
        Layout(**{"prompt": "a", "width": 64, "height": 64, **fields})
    assert caught.value.problems == [problem]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"seed": np.bool_(True)}, f"seed: expected a whole number from 0 to {2**63 - 1}, got np.True_"),
        ({"seed": np.float32(1)}, f"seed: expected a whole number from 0 to {2**63 - 1}, got 1.0"),
        ({"steps": np.int64(0)}, "steps: expected a whole number from 1 to 1000, got 0"),
        ({"strength": np.float32("nan")}, "strength: expected a finite number of at least 0, got nan"),
        ({"strength": np.bool_(True)}, "strength: expected a finite number of at least 0, got np.True_"),
    ],
)
def test_requests_refuse_what_is_no_such_number(fields, problem):
    with pytest.raises(RequestError) as caught:
        GenerationRequest(layout=Layout(prompt="a", width=64, height=64), **fields)
    assert caught.value.problems == [problem]


def test_other_values_stay_what_they_are():
    for value in (True, "1", None, 5, 0.5, [np.int64(1)]):
        assert plain_number(value) is value
