"""A table of cases as one test: every case is tried, and the message names all that fail.

    @for_each("text, value", [("1", 1), ("1.5", 1.5)])
    def test_numbers_are_read(text, value): ...

is written as `pytest.mark.parametrize` is and may stand on top of another `for_each`, but is one test. It is for one
behaviour with many inputs; where inputs stand for different behaviours, or take seconds each, `parametrize` shows more.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from reprlib import Repr
from typing import Any

import pytest

Case = tuple[str, dict[str, Any]]
"""What messages call it, and its arguments."""

BRIEF = Repr()
BRIEF.maxstring = BRIEF.maxother = 60


def for_each(
    names: str | Sequence[str], values: Iterable[Any], ids: Callable[[Any], Any] | Sequence[str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for every row of a table and raise what went wrong together.

    Every case has a `tmp_path` of its own, its `monkeypatch` is undone and `capsys` is empty at its start; other
    fixtures are shared by all cases.
    """
    fields = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    table = [_case(fields, value, ids, number) for number, value in enumerate(values)]
    assert table, f"no cases of {fields}"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        inner: Callable[..., None] = getattr(test, "one_case", test)
        tables: list[list[Case]] = [*getattr(test, "tables", []), table]

        @functools.wraps(inner)
        def run(*owner: Any, **fixtures: Any) -> None:
            cases = [_joined(rows) for rows in itertools.product(*tables)]
            failed: list[tuple[str, BaseException]] = []
            for number, (name, arguments) in enumerate(cases):
                try:
                    with _fresh(fixtures, number) as own:
                        inner(*owner, **arguments, **own)
                except (Exception, pytest.fail.Exception) as error:
                    error.add_note(f"case {name}")
                    failed.append((name, error))
            if failed:
                said = f"{len(failed)} of {len(cases)} cases fail: {'; '.join(name for name, _ in failed)}"
                raise BaseExceptionGroup(said, [error for _, error in failed])

        known = inspect.signature(test).parameters
        assert set(fields) <= set(known), f"{test.__name__} takes no {fields}"
        run.__signature__ = inspect.Signature([known[name] for name in known if name not in fields])  # type: ignore[attr-defined]
        run.one_case, run.tables = inner, tables  # type: ignore[attr-defined]
        return run

    return decorate


def _case(fields: list[str], value: Any, ids: Callable[[Any], Any] | Sequence[str] | None, number: int) -> Case:
    """A row as `parametrize` takes it: a value, a tuple of values or a `pytest.param`."""
    name = None
    if isinstance(value, type(pytest.param(0))):
        assert not value.marks, "a case cannot be marked: leave it to pytest.mark.parametrize"
        name, row = value.id, value.values
    else:
        row = (value,) if len(fields) == 1 else tuple(value)
    assert len(row) == len(fields), f"case {number}: {len(row)} values for {fields}"
    if name is None and callable(ids):
        name = "-".join(str(ids(cell)) for cell in row).strip("-")
    elif name is None and ids is not None:
        name = ids[number]
    return name or "-".join(_brief(cell) for cell in row), dict(zip(fields, row, strict=True))


def _brief(value: Any) -> str:
    return getattr(value, "__name__", None) or BRIEF.repr(value)


def _joined(rows: Sequence[Case]) -> Case:
    arguments: dict[str, Any] = {}
    for _, row in rows:
        arguments |= row
    return "-".join(name for name, _ in rows), arguments


@contextmanager
def _fresh(fixtures: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """Fixtures that hold something of a case, as new for the next one."""
    own = dict(fixtures)
    if "tmp_path" in own:
        own["tmp_path"] = Path(own["tmp_path"], f"case{number}")
        own["tmp_path"].mkdir()
    for name in {"capsys", "capfd", "capsysbinary", "capfdbinary"} & own.keys():
        own[name].readouterr()
    if "caplog" in own:
        own["caplog"].clear()
    if "monkeypatch" not in own:
        yield own
        return
    with own["monkeypatch"].context() as patch:
        yield own | {"monkeypatch": patch}
