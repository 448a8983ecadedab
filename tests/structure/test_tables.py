"""A table of cases is one test that can fail, and its message names every case that does."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest

from tests.tables import for_each


def test_every_case_is_tried_and_all_that_fail_are_named():
    tried = []

    @for_each("side", [1, pytest.param(2, id="two"), 3])
    @for_each("corner, name", [(0, "a"), (1, "b")])
    def check(side, corner, name):
        tried.append((side, corner, name))
        assert (side, name) not in [(2, "a"), (3, "b")]
        if side == 1 and name == "b":
            with pytest.raises(ValueError, match="never"):
                pass

    with pytest.raises(BaseExceptionGroup) as caught:
        check()
    assert sorted(tried) == [(side, corner, name) for side in (1, 2, 3) for corner, name in ((0, "a"), (1, "b"))]
    assert caught.value.message == "3 of 6 cases fail: 0-'a'-two; 1-'b'-1; 1-'b'-3"
    notes = [note for error in caught.value.exceptions for note in error.__notes__]
    assert notes == ["case 0-'a'-two", "case 1-'b'-1", "case 1-'b'-3"]


def test_a_skipped_case_is_not_passed_over_in_silence():
    @for_each("side", [1, 2])
    def check(side):
        pytest.skip("not here")

    with pytest.raises(pytest.skip.Exception):
        check()


@pytest.mark.parametrize(
    ("names", "values"),
    [("a", []), ("b", [1]), ("a, c", [(1, 2, 3)]), ("a", [pytest.param(1, marks=pytest.mark.slow)])],
)
def test_a_table_that_does_not_fit_is_an_error_at_once(names, values):
    with pytest.raises(AssertionError):

        @for_each(names, values)
        def check(a, c=0):
            pass


@for_each("number", range(3), ids=["first", "second", "third"])
def test_fixtures_begin_anew_with_every_case(number, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    assert list(tmp_path.iterdir()) == []
    assert number == len(list(tmp_path.parent.iterdir())) - 1
    assert not hasattr(inspect, "changed")
    sys.stdout.write("printed\n")
    assert capsys.readouterr().out == "printed\n"
    (tmp_path / "file").touch()
    monkeypatch.setattr(inspect, "changed", True, raising=False)
    sys.stdout.write("left")


class TestMethods:
    @for_each("number", [1, 2])
    def test_methods_of_classes_work_too(self, number):
        assert isinstance(self, TestMethods)
