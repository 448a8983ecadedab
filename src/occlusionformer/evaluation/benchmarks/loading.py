"""Benchmarks from their definitions: those of this package by name, others by the path of a JSON file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from occlusionformer.evaluation.benchmark import Benchmark, BenchmarkItem, Question
from occlusionformer.evaluation.benchmarks.definition import Definition
from occlusionformer.evaluation.benchmarks.source import BenchmarkError, LoadedItems
from occlusionformer.evaluation.benchmarks.sources import SOURCES
from occlusionformer.evaluation.specs import METRICS
from occlusionformer.layout import LayoutError
from occlusionformer.layout.problems import one_of

MOST_SHOWN = 20
"""The most problems of rows that a message lists: a file in a wrong format has one in every row."""


def benchmark_names() -> tuple[str, ...]:
    """Names of the benchmarks of this package."""
    folder = resources.files("occlusionformer.evaluation.benchmarks") / "definitions"
    return tuple(sorted(path.name.removesuffix(".json") for path in folder.iterdir() if path.name.endswith(".json")))


Unreadable = Literal["fail", "skip"]
"""What to do about rows that cannot be read: refuse the benchmark, or leave them out and name them."""


def load_benchmark(
    name: str | Path,
    data: str | Path | None = None,
    *,
    unreadable: Unreadable = "fail",
    source_settings: Mapping[str, Any] | None = None,
) -> Benchmark:
    """A benchmark with its items.

    `name` is one of `benchmark_names()`, or the path of a definition; `data` is the folder with its files, by default
    that of the definition. `source_settings` go before those of the definition's source. With `unreadable="skip"` rows
    that cannot be read are left out, named in the settings and counted in the notes.

    Raises BenchmarkError with every problem of the files, LayoutError with every problem of the definition.
    """
    definition, folder = _definition(name)
    source = SOURCES.get(definition.source["format"])
    if source is None:
        raise LayoutError([f"source.format: expected {one_of(SOURCES)}, got {definition.source['format']!r}"])
    try:
        settings = source.settings.model_validate(
            {**{key: value for key, value in definition.source.items() if key != "format"}, **(source_settings or {})}
        )
    except LayoutError as error:
        raise error.under(("source",)) from None
    root = _folder(definition, folder if data is None else Path(data)) if source.has_files else Path()
    loaded = source.read(settings, root)
    problems = loaded.problems + _repeated(loaded.items)
    if problems and unreadable == "fail":
        raise BenchmarkError(_shortened(problems))
    items = _first_of_each(loaded.items) if loaded.made_later is None else loaded.made_later
    if not items:
        raise BenchmarkError([f"{root}: expected items of {definition.name}, found none", *_shortened(problems)])
    return Benchmark(
        name=definition.name,
        title=definition.title,
        items=items,
        metrics=tuple(METRICS[metric] for metric in definition.metrics),
        conditions_on=Question("order", "reference") if definition.conditions_on else None,
        settings={
            "source": {"format": source.name, **settings.model_dump(mode="json")},
            "judges": dict(definition.judges),
            "files": {path.relative_to(root).as_posix(): path.stat().st_size for path in loaded.files},
            "num_items": len(items),
            **_exceptions(loaded),
        },
        reported=definition.reported,
        reported_with=None if definition.reported_with is None else definition.reported_with.model_dump(mode="json"),
        notes=(*definition.notes, *loaded.notes, *_notes_on(loaded)),
        groups=loaded.groups,
    )


def _exceptions(loaded: LoadedItems) -> dict[str, Any]:
    """Settings that list rows left out and boxes cut off."""
    found: dict[str, Any] = {"left out": list(loaded.refused)}
    if loaded.clipped:
        found["clipped boxes"] = {"number": len(loaded.clipped), "first": loaded.clipped[:MOST_SHOWN]}
    return found


def _notes_on(loaded: LoadedItems) -> list[str]:
    notes = []
    if loaded.refused:
        notes.append(f"{_count(len(loaded.refused), 'row')} could not be read: left out.")
    if loaded.clipped:
        boxes = _count(len(loaded.clipped), "box", "boxes")
        notes.append(f"{boxes} reached slightly beyond the canvas: layouts have them cut off, metrics as given.")
    return notes


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"1 {one}" if number == 1 else f"{number} {many or one + 's'}"


def _folder(definition: Definition, given: Path | None) -> Path:
    if given is None or not given.is_dir():
        got = "nothing" if given is None else repr(str(given))
        raise BenchmarkError([f"data: expected the folder with the files of {definition.name}, got {got}"])
    return given


def _definition(name: str | Path) -> tuple[Definition, Path | None]:
    """The definition, and the folder it is in; None for those of this package, which come without files."""
    if isinstance(name, str) and name in benchmark_names():
        packaged = resources.files("occlusionformer.evaluation.benchmarks") / "definitions" / f"{name}.json"
        return Definition.model_validate_json(packaged.read_bytes()), None
    path = Path(name)
    if path.suffix != ".json" or not path.is_file():
        expected = f"{one_of(benchmark_names())}, or the path of a definition"
        raise BenchmarkError([f"benchmark: expected {expected}, got {str(name)!r}"])
    return Definition.model_validate_json(path.read_bytes()), path.parent


def _repeated(items: Sequence[BenchmarkItem]) -> list[str]:
    counts = Counter(item.key for item in items)
    return [f"{key}: expected every id once, got it {count} times" for key, count in counts.items() if count > 1]


def _first_of_each(items: Sequence[BenchmarkItem]) -> tuple[BenchmarkItem, ...]:
    first: dict[str, BenchmarkItem] = {}
    for item in items:
        first.setdefault(item.key, item)
    return tuple(first.values())


def _shortened(problems: list[str]) -> list[str]:
    rest = len(problems) - MOST_SHOWN
    return [*problems[:MOST_SHOWN], f"and {rest} more"] if rest > 0 else problems
