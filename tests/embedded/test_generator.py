"""The embedded model with its own weights and with those of a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from occlusionformer.embedded.build import BACKBONE_FILE, BRANCH_FILE
from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.generation import GenerationRequest, load_generator
from occlusionformer.layout import Box, Instance, Layout

LAYOUT = Layout(
    prompt="a plain wall",
    width=64,
    height=64,
    instances=(Instance(id="a", caption="a dog", box=Box(0.1, 0.1, 0.8, 0.9)),),
)


def folder_with(place: Path, *names: str) -> Path:
    for name in names:
        shutil.copy(EMBEDDED.weights / name, place / name)
    return place


def picture(model: str) -> np.ndarray:
    request = GenerationRequest(layout=LAYOUT, seed=1, steps=1)
    return np.asarray(load_generator(model).generate([request])[0].image)


def test_the_weights_of_a_folder_decide_the_picture(tmp_path: Path):
    folder_with(tmp_path, BACKBONE_FILE, BRANCH_FILE)
    packaged = picture("embedded")
    assert (picture(f"embedded:{tmp_path}") == packaged).all()
    weights = load_file(tmp_path / BACKBONE_FILE)
    save_file({name: torch.zeros_like(value) for name, value in weights.items()}, tmp_path / BACKBONE_FILE)
    assert (picture(f"embedded:{tmp_path}") != packaged).any()


def test_the_prompt_of_a_layout_is_its_background_alone():
    """Objects are read from their captions; among the words of the background theirs would mix with it."""
    request = GenerationRequest(layout=LAYOUT, seed=1, steps=1)
    assert load_generator("embedded").generate([request])[0].provenance["prompt"] == "a plain wall"


def test_what_a_folder_lacks_is_told(tmp_path: Path):
    with pytest.raises(ValueError, match=r"without backbone\.safetensors and branch\.safetensors$"):
        load_generator(f"embedded:{tmp_path}")
    with pytest.raises(ValueError, match=r"without backbone\.safetensors$"):
        load_generator(f"embedded:{folder_with(tmp_path, BRANCH_FILE)}")


def test_the_weights_of_another_model_are_refused(tmp_path: Path):
    folder_with(tmp_path, BACKBONE_FILE, BRANCH_FILE)
    weights = load_file(tmp_path / BRANCH_FILE)
    name = sorted(weights)[0]
    save_file(
        {**{key: value for key, value in weights.items() if key != name}, "x": torch.zeros(1)}, tmp_path / BRANCH_FILE
    )
    with pytest.raises(ValueError, match=rf"{name}: missing, expected shape .*\n.*x: unexpected, shape \(1,\)$"):
        load_generator(f"embedded:{tmp_path}")
    (tmp_path / BRANCH_FILE).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"branch\.safetensors: not a safetensors file"):
        load_generator(f"embedded:{tmp_path}")


def test_boxes_without_width_in_fp32_are_drawn():
    boxes = (Box(0.5, 0.5, 0.5 + 1e-11, 0.5 + 1e-11), Box(0, 0, 5e-324, 1))
    instances = tuple(Instance(id=str(place), caption="a red apple", box=box) for place, box in enumerate(boxes))
    layout = Layout(prompt="a plain yellow background", width=128, height=128, instances=instances)
    [result] = load_generator("embedded").generate([GenerationRequest(layout=layout, seed=1, steps=1)])
    assert result.image.size == (128, 128)
