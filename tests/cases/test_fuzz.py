"""A short piece of the search for documents that do harm: `python tools/fuzz_documents.py` does all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(TOOLS))
    try:
        import fuzz_documents

        yield fuzz_documents
    finally:
        sys.path.remove(str(TOOLS))
        for name in ("fuzz_documents", "fuzz_cases", "fuzz_costly"):
            sys.modules.pop(name, None)


def test_three_hundred_spoilt_documents(tool):
    summary = tool.run(tool.cases(300, 1), tool.Meter())
    assert not summary.failures, "\n".join(summary.lines())
    ended = {form: {kind for each, kind in summary.outcomes if each == form} for form in tool.FORMATS}
    assert ended == {form: {"read", "refused"} for form in tool.FORMATS}


def test_a_case_is_the_same_wherever_it_is_made(tool):
    documents = tool.good_documents()
    for number in (0, 7, 41):
        assert repr(tool.spoilt(number, 5, documents)) == repr(tool.spoilt(number, 5, tool.good_documents()))
    assert repr(tool.spoilt(3, 5, documents)) != repr(tool.spoilt(3, 6, documents))


def test_what_fails_is_told(tool, monkeypatch):
    def crash(source, form, **options):
        raise RecursionError("too deep")

    monkeypatch.setattr(tool, "read_layouts", crash)
    summary = tool.run(tool.cases(2, 0), tool.Meter())
    assert [failure.ended for failure in summary.failures] == ["RecursionError", "RecursionError"]
    assert "FAILED" in "\n".join(summary.lines())
    monkeypatch.setattr(tool, "read_layouts", lambda source, form, **options: [bytearray(400 * 2**20)])
    monkeypatch.setattr(tool, "MOST_USED", 0)
    assert tool.run(tool.cases(1, 0), tool.Meter()).failures[0].megabytes > 300


def test_the_script_runs_one_case_alone():
    done = subprocess.run(
        [sys.executable, TOOLS / "fuzz_documents.py", "--only", "12", "--seed", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 cases, 0 failed" in done.stdout
