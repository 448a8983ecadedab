"""The example workflows are what ComfyUI knows them to be, and run from the loaders to the saved picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.comfy.headless import executed, tiny_host
from tests.comfy.workflows import EXAMPLES, WORKFLOWS, as_prompt, texts

PICTURES = {"from_a_layout": 1, "boxes_and_masks": 1, "order_sheet": 3, "with_a_reference": 1}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Path]:
    with tiny_host(tmp_path) as output:
        yield output


def test_saved_workflows_are_those_that_are_put_together(host: Path):
    """`python -m tests.comfy.workflows` writes them anew."""
    assert {path.name: path.read_text() for path in EXAMPLES.glob("*.json")} == {
        path.name: text for path, text in texts()
    }


def small(prompt: dict[str, Any]) -> dict[str, Any]:
    """Two steps on a canvas of 128 x 96, everything else as saved."""
    for node in prompt.values():
        inputs = node["inputs"]
        if "steps" in inputs:
            inputs["steps"] = 2
        if inputs.get("document"):
            inputs["document"] = inputs["document"].replace("1024", "128").replace("768", "96")
        if inputs.get("width") == 1024:
            inputs |= {"width": 128, "height": 96}
    return prompt


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_every_workflow_runs(name: str, host: Path):
    prompt = small(as_prompt(json.loads((EXAMPLES / f"{name}.json").read_text())))
    executed(prompt)
    pictures = sorted(host.glob("*.png"))
    assert len(pictures) == PICTURES[name]
    arrays = [np.asarray(Image.open(picture)) for picture in pictures]
    assert {array.shape for array in arrays} == {(96, 128, 3)}
    assert all(10 < array.mean() < 245 for array in arrays), "not a picture"
    assert all((first != other).any() for first, other in pairwise(arrays)), "orders look the same"
    strengths = [node["inputs"] for node in prompt.values() if "strength" in node["inputs"]]
    for inputs in strengths:
        inputs["strength"] = 0.0
        inputs["masks"] = False
    without = {number: node for number, node in prompt.items() if "Masks" not in node["class_type"]}
    without = {n: node for n, node in without.items() if not _needs(node, prompt.keys() - without.keys(), prompt)}
    executed(without)
    plain = np.asarray(Image.open(sorted(host.glob("*.png"))[len(pictures)]))
    assert (plain != arrays[0]).any(), "the layout does nothing"


def _needs(node: dict[str, Any], missing: set[str], prompt: dict[str, Any]) -> bool:
    """Whether a node is, directly or not, behind a missing one."""
    links = [value[0] for value in node["inputs"].values() if isinstance(value, list)]
    return any(link in missing or _needs(prompt[link], missing, prompt) for link in links)


def test_every_workflow_has_a_picture_of_its_size():
    for name in WORKFLOWS:
        with Image.open(EXAMPLES / f"{name}.jpg") as picture:
            assert picture.width > 1000, name
