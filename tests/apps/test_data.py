"""The `data` commands: what they write, what they print, and what they refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from occlusionformer.apps.cli import main
from occlusionformer.data.records import RecordFolder
from tests.data.converters.examples import sa_z, written
from tests.tables import for_each


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["data", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture
def scenes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    run(capsys, "convert", "scenes", tmp_path / "scenes", "--count", 6, "--seed", 3, "--size", 48)
    return tmp_path / "scenes"


def test_scenes_are_written_and_valid(scenes: Path, capsys):
    assert len(RecordFolder(scenes)) == 6
    everything = "prompt,captions,visible,amodal,order,depth,images"
    code, out, _ = run(capsys, "validate", scenes, "--require", everything)
    assert (code, out) == (0, f"{scenes}: ok (6 records)\n")


def test_sa_z_there_and_back(tmp_path: Path, capsys):
    source = written(tmp_path / "SA-Z.json", sa_z(5))
    code, out, _ = run(capsys, "convert", source, tmp_path / "set", "--from", "sa-z", "--json")
    assert (code, json.loads(out)) == (0, {"output": str(tmp_path / "set"), "records": 5, "shards": 1, "rejected": 0})
    code, out, _ = run(capsys, "convert", tmp_path / "set", tmp_path / "back.json", "--to", "sa-z")
    assert (code, out) == (0, f"{tmp_path / 'back.json'} (5 records)\n")
    assert json.loads((tmp_path / "back.json").read_text()) == sa_z(5)


def test_bad_records_stop_or_are_passed_over(tmp_path: Path, capsys):
    value = sa_z(3)
    del value["8"]["prompt"]
    source = written(tmp_path / "SA-Z.json", value)
    code, _, err = run(capsys, "convert", source, tmp_path / "set", "--from", "sa-z")
    assert (code, err) == (2, "SA-Z.json: record '8': prompt: expected text, got nothing\n")
    assert not (tmp_path / "set").exists()
    code, out, _ = run(capsys, "convert", source, tmp_path / "set", "--from", "sa-z", "--skip-bad")
    assert code == 0
    assert out.splitlines()[1] == f"1 records passed over, see {tmp_path / 'set' / 'rejected.jsonl'}"


def test_what_sa_z_cannot_hold_needs_a_word(scenes: Path, tmp_path: Path, capsys):
    code, _, err = run(capsys, "convert", scenes, tmp_path / "x.json", "--to", "sa-z")
    assert code == 2
    assert err.splitlines()[0] == "scene-3-0: depth: SA-Z cannot hold it"
    code, _, _ = run(capsys, "convert", scenes, tmp_path / "x.json", "--to", "sa-z", "--lossy")
    assert code == 0
    assert set(json.loads((tmp_path / "x.json").read_text())) == {f"scene-3-{number}" for number in range(6)}


def test_bare_records_keep_pictures_and_visible_masks(tmp_path: Path, capsys):
    run(capsys, "convert", "scenes", tmp_path / "set", "--count", 2, "--size", 48, "--bare")
    for record in RecordFolder(tmp_path / "set"):
        assert (record.prompt, record.order, record.depth) == ("", None, None)
        assert record.image_file is not None
        for instance in record.instances:
            assert (instance.caption, instance.amodal_mask, instance.amodal_box) == ("", None, None)
            assert instance.visible_mask is not None
    code, out, _ = run(capsys, "validate", tmp_path / "set")
    assert (code, out) == (0, f"{tmp_path / 'set'}: ok (2 records, without captions)\n")
    assert run(capsys, "validate", tmp_path / "set", "--require", "captions")[0] == 2
    assert run(capsys, "validate", tmp_path / "set", "--require", "visible,images")[0] == 0


def test_violations_are_listed(scenes: Path, capsys):
    (scenes / "data" / "train-00000.tar").unlink()
    code, out, _ = run(capsys, "validate", scenes, "--most", 2, "--json")
    assert code == 2
    found = json.loads(out)
    assert found["stopped"] is True
    assert found["violations"][1] == {
        "file": "data/train-00000.parquet",
        "record": 0,
        "image_id": "scene-3-0",
        "field": "image_file",
        "problem": "expected a picture in the tar, got 'scene-3-0.png'",
    }
    code, out, _ = run(capsys, "validate", scenes)
    assert len(out.splitlines()) == 7


def test_statistics(scenes: Path, capsys):
    code, out, _ = run(capsys, "stats", scenes, "--json")
    assert code == 0
    counted = json.loads(out)
    assert counted == json.loads((scenes / "statistics.json").read_text())
    assert counted["splits"]["train"]["records"] == 6
    (scenes / "README.md").unlink()
    run(capsys, "stats", scenes, "--write")
    assert (scenes / "README.md").exists()


def test_splits(scenes: Path, tmp_path: Path, capsys):
    code, out, _ = run(capsys, "split", scenes, tmp_path / "split", "--share", "a=0.5", "--share", "b=0.5", "--json")
    assert code == 0
    assert sum(json.loads(out)["splits"].values()) == 6
    code, _, err = run(capsys, "split", scenes, tmp_path / "other", "--share", "a", "--share", "b=0.4")
    assert (code, err) == (2, "--share: expected NAME=SHARE like train=0.9, got 'a'\n")


def test_the_page_shows_pictures_and_harmless_text(scenes: Path, tmp_path: Path, capsys):
    page = tmp_path / "page.html"
    code, out, _ = run(capsys, "show", scenes, "-o", page, "--most", 3)
    assert (code, out) == (0, f"{page} (3 pictures)\n")
    text = page.read_text()
    assert len(re.findall(r"data:image/jpeg;base64,", text)) == 9
    assert text.count("<svg") == 3
    record = RecordFolder(scenes)[1]
    assert text.count('marker-end="url(#head)"') == sum(len(RecordFolder(scenes)[number].edges) for number in range(3))
    code, _, _ = run(capsys, "show", scenes, "-o", page, "--id", record.image_id)
    assert code == 0
    assert page.read_text().count("<svg") == 1
    code, _, err = run(capsys, "show", scenes, "-o", page, "--id", "nobody")
    assert (code, err) == (2, f"--id: no picture 'nobody' in {scenes}\n")


def test_captions_are_shown_as_text(tmp_path: Path, capsys):
    value = sa_z(1)
    value["7"]["mask_annotation"][0]["caption"] = "<script>alert(1)</script>"
    value["7"]["prompt"] = "<b>"
    run(capsys, "convert", written(tmp_path / "a.json", value), tmp_path / "set", "--from", "sa-z")
    run(capsys, "show", tmp_path / "set", "-o", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "<b>" not in text


@for_each(
    ("arguments", "problems"),
    [
        (["nothing.json", "OUT"], ["--from: expected one of records, scenes, sa-z"]),
        (["nothing.json", "OUT", "--from", "kins"], ["IN: no file or folder nothing.json"]),
        (
            ["scenes", "OUT", "--to", "x", "--split", "a b", "--images", "nowhere"],
            ["--split: expected letters", "--images: no file or folder nowhere", "--to: expected one of records, sa-z"],
        ),
        (["scenes", "OUT", "--lossy"], ["--lossy: only with --to sa-z"]),
        (["scenes", "OUT", "--size", "3"], ["--size: expected 16 to 1024, got 3"]),
        (
            ["x", "OUT", "--from", "instaorder"],
            ["IN: no file or folder x", "--instances: expected the COCO instances file"],
        ),
    ],
)
def test_arguments_that_do_not_fit_are_told_together(tmp_path: Path, monkeypatch, capsys, arguments, problems):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "convert", *arguments)
    assert code == 2
    lines = err.splitlines()
    assert len(lines) == len(problems)
    for line, expected in zip(lines, problems, strict=True):
        assert line.startswith(expected)
    assert list(tmp_path.iterdir()) == []
