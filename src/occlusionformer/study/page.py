"""A study to read: the short table, the whole one, differences with their intervals, and the worst layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from occlusionformer.evaluation.reports.cases import layout_case, per_picture
from occlusionformer.evaluation.running.folder import RunFolder
from occlusionformer.evaluation.running.result import Result, judgements_in, read_result
from occlusionformer.evaluation.scenes.figures import COLUMNS, FIGURES
from occlusionformer.layout import write_atomic
from occlusionformer.reporting import Section, line_chart, page, table, text
from occlusionformer.study.folder import PAGE, TABLE
from occlusionformer.study.result import StudyResult
from occlusionformer.study.statistics import Estimate

SHORT = ("occ", "miou", "o_miou", "identity")
"""Figures of the short table."""
WORST = 6
"""Layouts shown on which the reference cell is worst."""


def write_pages(result: StudyResult) -> None:
    """`study.html` and `study.md`."""
    write_atomic(result.folder.path / PAGE, html(result))
    write_atomic(result.folder.path / TABLE, markdown(result))


def html(result: StudyResult) -> str:
    """One file that needs nothing beside it."""
    plan = result.plan
    sections = [
        Section("The table", table(_headers(result), short_rows(result))),
        Section("Budget", table(("", ""), _budget(result))),
        Section(
            "Methods", table(("cell", "method", "settings", "seeds", "trained", "rate", "images/s"), _methods(result))
        ),
    ]
    sections.append(Section("Seconds of one processor for a picture, by boxes", _seconds(result)))
    for benchmark in plan.benchmarks:
        rows = [
            [cell.name, *(_shown(result.figures(cell, benchmark)[name]) for name in FIGURES)] for cell in plan.cells
        ]
        sections.append(Section(f"{benchmark}: all figures", table(("cell", *FIGURES.values()), rows)))
    if len(plan.cells) > 1:
        sections += [Section(f"{plan.reference} less the others", _advantages(result)), Section("Plot", _plot(result))]
    return page(f"Study: {plan.name}", [*sections, *_worst(result)])


def markdown(result: StudyResult) -> str:
    """The short table, and the advantages in Occ with their intervals."""
    plan = result.plan
    seeds = {cell.name: result.seeds(cell) for cell in plan.cells}
    lines = [*_markdown_table(_headers(result), short_rows(result)), ""]
    rows = advantage_rows(result, "occ")
    if rows:
        headers = [f"{plan.reference} less", *plan.benchmarks, "growth"]
        lines += ["Occ, with 95% intervals over layouts and seeds:", "", *_markdown_table(headers, rows), ""]
    counted = ", ".join(f"{name} {count}" for name, count in seeds.items())
    lines += [
        f"{plan.images} images of batch {plan.batch} for every training; {plan.limit} layouts; seeds: {counted}.",
        "",
    ]
    return "\n".join(lines)


def short_rows(result: StudyResult) -> list[list[str]]:
    """A row for every cell: the short figures on every benchmark."""
    return [
        [
            cell.name,
            *(
                _number(result.figures(cell, benchmark)[name].value)
                for benchmark in result.plan.benchmarks
                for name in SHORT
            ),
        ]
        for cell in result.plan.cells
    ]


def advantage_rows(result: StudyResult, figure: str) -> list[list[str]]:
    """A row for every cell but the reference: its difference on every benchmark, and how that grows."""
    return [
        [
            cell.name,
            *(_shown(result.advantage(cell, benchmark)[figure]) for benchmark in result.plan.benchmarks),
            _shown(result.growth(cell)[figure]),
        ]
        for cell in result.plan.cells
        if cell.name != result.plan.reference
    ]


def _headers(result: StudyResult) -> list[str]:
    return ["cell", *(f"{benchmark}: {FIGURES[name]}" for benchmark in result.plan.benchmarks for name in SHORT)]


def _budget(result: StudyResult) -> list[list[str]]:
    plan = result.plan
    facts = {
        "images of a training": plan.images,
        "batch": plan.batch,
        "rates tried": ", ".join(f"{rate:g}" for rate in plan.rates),
        "images of each try": plan.search_images,
        "layouts of a benchmark": plan.limit,
        "judge": plan.judge,
        "backbone": "fresh weights, trained by every cell" if plan.backbone is None else "the same for all cells",
    }
    return [[name, str(value)] for name, value in facts.items()]


def _methods(result: StudyResult) -> list[list[str]]:
    costs, known = result.costs(), result.as_json()["cells"]
    rows = []
    for cell in result.plan.cells:
        runs, speeds = (
            known[cell.name]["runs"],
            [cost["images_per_second"] for cost in costs[cell.name]["training"] if cost],
        )
        rows.append(
            [
                cell.name,
                cell.method,
                " ".join(cell.settings),
                str(result.seeds(cell)),
                f"{runs[0]['trainable_parameters']:,}" if runs else "–",
                f"{runs[0]['rate']:g}" if runs and runs[0]["rate"] else "–",
                _number(sum(speeds) / len(speeds) if speeds else None),
            ]
        )
    return rows


def _seconds(result: StudyResult) -> Markup:
    """Curves over the number of boxes."""
    drawn = {name: (cost["drawing"] or {}).get("processor_seconds", {}) for name, cost in result.costs().items()}
    curves = {name: [(float(count), value) for count, value in taken.items()] for name, taken in drawn.items()}
    return line_chart({name: sorted(curve) for name, curve in curves.items()}, "boxes", "seconds")


def _advantages(result: StudyResult) -> Markup:
    plan = result.plan
    note = text(
        f"{plan.reference} less the other cell on the same layouts, with 95% intervals over layouts and seeds drawn "
        f"anew. Growth: the difference on {plan.benchmarks[-1]} less that on {plan.benchmarks[0]}."
    )
    parts = [note]
    for name in SHORT:
        parts += [text(FIGURES[name]), table(("cell", *plan.benchmarks, "growth"), advantage_rows(result, name))]
    return Markup("").join(parts)


def _plot(result: StudyResult) -> Markup:
    """Occ of every cell from the first benchmark to the last."""
    curves: Mapping[str, Sequence[tuple[float, float]]] = {
        cell.name: [
            (place, float("nan") if value is None else value)
            for place, benchmark in enumerate(result.plan.benchmarks)
            for value in [result.figures(cell, benchmark)["occ"].value]
        ]
        for cell in result.plan.cells
    }
    return line_chart(curves, f"benchmark, from {result.plan.benchmarks[0]} to {result.plan.benchmarks[-1]}", "Occ")


def _worst(result: StudyResult) -> list[Section]:
    """The layouts of the last benchmark on which the reference is worst, drawn by all cells with the first seed."""
    plan, benchmark = result.plan, result.plan.benchmarks[-1]
    places = {cell.name: result.folder.judging(cell, plan.seeds[0], benchmark) for cell in plan.cells}
    found = {name: read_result(place) for name, place in places.items() if (place / "result.json").exists()}
    reference = found.get(plan.reference)
    values = {} if reference is None else _occ(reference)
    if reference is None or not values:
        return []
    items = {item.key: item for item in RunFolder(places[plan.reference]).items()}
    store = judgements_in(RunFolder(places[plan.reference]))
    cases = []
    for key in sorted(values, key=lambda key: (values[key], key))[:WORST]:
        drawn = [(one, f"{name}: Occ {_number(_occ(one).get(key))}", None) for name, one in found.items()]
        cases.append(layout_case(store.as_drawn(items[key]), drawn))
    shown = [case for case in cases if case is not None]
    return [Section(f"{benchmark}: where {plan.reference} is worst", Markup("").join(shown))] if shown else []


def _occ(result: Result) -> dict[str, float]:
    """Occ of every picture that has a pair that counts."""
    return next((per_picture(score) for score in result.scores if score.column.name == COLUMNS["occ"]), {})


def _markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [headers, ["---"] * len(headers), *rows]]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _shown(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "–"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
