"""What is said when the extra is not installed."""

from __future__ import annotations

import sys

import pytest

from occlusionformer.data.records import RecordFolder
from occlusionformer.data.records.packages import from_extra
from tests.data.records.examples import data_set


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch: pytest.MonkeyPatch):
    folder = RecordFolder(data_set(tmp_path / "set"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(RuntimeError) as caught:
        next(iter(folder))
    assert str(caught.value) == "pyarrow is not installed; pip install 'occlusionformer[data]' brings it"


def test_a_package_that_lacks_something_itself_is_not_taken_for_missing(monkeypatch: pytest.MonkeyPatch):
    def broken(name: str):
        raise ModuleNotFoundError("No module named 'inner'", name="inner")

    monkeypatch.setattr("occlusionformer.data.records.packages.import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="inner"):
        from_extra("orjson")
