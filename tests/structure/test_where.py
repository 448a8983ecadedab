"""The list of places in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re

from tests.structure.sources import ROOT

ROW = re.compile(r"^\| (?P<what>[^|]+) \| `(?P<path>[^`]+)` \| `(?P<name>[^`]+)` \|$", re.M)
"""A row: what, the file, the name in it."""


def test_every_place_that_newcomers_are_told_of_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Where is what")[2].partition("\n## ")[0]
    rows = [row.groups() for row in ROW.finditer(section)]
    assert len(rows) == section.count("\n| ") - 1, "a row is not of the form | what | `file` | `name` |"
    assert len(rows) >= 20
    assert len({what for what, _, _ in rows}) == len(rows)
    lost = [(path, name) for _, path, name in rows if not (ROOT / path).is_file() or name not in _names(path)]
    assert lost == []


def _names(path: str) -> set[str]:
    """Functions, classes and variables at the top of a file."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found
