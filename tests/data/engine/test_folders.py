"""A folder of pictures and notes as the engine finds it: endings in capitals, files of other systems, odd notes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from occlusionformer.data.engine.plan import FolderSourcePlan
from occlusionformer.data.engine.running import load_items
from occlusionformer.data.engine.sources import FolderItems
from tests.data.engine.pictures import rectangle, write_picture
from tests.pictures.files import encoded, huge_png, turned
from tests.tables import for_each

MASKS = [rectangle(1, 1, 9, 9), rectangle(9, 1, 20, 9)]


def source(folder: Path, **settings: str) -> FolderItems:
    return FolderItems(FolderSourcePlan(images=".", dataset="d", **settings), folder)


def reason(folder: Path) -> str:
    """Why the only picture of a folder is broken."""
    (item,) = load_items(source(folder), [0])
    assert item.failure is not None
    return item.failure.reason


def test_endings_in_capitals_and_packed_notes_belong_together(tmp_path: Path):
    for name in ("a", "b", "c"):
        write_picture(tmp_path, name, MASKS)
    (tmp_path / "a.png").rename(tmp_path / "a.PNG")
    (tmp_path / "b.json").rename(tmp_path / "b.JSON")
    (tmp_path / "c.json.gz").write_bytes(gzip.compress((tmp_path / "c.json").read_bytes()))
    (tmp_path / "c.json").unlink()
    found = source(tmp_path)
    assert found.names == ("a", "b", "c")
    items = load_items(found, range(3))
    assert [item.failure for item in items] == [None] * 3
    assert [len(item.known().instances) for item in items] == [2, 2, 2]
    assert items[0].known().image_path == "a.PNG"


def test_files_of_other_systems_are_no_pictures(tmp_path: Path):
    write_picture(tmp_path, "a", MASKS)
    for name in ("._a.json", "._a.png", ".DS_Store", ".hidden.json"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert source(tmp_path).names == ("a",)
    assert [item.failure for item in load_items(source(tmp_path), [0])] == [None]


def test_two_pictures_or_notes_of_one_name_are_refused(tmp_path: Path):
    write_picture(tmp_path, "a", MASKS)
    (tmp_path / "a.JPG").write_bytes(b"")
    assert reason(tmp_path) == "BadItemError: image: expected one picture of a, got a.JPG, a.png"
    (tmp_path / "a.JSON").write_text("{}")
    with pytest.raises(ValueError, match=r"^source: expected one JSON file of a, got a\.JSON and a\.json$"):
        _ = source(tmp_path).names


def test_folders_that_are_not_there_are_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"^source\.annotations: expected a folder, got '.*nowhere'$"):
        _ = source(tmp_path, annotations="nowhere").names
    with pytest.raises(ValueError, match=r"^source: expected JSON files in .*, got none$"):
        _ = source(tmp_path).names


def test_a_changed_picture_changes_what_a_rerun_compares(tmp_path: Path):
    write_picture(tmp_path, "a", MASKS)
    before = source(tmp_path).print(0)
    assert source(tmp_path).print(0) == before
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes() + b"x")
    assert source(tmp_path).print(0) != before


def test_a_huge_picture_is_refused_by_name(tmp_path: Path):
    write_picture(tmp_path, "bomb", MASKS)
    (tmp_path / "bomb.png").write_bytes(huge_png(13000, 13000))
    assert reason(tmp_path) == "PictureError: bomb.png: expected at most 33,554,432 pixels, got 13000 x 13000"


def test_more_masks_than_fit_the_memory_are_refused(tmp_path: Path):
    write_picture(tmp_path, "a", MASKS)
    (tmp_path / "a.png").write_bytes(huge_png(4000, 4000))
    _note(lambda note: note.update(annotations=note["annotations"] * 100))(tmp_path)
    assert reason(tmp_path) == (
        "BadItemError: annotations: expected at most 2,147,483,648 pixels of masks, got 200 of 4000 x 4000"
    )


def test_masks_that_fit_the_stored_rows_alone_are_refused_with_the_cause(tmp_path: Path):
    write_picture(tmp_path, "a", [np.ones((24, 16), bool)])
    upright = np.zeros((16, 24, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(turned(upright, 6, "PNG"))
    assert reason(tmp_path) == (
        "BadItemError: annotations[0]: expected a run-length segmentation of size [16, 24], got [24, 16]; "
        "EXIF orientation 6 turns this picture: annotations belong to the upright one"
    )


def _note(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        note = json.loads((folder / "a.json").read_text())
        change(note)
        (folder / "a.json").write_text(json.dumps(note))

    return damage


def _text(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "a.json").write_text(text) and None


@for_each(
    ("damage", "expected"),
    [
        (_note(lambda note: note.update(prompt=3)), "BadItemError: prompt: expected text, got 3"),
        (
            _note(lambda note: note["annotations"][1].update(caption=["x"])),
            "BadItemError: annotations[1]: caption: expected text, got ['x']",
        ),
        (
            _note(lambda note: note["annotations"][1].update(id=0)),
            "BadItemError: instances[1].id: expected an id of its own, got '0' again",
        ),
        (
            _note(lambda note: note["annotations"][0].update(id=None)),
            "BadItemError: annotations[0]: expected an id that is text or a whole number, got null",
        ),
        (
            _note(lambda note: note.update(annotations=[])),
            "BadItemError: instances: expected at least one instance, got none",
        ),
        (
            _text('{"annotations": [], "annotations": []}'),
            "JsonFileError: a.json: expected every field once, got 'annotations' again",
        ),
        (_text("[" * 100_000), "JsonFileError: a.json: "),
        (_text('{"annotations": [' + "1" * 5000 + "]}"), "JsonFileError: a.json: annotations[0]: expected numbers of"),
        (
            _text('{"a": "' + "\\" * 13_000_000),
            "JsonFileError: a.json: expected a document of at most 12 MB, got a larger",
        ),
        (_text('"text"'), "BadItemError: a.json: expected an object with a list of annotations"),
    ],
    ids=lambda value: "" if callable(value) else value[:60],
)
def test_odd_notes_are_refused_by_name(tmp_path: Path, damage: Callable[[Path], None], expected: str):
    write_picture(tmp_path, "a", MASKS)
    damage(tmp_path)
    assert reason(tmp_path).startswith(expected)


def test_a_prompt_of_null_is_none(tmp_path: Path):
    write_picture(tmp_path, "a", MASKS)
    _note(lambda note: note.update(prompt=None))(tmp_path)
    (item,) = load_items(source(tmp_path), [0])
    assert item.known().prompt == ""


def test_pictures_that_are_none_are_named(tmp_path: Path):
    write_picture(tmp_path, "a", MASKS)
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(noise), "PNG")[:700])
    assert reason(tmp_path).startswith("PictureError: a.png: expected a whole PNG file: ")
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").mkdir()
    assert reason(tmp_path) == "PictureError: a.png: expected a file, got a folder"
