"""What a converter writes is right, whatever was wrong with what it read: faults are refused, passed over or mended."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from occlusionformer.data.records import DataSetMaker, RecordFolder, check_folder
from occlusionformer.data.records.repairs import Repairs
from tests.data.converters.faulty import FAULTY
from tests.tables import for_each

PICTURES = 40


def convert(folder: Path, name: str, seed: int, *, skip_bad: bool, repair: bool, count: int = PICTURES) -> int:
    """The number of records of the data set that was made; 0 where everything was refused."""
    faulty = FAULTY[name]
    faulty.write(folder, random.Random(seed), count)
    before = sorted(path.name for path in folder.iterdir())
    repairs = Repairs() if repair else None
    try:
        made = DataSetMaker(folder / "set", skip_bad=skip_bad, repairs=repairs).make(faulty.read(folder, repairs))
    except ValueError:
        assert sorted(path.name for path in folder.iterdir()) == before
        return 0
    assert [str(violation) for violation in check_folder(folder / "set")] == []
    assert made.repairs == (() if repairs is None else tuple(repairs.made))
    return made.records


@for_each("repair", [False, True], ids=["as it is", "repaired"])
@for_each("name", FAULTY)
def test_what_is_written_is_valid(tmp_path: Path, name: str, repair: bool):
    """Most pictures have one fault: some are mended, and the others are passed over."""
    records = convert(tmp_path, name, 0, skip_bad=True, repair=repair)
    assert 0 < records < PICTURES + repair


@for_each("name", FAULTY)
def test_repairs_save_pictures_and_are_told(tmp_path: Path, name: str):
    for folder in ("plain", "mended"):
        (tmp_path / folder).mkdir()
    plain = convert(tmp_path / "plain", name, 1, skip_bad=True, repair=False)
    mended = convert(tmp_path / "mended", name, 1, skip_bad=True, repair=True)
    assert mended > plain
    assert (tmp_path / "mended" / "set" / "repaired.jsonl").read_text().count("\n") >= mended - plain


@for_each("name", FAULTY)
def test_faults_stop_everything_unless_told_otherwise(tmp_path: Path, name: str):
    assert convert(tmp_path, name, 2, skip_bad=False, repair=False) == 0


@for_each("name", FAULTY)
def test_files_without_a_fault_lose_nothing(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.data.converters.faulty.mutate", lambda rng, value: None)
    assert convert(tmp_path, name, 3, skip_bad=False, repair=False, count=5) == 5
    assert [len(record.instances) for record in RecordFolder(tmp_path / "set")] == [3] * 5
