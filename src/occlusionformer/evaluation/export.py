"""The layouts of a benchmark as files, for programs elsewhere that draw them; their pictures can be judged here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from occlusionformer.evaluation.benchmark import Benchmark, BenchmarkItem
from occlusionformer.evaluation.judgement import Json
from occlusionformer.evaluation.running.folder import RunFolder
from occlusionformer.evaluation.running.result import RecordedRun
from occlusionformer.generation import nearest_size
from occlusionformer.layout import FORMATS, LayoutError, write_atomic, write_layout
from occlusionformer.layout.problems import one_of

MOST_PROBLEMS = 100
INDEX = "index.json"
ENDINGS = {"overlaybench": ".txt"}
"""By format; the others are JSON."""


@dataclass(frozen=True, kw_only=True)
class ExportedLayouts:
    """What was written."""

    folder: Path
    number: int
    num_ordered: int
    """Layouts that say who is in front of whom."""
    lost: tuple[str, ...]
    """What the format could not hold, one line for each field of each layout."""


def export_layouts(
    benchmark: Benchmark, folder: Path, *, format: str = "native", limit: int | None = None, lossy: bool = False
) -> ExportedLayouts:
    """Write `layouts/KEY.json` for every item in one of the layout formats, and an index of all of them.

    `index.json` has for every item its key, files, canvas, prompt, and the instances with captions, categories and
    boxes in pixels, and the pairs of ids of which the first is in front of the second. Nothing is written before
    everything was found to be right.

    Raises ValueError for a folder with files in it, and LayoutError, unless `lossy`, with everything that the format
    cannot hold.
    """
    if format not in FORMATS:
        raise LayoutError([f"format: expected {one_of(FORMATS)}, got {format!r}"])
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1, got {limit}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"out: expected a new or empty folder, got {str(folder)!r}")
    items = [benchmark.items[place] for place in range(min(len(benchmark.items), limit or len(benchmark.items)))]
    texts, lost = _texts(items, format, lossy=lossy)
    (folder / "layouts").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_atomic(folder / name, text)
    rows = [_row(item, name) for item, name in zip(items, texts, strict=True)]
    write_atomic(folder / INDEX, json.dumps(_index(benchmark, format, rows), indent=1, ensure_ascii=False) + "\n")
    num_ordered = sum(row["in_front_of"] is not None for row in rows)
    return ExportedLayouts(folder=folder, number=len(items), num_ordered=num_ordered, lost=tuple(lost))


def benchmark_of_run(folder: Path) -> Benchmark:
    """The benchmark of a run as it was drawn: with the orders that judges saw in the references.

    Raises ValueError for a folder without a run.
    """
    run = RecordedRun.of(RunFolder(folder))
    condition = run.benchmark.conditions_on
    items = [run.store.conditioned(item, condition) for item in run.items.values()]
    return Benchmark(**{**vars(run.benchmark), "items": items, "conditions_on": None})


def _texts(items: Sequence[BenchmarkItem], format: str, *, lossy: bool) -> tuple[dict[str, str], list[str]]:
    """The text of every file by its name, and what is lost in them."""
    texts: dict[str, str] = {}
    problems: list[str] = []
    for item in items:
        name = f"layouts/{item.key}{ENDINGS.get(format, '.json')}"
        try:
            texts[name] = write_layout(item.layout, format)
        except LayoutError as error:
            problems += [f"{item.key}: {problem}" for problem in error.problems]
            texts[name] = write_layout(item.layout, format, lossy=True) if lossy else ""
    if problems and not lossy:
        rest = len(problems) - MOST_PROBLEMS
        raise LayoutError([*problems[:MOST_PROBLEMS], *([f"and {rest} more"] if rest > 0 else [])])
    return texts, problems


def _index(benchmark: Benchmark, format: str, rows: list[dict[str, Json]]) -> dict[str, Json]:
    return {
        "benchmark": benchmark.name,
        "title": benchmark.title,
        "format": format,
        "num_items": len(rows),
        "items": rows,
    }


def _row(item: BenchmarkItem, file: str) -> dict[str, Json]:
    layout = item.layout
    ids = [instance.id for instance in layout.instances]
    zorder = layout.zorder
    return {
        "key": item.key,
        "layout": file,
        "picture": f"{item.key}.png",
        "width": layout.width,
        "height": layout.height,
        "drawn_size": list(nearest_size(layout.width, layout.height)),
        "prompt": layout.prompt,
        "instances": [
            {
                "id": instance.id,
                "caption": instance.caption,
                "category": category,
                "box": [round(edge, 3) for edge in _pixels(instance.box, layout.width, layout.height)],
            }
            for instance, category in zip(layout.instances, item.truth.categories, strict=True)
        ],
        "in_front_of": None
        if zorder is None
        else [[ids[front], ids[behind]] for front, behind in sorted(zorder.edges)],
    }


def _pixels(box: Iterable[float], width: int, height: int) -> list[float]:
    return [edge * side for edge, side in zip(box, (width, height) * 2, strict=True)]
