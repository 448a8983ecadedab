"""What two places say alike is one function too few."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.structure import sources as places
from tests.structure.duplication import twins
from tests.structure.sources import Source, sources

MOST_TOKENS = 70
"""Seven to ten lines. Shorter runs are how Python looks: a call with many arguments, a shape that is checked."""


def test_no_code_stands_twice():
    assert list(map(str, twins(sources(), MOST_TOKENS))) == []


BODY = """
    total = 0
    for place, value in enumerate(values):
        if value > limit:
            total += value * place
    return total
"""
OTHER_LAYOUT = """
    # counts
    total = (
        0
    )
    for place, value in enumerate(
        values
    ):
        if value > limit: total += value * place  # more

    return total
"""


@pytest.mark.parametrize("other", ["a.py", "b.py"])
def test_twins_are_found_whatever_their_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str):
    monkeypatch.setattr(places, "PACKAGE", tmp_path)
    first = f"def first(values, limit):\n    'One.'{BODY}"
    second = f"def second(values, *, limit=3):{BODY.replace('total = 0', 'total = 1', 1)}"
    (tmp_path / "a.py").write_text(first)
    (tmp_path / other).write_text(f"{first}\n\n{second}" if other == "a.py" else f"\n\n{second}")
    (found,) = twins([Source(tmp_path / name) for name in sorted({"a.py", other})], 20)
    assert found.tokens == 22
    assert str(found) == f"a.py:4 and {other}:{12 if other == 'a.py' else 5}: 22 tokens"
    assert twins([Source(tmp_path / name) for name in sorted({"a.py", other})], 23) == []


def test_comments_brackets_of_lines_and_arguments_passed_on_count_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text(f"def first(values, limit):{BODY}")
    (tmp_path / "b.py").write_text(f"def second(values, limit):{OTHER_LAYOUT}")
    (tmp_path / "c.py").write_text("def third(a, b, c):\n    return first(a=a, b=b, c=c)\n")
    (tmp_path / "d.py").write_text("def fourth(a, b, c):\n    return first(a=a, b=b, c=c)\n")
    files = [Source(tmp_path / f"{name}.py") for name in "abcd"]
    (found,) = twins(files, 15)
    assert found.files == {"a.py", "b.py"}
    assert twins(files[2:], 8) == []
