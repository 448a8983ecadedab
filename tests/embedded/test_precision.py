"""The embedded model in bf16: the pictures of float32 but for rounding, and a record that says which it was."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from occlusionformer.embedded.generator import EmbeddedGenerator, load_embedded
from occlusionformer.embedded.text import packaged_reader
from occlusionformer.generation import GenerationRequest, load_generator
from occlusionformer.layout import Box, Instance, Layout, read_layout
from occlusionformer.model.precision import CPU_INSTRUCTIONS
from tests.structure.sources import ROOT
from tests.tables import for_each

NEAR = 46.0
"""dB of PSNR: pictures of the examples have 51.9 to 53.0 (no channel differs by more than 6 of 255)."""
MOST = 16
"""Of 255, of any channel."""
LAYOUTS = ("two-fruits", "ring-of-toys", "scenes/in-the-sky", "scenes/desert-rally")


@pytest.fixture(scope="module")
def drawers() -> dict[str, EmbeddedGenerator]:
    return {precision: load_embedded(None, precision=precision) for precision in ("fp32", "bf16")}


def small(*captions: str) -> Layout:
    """Over a background of the vocabulary: of one that no text tells, "a plain wall", pictures are 40 dB apart."""
    instances = [
        Instance(id=str(place), caption=caption, box=Box(0.1 + 0.2 * place, 0.2, 0.5 + 0.2 * place, 0.9))
        for place, caption in enumerate(captions)
    ]
    return Layout(prompt="a wooden table", width=64, height=64, instances=tuple(instances))


@pytest.mark.slow
@for_each("name", LAYOUTS)
def test_pictures_in_bf16_are_near_those_in_float32(drawers, name):
    layout = read_layout(ROOT / "examples" / f"{name}.json")
    request = GenerationRequest(layout=layout, seed=7, want_masks=True, nearest_size=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # torch warns of kernels that do not fit the format
        exact, near = (drawers[precision].generate([request])[0] for precision in ("fp32", "bf16"))
    error = np.asarray(near.image).astype(float) - np.asarray(exact.image)
    assert 20 * np.log10(255) - 10 * np.log10(np.square(error).mean()) > NEAR
    assert 0 < np.abs(error).max() <= MOST
    for found, expected in zip(near.instance_masks, exact.instance_masks, strict=True):
        assert found.dtype == expected.dtype == np.float32
        assert np.abs(found - expected).max() < 0.02


def test_a_small_picture_in_bf16_is_near_and_the_same_every_time(drawers):
    request = GenerationRequest(layout=small("a dog", "a red vase"), seed=3, steps=2)
    exact, first, again = (drawers[name].generate([request])[0] for name in ("fp32", "bf16", "bf16"))
    assert first.png() == again.png()
    error = np.asarray(first.image).astype(float) - np.asarray(exact.image)
    assert 20 * np.log10(255) - 10 * np.log10(np.square(error).mean()) > NEAR
    assert (exact.provenance["dtype"], first.provenance["dtype"]) == ("float32", "bfloat16")


def test_float32_is_float32_under_the_autocast_of_a_caller(drawers):
    request = GenerationRequest(layout=small("a dog"), seed=3, steps=1)
    expected = drawers["fp32"].generate([request])[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert drawers["fp32"].generate([request])[0].png() == expected.png()


def test_words_mean_the_same_under_autocast():
    read = packaged_reader()
    texts = ["a vintage tram by the sea", "a blue vase", "a race car", "an unheard-of gizmo"]
    expected = read(texts)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(read(texts), expected)


@for_each("having", [None, *CPU_INSTRUCTIONS])
def test_auto_is_bf16_where_the_processor_is_faster_in_it(drawers, having, monkeypatch):
    for name in CPU_INSTRUCTIONS:
        monkeypatch.setattr(torch.cpu, name, lambda has=name == having: has, raising=False)
    drawn_by = EmbeddedGenerator(drawers["fp32"].pipeline, model="embedded")
    assert drawn_by.dtype == ("bfloat16" if having else "float32")


def test_another_precision_is_refused(drawers):
    said = "^precision: expected auto, fp32 or bf16, got 'fp16'$"
    with pytest.raises(ValueError, match=said):
        load_embedded(None, precision="fp16")
    with pytest.raises(ValueError, match=said):
        load_generator("embedded", precision="fp16")
    with pytest.raises(ValueError, match=said):
        EmbeddedGenerator(drawers["fp32"].pipeline, model="embedded", precision="fp16")
