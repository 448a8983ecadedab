"""Recorded judgements: what is written stays, what was torn is cut off, what is damaged is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from occlusionformer.evaluation.judgement import DescribedInstance, JudgeRequest
from occlusionformer.evaluation.records import (
    JudgementRecord,
    RecordError,
    RecordFile,
    picture_digest,
    read_lines,
    read_records,
    record_key,
)
from tests.properties import examples

IDENTITY = {"name": "a", "model": "b", "revision": "c", "settings": {"d": 1}}


def line(key: str, answer: object = 1, **more: object) -> dict:
    return {"key": key, "item": "i", "kind": "detect", "answer": answer, **more}


def test_lines_come_back_as_they_were(tmp_path: Path):
    written = [line("a", {"ü": [1.5, None, "\u2028\n"]}), line("b", None, failure="timeout")]
    with RecordFile(tmp_path / "r.jsonl") as file:
        file.append(written)
    assert list(read_lines([tmp_path / "r.jsonl"])) == written


@examples(40)
@given(st.integers(0, 200))
def test_a_file_that_was_torn_anywhere_loses_one_line_at_most(cut: int):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.jsonl"
        with RecordFile(path) as file:
            file.append([line(name) for name in "abc"])
        whole = path.read_bytes()
        path.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        assert len(list(read_lines([path]))) == kept
        with RecordFile(path) as file:
            file.append([line("d")])
        assert [each["key"] for each in read_lines([path])] == [*"abc"[:kept], "d"]


def test_a_torn_line_longer_than_a_block_is_cut_off(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"key":"a"}\n' + b'{"key":"' + b"x" * 200_000)
    with RecordFile(path) as file:
        file.append([{"key": "b"}])
    assert list(read_lines([path])) == [{"key": "a"}, {"key": "b"}]


def test_damage_in_the_middle_is_refused_with_its_place(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"key":"a"}\nnonsense\n{"key":"b"}\n')
    with pytest.raises(RecordError, match=r"r\.jsonl:2: expected a line of JSON, got b'nonsense"):
        list(read_lines([path]))
    path.write_bytes(b"[1]\n")
    with pytest.raises(RecordError, match="expected a JSON object"):
        list(read_lines([path]))
    path.write_bytes(b'{"key":"a"}\n')
    with pytest.raises(RecordError, match="expected a recorded judgement"):
        read_records([path])


def test_an_answer_wins_over_failures_and_the_first_answer_over_later_ones(tmp_path: Path):
    for name, lines in {
        "1": [line("a", None, failure="timeout"), line("b", 1)],
        "2": [line("a", 5), line("b", 2), line("a", 6), line("c", None, failure="x"), line("c", None, failure="y")],
    }.items():
        with RecordFile(tmp_path / name) as file:
            file.append(lines)
    found = read_records([tmp_path / "1", tmp_path / "2"])
    assert {key: (record.answer, record.failure) for key, record in found.items()} == {
        "a": (5, None),
        "b": (1, None),
        "c": (None, "x"),
    }


def test_a_file_has_one_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("occlusionformer.evaluation.records.LOCK_TRIES", 2)
    with RecordFile(tmp_path / "r"), pytest.raises(RuntimeError, match="another process is writing"):
        RecordFile(tmp_path / "r")
    with RecordFile(tmp_path / "r") as file:
        file.append([line("a")])


def test_pictures_are_named_by_their_pixels(tmp_path: Path):
    picture = Image.new("RGB", (4, 6), (1, 2, 3))
    picture.save(tmp_path / "a.png", compress_level=1)
    picture.save(tmp_path / "b.png", compress_level=9, pnginfo=None)
    names = {picture_digest(Image.open(tmp_path / name)) for name in ("a.png", "b.png")}
    assert names == {picture_digest(picture)}
    assert picture_digest(Image.new("RGB", (6, 4), (1, 2, 3))) not in names
    assert picture_digest(Image.new("RGB", (4, 6), (1, 2, 4))) not in names


def test_a_judgement_is_named_by_picture_question_and_judge():
    asked = JudgeRequest(
        kind="detect", frame=(9, 9), instances=(DescribedInstance(name="n", box=(0, 0, 1, 1), category="c"),)
    )
    keys = {
        record_key("p", asked, IDENTITY),
        record_key("q", asked, IDENTITY),
        record_key("p", JudgeRequest(kind="entity", frame=(9, 9), instances=asked.instances), IDENTITY),
        record_key("p", JudgeRequest(kind="detect", frame=(9, 8), instances=asked.instances), IDENTITY),
        record_key("p", JudgeRequest(kind="detect", frame=(9, 9), given={"segment": None}), IDENTITY),
        record_key("p", asked, {**IDENTITY, "revision": "d"}),
        record_key("p", asked, {**IDENTITY, "settings": {}}),
    }
    assert len(keys) == 7
    assert record_key("p", asked, {**IDENTITY}) in keys


def test_records_leave_out_what_is_empty():
    record = JudgementRecord(key="k", item="i", kind="detect", answer=None, failure="timeout")
    assert record.as_json() == {"key": "k", "item": "i", "kind": "detect", "answer": None, "failure": "timeout"}
    assert JudgementRecord(**record.as_json()) == record
