"""The command that draws a layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlusionformer.generation import read_provenance, registry
from occlusionformer.layout import FORMATS, read_layout
from occlusionformer.layout.problems import one_of
from tests.apps.conftest import Command
from tests.apps.examples import DRAWABLE, TWO_FRUITS, format_of
from tests.apps.painter import Painter, colour_of


def test_there_are_enough_examples_from_two_boxes_to_thirty():
    counts = [len(read_layout(path, format_of(path)).instances) for path in DRAWABLE]
    assert len(counts) >= 8
    assert (min(counts), max(counts)) == (2, 30)


@pytest.mark.parametrize("path", DRAWABLE, ids=lambda path: path.stem)
def test_every_example_is_drawn(path: Path, run: Command, painter: Painter, folder: Path):
    result = run("generate", path, "--format", format_of(path))
    assert (result.code, result.err) == (0, "")
    assert [entry.name for entry in folder.iterdir()] == ["out.png"]
    layout = read_layout(path, format_of(path))
    assert Image.open("out.png").size == (layout.width, layout.height) == (256, 256)
    assert painter.requests[0].layout == layout


def test_options_reach_the_model(run: Command, painter: Painter, folder: Path):
    numbers = {"seed": 5, "steps": 9, "guidance": 2.5, "grounding_ratio": 0.4, "strength": 0.7}
    options = [text for name, value in numbers.items() for text in (f"--{name.replace('_', '-')}", value)]
    result = run("generate", TWO_FRUITS, "--model", "some:thing", "--size", "64x96", *options)
    assert result.code == 0
    record = read_provenance("out.png")
    assert {name: record[name] for name in numbers} == numbers
    assert (record["model"], record["width"], record["height"]) == ("some:thing", 64, 96)
    assert Image.open("out.png").size == (64, 96)


def test_the_embedded_model_and_the_seed_of_the_layout_are_the_defaults(run: Command, painter: Painter, folder: Path):
    result = run("generate", TWO_FRUITS)
    assert result.out == "out.png (256 x 256, model embedded, seed 7, 4 steps, 0.0 s)\n"
    assert painter.requests[0].want_masks is False


def test_a_picture_is_drawn_again_from_its_own_record(
    run: Command, painter: Painter, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(registry, "_installed", lambda: {"embedded": [], "other": []})
    run(
        "generate",
        TWO_FRUITS,
        "--output",
        "first.png",
        "--model",
        "other",
        "--seed",
        11,
        "--steps",
        3,
        "--strength",
        0.5,
    )
    result = run("generate", "first.png", "--output", "again.png")
    assert (result.code, result.err) == (0, "")
    assert Path("again.png").read_bytes() == Path("first.png").read_bytes()
    assert painter.model == "other"


def test_options_override_the_record_of_a_picture(run: Command, painter: Painter, folder: Path):
    run("generate", TWO_FRUITS, "--output", "first.png", "--seed", 11, "--steps", 3)
    run("generate", "first.png", "--output", "again.png", "--seed", 12, "--model", "other")
    record = read_provenance("again.png")
    assert (record["seed"], record["steps"], record["model"]) == (12, 3, "other")


def test_other_versions_than_the_picture_was_drawn_with_are_told(run: Command, painter: Painter, folder: Path):
    run("generate", TWO_FRUITS, "--output", "first.png")
    painter.torch_version = "2"
    result = run("generate", "first.png", "--json")
    assert result.code == 0
    assert result.err == "pixels may differ from the picture that is repeated: torch was 1, is 2\n"
    assert result.json["output"] == "out.png"


def test_masks_and_overlay_lie_beside_the_picture(run: Command, painter: Painter, folder: Path):
    result = run("generate", TWO_FRUITS, "--output", "fruit.png", "--masks", "--overlay")
    assert result.code == 0
    names = ["fruit-mask-1-apple.png", "fruit-mask-2-pear.png", "fruit-overlay.png", "fruit.png"]
    assert sorted(entry.name for entry in folder.iterdir()) == names
    mask = np.asarray(Image.open("fruit-mask-1-apple.png"))
    x1, y1, x2, y2 = read_layout(TWO_FRUITS).instances[0].box.pixels(256, 256)
    expected = np.zeros((256, 256), np.uint8)
    expected[y1:y2, x1:x2] = 255
    assert (mask == expected).all()
    assert Image.open("fruit-overlay.png").width == 768


def test_ids_that_are_no_file_names(run: Command, painter: Painter, folder: Path):
    text = TWO_FRUITS.read_text().replace('"apple"', '"../../a b"').replace('"pear"', '"梨"')
    (folder / "layout.json").write_text(text)
    assert run("generate", "layout.json", "--masks").code == 0
    assert sorted(p.name for p in folder.glob("out-*")) == ["out-mask-1-a_b.png", "out-mask-2.png"]


def test_json_is_all_there_is_on_stdout(run: Command, painter: Painter, folder: Path):
    result = run("generate", TWO_FRUITS, "--masks", "--overlay", "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json["output"] == "out.png"
    assert result.json["overlay"] == "out-overlay.png"
    assert result.json["masks"] == ["out-mask-1-apple.png", "out-mask-2-pear.png"]
    assert result.json["provenance"] == read_provenance("out.png")


def test_the_front_instance_is_seen_where_boxes_overlap(run: Command, painter: Painter, folder: Path):
    run("generate", TWO_FRUITS)
    assert Image.open("out.png").getpixel((128, 128)) == colour_of(0)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--steps", "0", "steps: expected a whole number from 1 to 1000, got 0"),
        ("--grounding-ratio", "1.5", "grounding_ratio: expected a number from 0 to 1, got 1.5"),
        ("--size", "64", "size: expected WIDTHxHEIGHT in pixels, as in 640x480, got '64'"),
        ("--precision", "fp16", "precision: expected auto, fp32 or bf16, got 'fp16'"),
        ("--format", "yaml", f"format: expected {one_of(FORMATS)}, got 'yaml'"),
        ("--cycles", "allow", "cycles: not an option of the native format"),
        ("--output", "nowhere/a.png", "output: expected a file in an existing folder, got 'nowhere/a.png'"),
    ],
)
def test_bad_options(option: str, value: str, message: str, run: Command, painter: Painter, folder: Path):
    result = run("generate", TWO_FRUITS, option, value)
    assert (result.code, result.out, result.err) == (2, "", message + "\n")
    assert list(folder.iterdir()) == []
    assert painter.requests == []


def test_bad_input_files(run: Command, folder: Path):
    Image.new("RGB", (8, 8)).save("plain.png")
    assert run("generate", "missing.json").err == "missing.json: no such file\n"
    assert run("generate", folder).err == f"{folder}: expected a file, got a folder\n"
    result = run("generate", "plain.png")
    assert (result.code, result.err) == (
        2,
        "plain.png: expected a PNG with a text chunk 'occlusionformer', found none\n",
    )
    (folder / "words.json").write_text("a cat on a mat")
    result = run("generate", "words.json")
    assert (result.code, "line 1, column 1: not JSON" in result.err) == (2, True)


def test_a_document_of_several_layouts_is_no_picture(run: Command, folder: Path):
    layout = json.loads(TWO_FRUITS.read_text())
    (folder / "many.json").write_text(json.dumps([layout, layout]))
    result = run("generate", "many.json")
    assert (result.code, result.err) == (2, "expected a document with one layout, got 2\n")


def test_an_unknown_model_is_named(run: Command, folder: Path):
    result = run("generate", TWO_FRUITS, "--model", "nothing")
    assert result.code == 2
    assert result.err.startswith("model: expected a local folder or one of (")
    assert result.err.endswith("got 'nothing'\n")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("step", [1, 3])
def test_interrupting_a_step_leaves_no_file(step: int, run: Command, painter: Painter, folder: Path):
    painter.interrupted_in_step = step
    result = run("generate", TWO_FRUITS, "--masks", "--overlay")
    assert (result.code, result.out, result.err) == (130, "", "interrupted: nothing was written\n")
    assert list(folder.iterdir()) == []


def test_a_failure_while_writing_takes_back_what_is_new(
    run: Command, painter: Painter, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    (folder / "out-overlay.png").write_bytes(b"older")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("occlusionformer.generation.result.write_atomic", full)
    result = run("generate", TWO_FRUITS, "--masks", "--overlay")
    assert (result.code, result.err) == (1, "OSError: [Errno 28] No space left on device\n")
    assert [entry.name for entry in folder.iterdir()] == ["out-overlay.png"]


def test_failures_of_the_model_as_text_and_json(run: Command, painter: Painter, folder: Path):
    painter.raises = RuntimeError("out of memory")
    result = run("generate", TWO_FRUITS)
    assert (result.code, result.err) == (1, "RuntimeError: out of memory\n")
    result = run("generate", TWO_FRUITS, "--json")
    assert (result.code, result.json, result.err) == (1, {"error": "RuntimeError: out of memory"}, "")
    painter.raises = ValueError("width: expected a multiple of 16, got 100")
    result = run("generate", TWO_FRUITS)
    assert (result.code, result.err) == (2, "width: expected a multiple of 16, got 100\n")
    assert list(folder.iterdir()) == []


def test_a_canvas_that_the_model_cannot_draw(run: Command, painter: Painter, folder: Path):
    document = {"prompt": "a", "width": 1500, "height": 1008, "annos": [{"bbox": [0, 0, 750, 500], "caption": "a cat"}]}
    (folder / "odd.json").write_text(json.dumps(document))
    painter.side_multiple = 16
    result = run("generate", "odd.json", "--format", "published")
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines() == [
        "width: expected a multiple of 16, got 1500; the nearest is 1504",
        "size: --size 1504x1008 draws the whole layout in the nearest size, as does --size nearest",
    ]
    assert [path.name for path in folder.iterdir()] == ["odd.json"]
    for size in ("nearest", "1504x1008"):
        assert run("generate", "odd.json", "--format", "published", "--size", size).code == 0
        assert Image.open("out.png").size == (1504, 1008)
        assert read_provenance("out.png")["layout"]["width"] == 1500
    result = run("orders", "odd.json", "--format", "published", "-o", "sheet.png", "--size", "1x")
    assert (result.code, result.err) == (2, "size: expected WIDTHxHEIGHT in pixels, as in 640x480, got '1x'\n")


def test_our_own_mistakes_keep_their_traceback(painter: Painter, folder: Path):
    from occlusionformer.apps.cli import main

    painter.raises = AssertionError("ours")
    with pytest.raises(AssertionError, match="ours"):
        main(["generate", str(TWO_FRUITS)])


def test_a_model_without_masks(run: Command, painter: Painter, folder: Path):
    painter.gives_masks = False
    result = run("generate", TWO_FRUITS, "--masks")
    assert (result.code, result.err) == (1, "RuntimeError: masks: this model gives none\n")
    assert list(folder.iterdir()) == []
