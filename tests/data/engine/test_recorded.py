"""Files of recorded answers: read line by line, every bad line named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from occlusionformer.data.engine.models.protocol import MaskedPicture
from occlusionformer.data.engine.models.recorded import load, revision_of
from tests.data.engine.pictures import rectangle


def write(path: Path, *lines: Any) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def view(key: str = "k") -> MaskedPicture:
    masks = np.stack([rectangle(1, 1, 9, 9), rectangle(5, 5, 12, 20)])
    return MaskedPicture(key=key, ids=("a", "b"), image=np.zeros((32, 32, 3), np.uint8), masks=masks)


def test_answers_of_several_lines_and_a_packed_file(tmp_path: Path):
    text = '{"key": "k", "captions": {"a": "x", "b": "y"}}\n\n{"key": "k", "order": [["a", "b", 0.75]]}\n'
    path = tmp_path / "answers.jsonl.gz"
    path.write_bytes(gzip.compress(text.encode()))
    answers = load(str(path))
    assert answers.captions(view()) == ["x", "y"]
    assert answers.probabilities(view(), np.array([[0, 1]])).tolist() == [[0.75, 0.0]]
    assert revision_of(str(path)) == answers.revision


def test_every_bad_line_is_named(tmp_path: Path):
    path = write(
        tmp_path / "answers.jsonl",
        [1],
        {"captions": {}},
        {"key": "k", "captions": {"a": 3}},
        {"key": "k", "order": [["a", "b", 2]]},
        {"key": "k", "amodal": {"a": {"size": [2, 2]}}},
        {"key": "good"},
    )
    with pytest.raises(ValueError, match="answers") as caught:
        load(path)
    assert str(caught.value).splitlines() == [
        'answers.jsonl: line 1: expected an object with a "key" that is text, got [1]',
        "answers.jsonl: line 2: expected an object with a \"key\" that is text, got an object with 'captions'",
        "answers.jsonl: line 3: captions: expected text by the ids of instances, got an object with 'a'",
        "answers.jsonl: line 4: order: expected triples [front, behind, chance], a chance from 0 to 1, "
        "got [['a', 'b', 2]]",
        "answers.jsonl: line 5: amodal: expected masks with size and counts by the ids of instances, "
        "got an object with 'a'",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "answers.jsonl: line 1: line 1, column 2: not JSON"),
        ('{"key": "k"}\n{"key": NaN}', "answers.jsonl: line 2: key: expected a finite number, got nan"),
        ('{"key": "' + "\\" * 13_000_000, "answers.jsonl: line 1: expected a document of at most 12 MB"),
        ("[" * 5000, "answers.jsonl: line 1: "),
    ],
    ids=["cut", "nan", "backslashes", "levels"],
)
def test_lines_that_are_not_json(tmp_path: Path, text: str, expected: str):
    (tmp_path / "answers.jsonl").write_text(text)
    with pytest.raises(ValueError, match=r"answers\.jsonl") as caught:
        load(str(tmp_path / "answers.jsonl"))
    assert str(caught.value).startswith(expected)


def test_no_file_is_told(tmp_path: Path):
    for read in (load, revision_of):
        with pytest.raises(ValueError, match=r"^model: expected recorded:FILE, got no file '.*none'$"):
            read(str(tmp_path / "none"))
        with pytest.raises(ValueError, match=r"^model: expected recorded:FILE, got no file$"):
            read(None)


def test_masks_of_another_size_are_refused_before_they_are_decoded(tmp_path: Path):
    huge = {"size": [65535, 65535], "counts": "0"}
    answers = load(write(tmp_path / "answers.jsonl", {"key": "k", "amodal": {"a": huge}}))
    with pytest.raises(ValueError, match=r"^amodal\.a: expected a mask of size \[32, 32\], .*, got \[65535, 65535\]$"):
        answers.complete(view(), [0])
    with pytest.raises(ValueError, match=r"^expected a recorded amodal mask of k, instance b$"):
        answers.complete(view(), [1])
    with pytest.raises(ValueError, match=r"^expected recorded captions of k, got none$"):
        answers.captions(view())
