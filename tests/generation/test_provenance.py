"""Pictures carry where they come from."""

from __future__ import annotations

import json
import os

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from occlusionformer.generation import (
    GeneratedImage,
    GenerationRequest,
    ProvenanceError,
    parse_provenance,
    read_provenance,
    request_to_repeat,
)
from tests.generation.layouts import cat_and_vase


def record(**fields):
    values = {
        "format": 1,
        "model": "embedded",
        "versions": {"occlusionformer": "0.1.0", "torch": "2.8", "diffusers": "0.40", "transformers": "5.0"},
        "layout": cat_and_vase().model_dump(mode="json"),
        "prompt": "a sunny room, a tabby cat — asleep, a blue vase",
        "seed": 2**63 - 1,
        "width": 64,
        "height": 48,
        "steps": 12,
        "guidance": 1.0,
        "grounding_ratio": 0.3,
        "strength": 0.1 + 0.2,
        "device": "cpu",
        "dtype": "float32",
    }
    return {**values, **fields}


def generated(**fields) -> GeneratedImage:
    image = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    return GeneratedImage(image=image, instance_masks=None, weights=None, timings={}, provenance=record(**fields))


def test_png_round_trip_is_exact(tmp_path):
    result = generated()
    result.save(tmp_path / "picture.png")
    assert read_provenance(tmp_path / "picture.png") == result.provenance
    with Image.open(tmp_path / "picture.png") as image:
        assert image.format == "PNG"
        assert image.tobytes() == result.image.tobytes()


def test_record_is_a_plain_text_chunk_of_ascii(tmp_path):
    generated().save(tmp_path / "picture.png")
    data = (tmp_path / "picture.png").read_bytes()
    start = data.index(b"tEXtocclusionformer\0") + len(b"tEXtocclusionformer\0")
    length = int.from_bytes(data[start - 24 : start - 20], "big") - len("occlusionformer\0")
    assert json.loads(data[start : start + length].decode("ascii")) == record()


def test_large_layout_survives(tmp_path):
    cat = cat_and_vase().instances[0]
    many = [cat.model_copy(update={"id": f"cat {n}", "caption": "a cat " * 40}) for n in range(5000)]
    layout = cat_and_vase(instances=tuple(many), order=None).model_dump(mode="json")
    generated(layout=layout).save(tmp_path / "picture.png")
    assert read_provenance(tmp_path / "picture.png")["layout"] == layout


def test_request_repeats_every_setting():
    request = request_to_repeat(parse_provenance(json.dumps(record())))
    assert request == GenerationRequest(
        layout=cat_and_vase(), seed=2**63 - 1, width=64, height=48, steps=12, guidance=1.0, grounding_ratio=0.3,
        strength=0.1 + 0.2,
    )  # fmt: skip


def test_existing_picture_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    generated(seed=1).save(path)
    before = path.read_bytes()

    def no_room(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="no space"):
        generated(seed=2).save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"path: expected a name ending in \.png, got '.*picture\.jpg'"):
        generated().save(tmp_path / "picture.jpg")


def test_picture_without_a_record_is_named(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    with pytest.raises(ProvenanceError, match=r"plain\.png: expected a PNG with a text chunk 'occlusionformer'"):
        read_provenance(tmp_path / "plain.png")


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "notes.png").write_text("not a picture")
    with pytest.raises(ProvenanceError, match=r"notes\.png: expected a PNG picture"):
        read_provenance(tmp_path / "notes.png")


def test_broken_record_tells_every_problem(tmp_path):
    broken = record(steps="many", width=None, colour="blue")
    del broken["seed"]
    chunk = PngInfo()
    chunk.add_text("occlusionformer", json.dumps(broken))
    Image.new("RGB", (4, 4)).save(tmp_path / "broken.png", pnginfo=chunk)
    with pytest.raises(ProvenanceError) as caught:
        read_provenance(tmp_path / "broken.png")
    assert {line.split(":")[0] for line in str(caught.value).splitlines()} == {"steps", "width", "colour", "seed"}


def test_record_of_a_later_format_is_refused():
    with pytest.raises(ProvenanceError, match="format: expected 1, got 2"):
        parse_provenance(json.dumps(record(format=2)))


def test_record_with_a_wrong_layout_is_refused():
    layout = {**record()["layout"], "width": -1}
    with pytest.raises(ValueError, match="width"):
        request_to_repeat(parse_provenance(json.dumps(record(layout=layout))))
