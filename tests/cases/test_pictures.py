"""Pictures, tables and disks that once crashed a command, filled the memory or came out silently wrong."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from occlusionformer.data.records import RecordFolder, RecordSource, check_folder, decode_image, decode_masks, png
from tests.apps.conftest import Command, run
from tests.cases.replay import refusal, untouched
from tests.pictures.files import encoded, huge_png, png_file, turned

__all__ = ["run"]

DATA = Path(__file__).parent / "data"
LIKE_COCO = ("coco-amodal", "cocoa", "kins")

Change = Callable[[pa.Table], pa.Table]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(run: Command, folder: Path, *arguments: object) -> list[str]:
    """The lines of a refusal: exit code 2, and nothing new in the folder."""
    with untouched(folder):
        done = run(*arguments)
    assert (done.code, done.out) == (2, ""), done.err
    assert "Traceback" not in done.err
    # Libraries that were loaded for another test warn, and draw bars.
    return [line for line in done.err.splitlines() if line and not line.startswith(("warning: ", "Loading weights"))]


def coco(path: Path, pictures: dict[str, tuple[int, int]], rings: dict[str, list[int]]) -> Path:
    """A file of annotations of pictures by name, each of a size and with one ring or none."""
    images = [
        {"id": place, "file_name": name, "width": width, "height": height}
        for place, (name, (width, height)) in enumerate(pictures.items())
    ]
    rows = [
        {"id": place, "image_id": place, "caption": "a thing", "segmentation": [rings[name]]}
        for place, name in enumerate(pictures)
    ]
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": []}))
    return path


def pictures_of_case(name: str, work: Path) -> Path:
    """A case with its pictures in `pics`, as its plan has them."""
    (work / "pics").mkdir()
    for path in (DATA / name).iterdir():
        shutil.copy(path, work if path.name == "plan.yaml" else work / "pics")
    return work / "plan.yaml"


# EXIF orientation


def red_above() -> np.ndarray:
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:8] = (255, 0, 0)
    return picture


@pytest.mark.parametrize("orientation", [3, 6])
def test_annotations_of_turned_pictures_lie_on_what_they_are_of(run: Command, work: Path, orientation: int):
    (work / "pp").mkdir()
    (work / "pp" / "e.png").write_bytes(turned(red_above(), orientation, "PNG"))
    coco(work / "pp.json", {"e.png": (24, 16)}, {"e.png": [0, 0, 24, 0, 24, 8, 0, 8]})
    assert run("data", "convert", "pp.json", "out", "--from", "coco-amodal", "--images", "pp").code == 0
    assert run("data", "validate", "out").code == 0
    sample = RecordSource(work / "out", masks="visible")[0]
    assert sample.visible is not None
    np.testing.assert_array_equal(sample.visible[0], sample.image[..., 0] == 255)


def test_sizes_of_the_stored_rows_are_refused_with_the_cause(run: Command, work: Path):
    (work / "pp").mkdir()
    (work / "pp" / "e6.png").write_bytes(turned(red_above(), 6, "PNG"))
    coco(work / "pp.json", {"e6.png": (16, 24)}, {"e6.png": [0, 0, 16, 0, 16, 12, 0, 12]})
    (line,) = refused(run, work, "data", "convert", "pp.json", "out", "--from", "coco-amodal", "--images", "pp")
    assert "expected 16 x 24 pixels, got 24 x 16; EXIF orientation 6 turns this picture" in line


def test_a_turned_picture_with_its_masks_is_built_upright(run: Command, work: Path):
    plan = pictures_of_case("exif-ignored", work)
    assert run("data", "build", plan, "--out", "out").code == 0
    record, content = next(RecordFolder(work / "out").items())
    with Image.open(work / "pics" / "exif3.jpg") as stored:
        expected = np.asarray(stored.transpose(Image.Transpose.ROTATE_180).convert("RGB"))
    assert content is not None
    np.testing.assert_array_equal(decode_image(record, content), expected)
    assert list(check_folder(work / "out", require=())) == []
    given = [
        row["segmentation"]["counts"] for row in json.loads((work / "pics" / "exif3.json").read_text())["annotations"]
    ]
    kept = [instance.visible_mask.counts for instance in record.instances if instance.visible_mask is not None]
    assert kept == given


# colours


def test_grey_of_16_bits_keeps_its_greys(run: Command, work: Path):
    (work / "pp").mkdir()
    shutil.copy(DATA / "png16-white" / "grey16.png", work / "pp")
    coco(work / "pp.json", {"grey16.png": (64, 48)}, {"grey16.png": [0, 0, 32, 0, 32, 48, 0, 48]})
    assert run("data", "convert", "pp.json", "out", "--from", "coco-amodal", "--images", "pp").code == 0
    sample = RecordSource(work / "out", masks="visible")[0]
    assert sample.visible is not None
    assert abs(sample.image.mean() - 127.5) < 2
    assert sample.image[sample.visible[0]].mean() < 70


def test_colour_that_alpha_hides_stays_hidden(run: Command, work: Path):
    (work / "pp").mkdir()
    hidden = np.dstack([np.full((8, 8, 3), (255, 0, 255), np.uint8), np.zeros((8, 8), np.uint8)])
    (work / "pp" / "a.png").write_bytes(png_file(8, 8, hidden.tobytes(), bits=8, kind=6))
    coco(work / "pp.json", {"a.png": (8, 8)}, {"a.png": [0, 0, 8, 0, 8, 8, 0, 8]})
    assert run("data", "convert", "pp.json", "out", "--from", "coco-amodal", "--images", "pp").code == 0
    assert (RecordSource(work / "out", masks="visible")[0].image == 255).all()


# names


def test_endings_in_capitals_and_files_of_macos(run: Command, work: Path):
    plan = pictures_of_case("uppercase-ending", work)
    for name in ("._IMG_UPPER.json", "._IMG_UPPER.JPG", ".DS_Store"):
        (work / "pics" / name).write_bytes(b"\0\5\x16\7")
    assert run("data", "build", plan, "--out", "out").code == 0
    (record,) = RecordFolder(work / "out")
    assert (record.image_id, record.image_path, len(record.instances)) == ("IMG_UPPER", "IMG_UPPER.JPG", 3)
    (work / "out" / "data" / "._train-00000.parquet").write_bytes(b"\0\5\x16\7")
    assert run("data", "validate", "out", "--require", "visible,images").code == 0


def test_annotations_name_pictures_in_another_case_and_may_be_packed(run: Command, work: Path):
    (work / "pp").mkdir()
    (work / "pp" / "IMG_1.JPG").write_bytes(encoded(Image.fromarray(red_above()), "JPEG"))
    path = coco(work / "pp.json", {"IMG_1.jpg": (24, 16)}, {"IMG_1.jpg": [0, 0, 24, 0, 24, 8, 0, 8]})
    (work / "pp.json.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert run("data", "convert", "pp.json.gz", "out", "--from", "coco-amodal", "--images", "pp").code == 0
    assert run("data", "validate", "out", "--require", "captions,images").code == 0


def test_pictures_that_are_none_are_refused_by_name(run: Command, work: Path):
    (work / "pp").mkdir()
    (work / "pp" / "folder.jpg").mkdir()
    (work / "pp" / "empty.jpg").touch()
    (work / "pp" / "text.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0")
    (work / "pp" / "cut.jpg").write_bytes(encoded(Image.fromarray(red_above()), "JPEG")[:300])
    names = ("folder.jpg", "empty.jpg", "text.jpg", "cut.jpg", "none.jpg")
    for name in names:
        coco(work / "pp.json", {name: (24, 16)}, {name: [0, 0, 24, 0, 24, 8, 0, 8]})
        (line,) = refused(run, work, "data", "convert", "pp.json", "out", "--from", "coco-amodal", "--images", "pp")
        assert "expected a" in line
        assert name in line or "record '0'" in line


# size


def test_a_huge_picture_is_refused_before_it_is_decoded(work: Path):
    content = huge_png(13000, 13000)
    (work / "pics").mkdir()
    (work / "pics" / "bomb.png").write_bytes(content)
    row = {"segmentation": {"size": [13000, 13000], "counts": [0, 13000 * 13000]}}
    (work / "pics" / "bomb.json").write_text(json.dumps({"annotations": [row]}))
    shutil.copy(DATA / "uppercase-ending" / "plan.yaml", work)
    plan = (work / "plan.yaml").read_text().replace("max_broken: 1.0", "max_broken: 0.0")
    (work / "plan.yaml").write_text(plan)
    text = refusal("data", "build", "plan.yaml", "--out", "out", folder=work)
    assert text.splitlines() == [
        "shard 0: 1 of 1 pictures are broken, more than max_broken allows",
        "bomb: load: PictureError: bomb.png: expected at most 33,554,432 pixels, got 13000 x 13000",
    ]
    coco(work / "pp.json", {"bomb.png": (13000, 13000)}, {"bomb.png": [0, 0, 24, 0, 24, 8]})
    text = refusal("data", "convert", "pp.json", "out", "--from", "coco-amodal", "--images", "pics", folder=work)
    assert "expected at most 33,554,432 pixels, got 13000 x 13000" in text
    assert len(text.splitlines()) == 1


# One reader of large JSON serves them all.
@pytest.mark.parametrize("from_", ["sa-z", *(pytest.param(name, marks=pytest.mark.slow) for name in LIKE_COCO)])
def test_a_file_of_backslashes_is_refused(work: Path, from_: str):
    (work / "long.json").write_bytes(b'{"images": "' + b"\\" * 60_000_000 + b'"}')
    text = refusal("data", "convert", "long.json", "out", "--from", from_, folder=work)
    assert text.startswith("long.json: byte 11: expected values of at most 12 MB, got ")
    assert len(text.splitlines()) == 1


# tables


@pytest.fixture
def added(work: Path) -> Path:
    """A data set of scenes whose shard was written back with a column more."""
    shutil.copytree(DATA / "parquet-other-columns" / "p-extra-col", work / "set")
    return work / "set"


def change(folder: Path, by: Change) -> None:
    path = folder / "data" / "train-00000.parquet"
    pq.write_table(by(pq.read_table(path)), path)


def large(table: pa.Table) -> pa.Table:
    """With the names of types that other programs prefer, and lists among them."""

    def kind(found: pa.DataType) -> pa.DataType:
        if pa.types.is_struct(found):
            return pa.struct([pa.field(each.name, kind(each.type)) for each in found])
        if pa.types.is_list(found):
            return pa.large_list(kind(found.value_type))
        return pa.large_string() if pa.types.is_string(found) else pa.int64() if pa.types.is_integer(found) else found

    fields = [pa.field(each.name, kind(each.type)) for each in table.schema]
    return pa.Table.from_pylist(table.to_pylist(), schema=pa.schema(fields, metadata=table.schema.metadata))


TRAIN = ("--set", "steps=1", "--set", "batch=1", "--set", "logging.trackers=[]", "--set", "logging.probe_count=1")


@pytest.mark.parametrize("by", [None, large], ids=["a column more", "large types"])
def test_every_command_takes_shards_that_others_wrote(run: Command, work: Path, added: Path, by: Change | None):
    if by is not None:
        change(added, by)
    (work / "plan.json").write_text(
        json.dumps({"name": "train", "source": {"kind": "records", "folder": "set"}, "stages": [{"stage": "clean"}]})
    )
    commands: list[tuple[Any, ...]] = [
        ("data", "validate", added),
        ("data", "show", added, "-o", "page.html"),
        ("data", "stats", added),
        ("data", "split", added, "split"),
        ("data", "convert", added, "converted"),
        ("data", "convert", added, "sa-z.json", "--to", "sa-z", "--lossy"),
        ("data", "build", "plan.json", "--out", "built"),
        ("train", "overfit", *TRAIN, "--set", "data.source=records", "--set", f"data.path={added}", "--out", "run"),
    ]
    for command in commands:
        done = run(*command)
        assert done.code == 0, (command, done.err)
    assert list(RecordFolder(work / "converted")) == list(RecordFolder(added))
    for made in ("split", "converted"):
        assert run("data", "validate", made).code == 0


def test_columns_that_are_missing_are_told_by_every_command(run: Command, work: Path, added: Path):
    change(added, lambda table: table.drop_columns(["depth", "prompt"]))
    (work / "plan.json").write_text(
        json.dumps({"name": "train", "source": {"kind": "records", "folder": "set"}, "stages": [{"stage": "clean"}]})
    )
    settings = ("--set", "data.source=records", "--set", f"data.path={added}")
    for command in (
        ("data", "show", added, "-o", "page.html"),
        ("data", "stats", added),
        ("data", "split", added, "split"),
        ("data", "convert", added, "converted"),
        ("data", "build", "plan.json", "--out", "built"),
        ("train", "overfit", *TRAIN, *settings, "--out", "run"),
    ):
        lines = refused(run, work, *command)
        assert [line.partition("train-00000.parquet: ")[2] for line in lines] == [
            "prompt: expected this column, got none",
            "depth: expected this column, got none",
        ], (command, lines)
    done = run("data", "validate", added)
    assert (done.code, len(done.out.splitlines())) == (2, 2)


# documents with pictures that nobody drew


def test_a_coco_file_with_several_polygons_is_converted(run: Command, work: Path):
    """Its box is ten pixels wider than its polygons, which only a repair may settle."""
    shutil.copy(DATA / "coco-real-file" / "coco-seg-multi.json", work)
    (line,) = refused(run, work, "data", "convert", "coco-seg-multi.json", "set", "--from", "coco-amodal")
    assert line.startswith("coco-seg-multi.json: record '1': instances[0].visible_box: expected the box of its mask")
    assert run("data", "convert", "coco-seg-multi.json", "set", "--from", "coco-amodal", "--repair").code == 0
    assert run("data", "validate", "set", "--require", "captions,visible").code == 0
    (record,) = RecordFolder(work / "set")
    assert record.instances[0].visible_mask is not None
    (mask,) = decode_masks([record.instances[0].visible_mask])
    for inside, x, y in ((True, 18, 12), (True, 38, 32), (False, 25, 25), (False, 12, 18), (False, 45, 45)):
        assert mask[y, x] == inside, (x, y)


# a full disk


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits on files are POSIX")
def test_training_on_a_full_disk_ends_with_one_message(work: Path):
    script = (
        "import resource, sys; from occlusionformer.apps.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, "train", "overfit", *TRAIN, "--set", "logging.pictures=0", "--out", "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("OSError: ")
    assert "weights.safetensors" in last
    assert list((work / "run" / "checkpoints").iterdir()) == []


# evaluation


def test_pictures_to_be_judged_are_all_told(run: Command, work: Path):
    (work / "data").mkdir()
    (work / "drawn").mkdir()
    instance = {"id": "a", "caption": "a", "box": [0.1, 0.1, 0.9, 0.9]}
    layout = {"version": 1, "prompt": "p", "width": 24, "height": 16, "instances": [instance]}
    for name in ("bomb", "empty", "cut", "good", "turned"):
        (work / "data" / f"{name}.json").write_text(json.dumps(layout))
        (work / "drawn" / f"{name}.png").write_bytes(png(red_above()))
    (work / "drawn" / "bomb.png").write_bytes(huge_png(13000, 13000))
    (work / "drawn" / "empty.png").write_bytes(b"")
    (work / "drawn" / "cut.png").write_bytes(png(red_above())[:50])
    (work / "drawn" / "turned.png").write_bytes(turned(red_above().transpose(1, 0, 2), 6, "PNG"))
    definition = {"name": "mine", "title": "Mine", "source": {"format": "layouts"}, "metrics": ["fid"]}
    (work / "mine.json").write_text(json.dumps(definition))
    done = run("eval", "mine.json", "--data", "data", "--pictures", "drawn", "--out", "run")
    assert (done.code, done.out) == (2, "")
    problems = sorted(line for line in done.err.splitlines() if "drawn" in line and line.startswith("drawn"))
    assert problems == [
        "drawn/bomb.png: expected at most 33,554,432 pixels, got 13000 x 13000",
        "drawn/cut.png: expected a whole PNG file: image file is truncated",
        "drawn/empty.png: expected a picture, got an empty file",
        "drawn/turned.png: expected 24 x 16 or 32 x 16 or 16 x 16, got 16 x 24; "
        "EXIF orientation 6 turns this picture: annotations belong to the upright one",
    ]


# paths and shards that are none


def test_paths_that_are_wrong_are_named(run: Command, work: Path):
    (work / "folder.json").mkdir()
    (work / "file").touch()
    for arguments, expected in (
        (("data", "convert", "folder.json", "out", "--from", "sa-z"), "folder.json: expected a file, got a folder"),
        (("data", "convert", "scenes", "file/out", "--count", "1"), f"{work / 'file' / 'out'}: not a directory"),
        (("data", "convert", "scenes", "x" * 300, "--count", "1"), f"{work / ('x' * 300)}: file name too long"),
        (("data", "stats", "folder.json"), "folder.json: expected a folder with data/SPLIT-NUMBER.parquet, got none"),
    ):
        (line,) = refused(run, work, *arguments)
        assert line.startswith(expected)


def test_records_that_cannot_be_drawn_copied_or_counted_are_named(run: Command, work: Path, added: Path):
    def loop(table: pa.Table) -> pa.Table:
        rows = [{**row, "order": [[1]]} for row in table.to_pylist()]
        return pa.Table.from_pylist(rows, schema=table.schema)

    change(added, loop)
    shown = refused(run, work, "data", "show", added, "-o", "page.html")
    assert "expected a record that can be drawn: " in shown[0]
    copied = refused(run, work, "data", "split", added, "split")
    assert copied[0].endswith("instances, got 1") or "order: expected" in copied[0]
    (counted,) = refused(run, work, "data", "stats", added)
    assert counted.startswith(f"{added / 'data' / 'train-00000.parquet'}: order: expected as many rows and columns")


def test_a_record_without_a_picture_is_not_drawn_at_any_size(run: Command, work: Path, added: Path):
    def huge(table: pa.Table) -> pa.Table:
        rows = [{**row, "width": 65535, "height": 65535, "image_file": None} for row in table.to_pylist()]
        return pa.Table.from_pylist(rows, schema=table.schema)

    change(added, huge)
    (line,) = refused(run, work, "data", "show", added, "-o", "page.html")
    assert "instances[0].visible_mask.size: expected the size of the picture, [65535, 65535], got [128, 128]" in line
