from __future__ import annotations

import numpy as np
import pytest

from occlusionformer.evaluation.metrics.difficulty import overlay_score_of_embeddings
from occlusionformer.evaluation.metrics.grounding import grounding, grounding_counts
from occlusionformer.evaluation.metrics.language import (
    Count,
    attribute_counts,
    clip_similarity,
    cosine,
    is_yes,
    successes,
)
from occlusionformer.layout import Box, Instance, Layout, LayoutError
from tests.tables import for_each


def test_success_counts_every_key_once():
    assert successes({"cat": "Yes", "dog": "no", "cow": "yes"}, ["cat", "dog", "hen"]) == (1, 3)
    assert successes({}, ["cat"]) == (0, 1)


@pytest.mark.parametrize("answer", ["yes", "YES", "Yes"])
def test_yes(answer):
    assert is_yes(answer)


@for_each("answer", ["no", "yes.", "", None, True, 1, ["yes"]])
def test_anything_else_is_no(answer):
    assert not is_yes(answer)


def test_what_is_not_there_has_no_attributes():
    answers = {
        "cat": {"spatial": "yes", "color": "yes", "texture": "no", "shape": "yes"},
        "dog": {"spatial": "no", "color": "yes", "texture": "yes", "shape": "yes"},
    }
    assert attribute_counts(answers, ["cat", "dog", "hen"]) == {
        "spatial": (1, 3),
        "color": (1, 3),
        "texture": (0, 3),
        "shape": (1, 3),
    }


def test_grounding_takes_the_best_box_and_drops_poor_ones():
    boxes = [(0, 0, 10, 10), (0, 0, 10, 10), (20, 20, 30, 30)]
    found = {"cat": [(0, 0, 10, 9), (0, 0, 10, 10)], "dog": [(20, 20, 30, 24.9)]}
    overlaps = grounding(boxes, ["cat", "cat", "dog"], found)
    assert overlaps == [1.0, 1.0, 0.0]
    assert grounding([(0, 0, 10, 10)], ["cat"], {"cat": [(0, 0, 10, 5)]}) == [0.5]


def test_grounding_weighs_attributes_with_the_overlap():
    answers = {"a": {"color": "yes", "shape": "no"}, "b": {"color": "yes", "texture": "yes"}}
    assert grounding_counts([0.5, 0.75], answers, ["a", "b"]) == {
        "miou": (1.25, 2),
        "color": (1.25, 2),
        "texture": (0.75, 2),
        "shape": (0.0, 2),
    }


def test_clip_similarity_leaves_out_instances_without_a_crop():
    assert clip_similarity([0.25, None, 0.5]) == Count(0.75, 2)
    assert clip_similarity([None]) == Count(0.0, 0)


def test_cosine():
    assert cosine([3, 0], [4, 0]) == 1.0
    assert cosine([1, 1], [1, -1]) == pytest.approx(0)
    with pytest.raises(ValueError, match="expected two finite embeddings of one length, not zero"):
        cosine([0, 0], [1, 0])


def test_overlay_score_by_hand():
    """Overlap 1/3 times cosine 0.6; the third box meets none."""
    boxes = [Box(0, 0, 0.5, 0.5), Box(0.25, 0, 0.75, 0.5), Box(0.8, 0.8, 1, 1)]
    instances = tuple(Instance(id=str(i), caption=f"thing {i}", box=box) for i, box in enumerate(boxes))
    layout = Layout(prompt="things", width=64, height=64, instances=instances)
    assert overlay_score_of_embeddings(layout, [[1, 0], [3, 4], [1, 0]]) == pytest.approx(0.2)
    with pytest.raises(LayoutError, match="embeddings: expected 3 rows"):
        overlay_score_of_embeddings(layout, np.eye(2))
