"""The figures of a model card, from the results of `eval` or of `bench scenes`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from occlusionformer.evaluation.reports.numbers import is_shown
from occlusionformer.evaluation.running.result import read_result
from occlusionformer.evaluation.scenes.results import FORMAT as SCENES_FORMAT
from occlusionformer.pipelines.hub_card import FigureTable

Row = tuple[str, float, float | None, float | None, int]


def figures_of(path: Path, digest: str | None) -> tuple[FigureTable, ...]:
    """The tables of a result file, or of the one in a folder; digest: of the weights that are published.

    Raises ValueError for what is no result, for one without figures, and for one of other weights.
    """
    file = next((path / name for name in ("results.json", "result.json") if (path / name).is_file()), path)
    document = _document(file)
    is_scenes = document.get("benchmark") == "scenes"
    weights, tables = _of_scenes(file, document) if is_scenes else _of_evaluation(file)
    if weights is not None and digest is not None and weights != digest:
        raise ValueError(f"{file}: weights: expected {digest[:16]}..., those to publish, got {str(weights)[:16]!r}...")
    shown = tuple(table for table in tables if table.rows)
    if not shown:
        raise ValueError(f"{file}: expected figures, got a result without any")
    return shown


def _document(file: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{file}: no such file, nor a folder with a result.json or results.json") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: expected JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{file}: expected a result of `eval` or `bench scenes`, got {type(document).__name__}")
    return document


def _of_evaluation(file: Path) -> tuple[object, list[FigureTable]]:
    result = read_result(file)
    try:
        run, commit = result.document["run"], result.document["run"]["code"]["commit"]
        title = f"`{run['benchmark']['name']}`, {result.document['drawn']['number']} pictures"
        rows = tuple(
            (each.column.title, float(each.value), each.low, each.high, each.num_images)
            for each in result.scores
            if each.value is not None and is_shown(each)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: expected a result of an evaluation: {type(error).__name__}: {error}") from None
    return run.get("weights"), [FigureTable(title=f"{title}; code {str(commit)[:10]}", rows=rows)]


def _of_scenes(file: Path, document: Mapping[str, Any]) -> tuple[object, list[FigureTable]]:
    if document.get("format") != SCENES_FORMAT:
        raise ValueError(f"{file}: format: expected {SCENES_FORMAT}, got {document.get('format')!r}")
    try:
        said = document["provenance"]
        ending = f"{said['layouts_per_split']} layouts, {said['steps']} steps, edition {said['edition']} of the judge"
        tables = [
            FigureTable(title=f"`bench scenes`, {split}: {ending}", rows=tuple(_rows(found["figures"])))
            for split, found in document["splits"].items()
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: expected results of `bench scenes`: {type(error).__name__}: {error}") from None
    return said.get("weights"), tables


def _rows(figures: Mapping[str, Mapping[str, Any]]) -> Iterator[Row]:
    for name, found in figures.items():
        if found["value"] is not None:
            low, high = (None if found[end] is None else float(found[end]) for end in ("low", "high"))
            yield name, float(found["value"]), low, high, int(found["pictures"])


def tables_of(paths: Sequence[Path], digest: str | None) -> tuple[list[FigureTable], list[str]]:
    """The tables of all files, and the problems of those that have none."""
    tables: list[FigureTable] = []
    problems: list[str] = []
    for path in paths:
        try:
            tables += figures_of(path, digest)
        except ValueError as error:
            problems += [f"--result: {line}" for line in str(error).splitlines()]
    return tables, problems
