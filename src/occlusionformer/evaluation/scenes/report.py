"""The report of a run: the tables of all parts first, then all that `eval` reports of each of them."""

from __future__ import annotations

from markupsafe import Markup

from occlusionformer.evaluation.reports.cases import layout_case
from occlusionformer.evaluation.reports.writing import report_sections
from occlusionformer.evaluation.scenes.calibration import Calibration
from occlusionformer.evaluation.scenes.control import Swap, control_figures, swaps_of
from occlusionformer.evaluation.scenes.edition import judge_digest
from occlusionformer.evaluation.scenes.figures import FIGURES, NOTHING, Figure, figures
from occlusionformer.evaluation.scenes.judge import EDITION
from occlusionformer.evaluation.scenes.layouts import LAYOUTS
from occlusionformer.evaluation.scenes.measuring import Measured, Results
from occlusionformer.evaluation.scenes.results import robustness_rows
from occlusionformer.reporting import Section, page, table, text

SHOWN = 24
"""Pairs of the order control whose pictures are shown."""
CONTROL_NAMES = {
    "pairs": "pairs",
    "flipped": "the winner changes with the declaration",
    "right_before": "right as declared",
    "right_after": "right when swapped",
    "changed_outside": "mean change of pixels outside both boxes",
    "changed_inside": "mean change of pixels where both boxes are",
}
FIGURES_NOTE = (
    "Occ is the F1 of who hides whom, Dep the share of overlapping pairs in the wrong order (smaller is better), "
    "mIoU how well the boxes are met, O-mIoU the same of the common parts of boxes, identity the share of "
    "instances at whose place the object asked for is the nearest of all; completeness how much of what should be "
    "seen of the objects is seen, colour the share of the objects that may have several colours which have the one "
    "asked for. Background is the mean difference of colours (0 to 1) from the declared "
    "background, clutter the share of it that looks unlike it, sharpness the energy of gradients in the objects "
    "against that of the true ones, blockiness how far edges lie on a grid, lighting the mean change of colours "
    "that is put down to light. Beside each figure its 95% interval."
)


def report(results: Results) -> str:
    """The text of the HTML file."""
    sections = [Section("Figures", _summary(results))]
    swaps = [] if results.control is None else swaps_of(results.control.result, results.control.recorded)
    if results.control is not None:
        sections.append(Section("Order control", _control(swaps)))
    if results.robustness is not None:
        headers, *rows = robustness_table(results.robustness)
        sections.append(Section("Robustness", table(headers, rows)))
    sections.append(Section("How far the judge can be trusted", _calibration(results.calibration)))
    sections.append(Section("Provenance", table(["", ""], _provenance(results))))
    for split, part in results.splits.items():
        sections += _sections(f"The {split} split", part)
    if results.robustness is not None:
        sections += _sections("Robustness, all conditions", results.robustness)
    if results.control is not None and swaps:
        shown = _swaps(results.control, swaps)
        sections.append(Section("Pictures of the order control, failures first", shown))
    return page(f"Scene benchmark: {results.model.name}", sections)


def rows_of(results: Results) -> list[list[str]]:
    """A row for every figure, a column with intervals for every split, as text; above them the splits."""
    found = {split: figures(part.result.scores) for split, part in results.splits.items()}
    rows = [["", *(f"{split}, {len(part.recorded.items)} layouts" for split, part in results.splits.items())]]
    rows += [[title, *(_with_interval(each[name]) for each in found.values())] for name, title in FIGURES.items()]
    return rows


def robustness_table(measured: Measured) -> list[list[str]]:
    """A row for every condition, as text; above them the figures."""
    rows = [["robustness", "layouts", *FIGURES.values(), "Occ (declared)"]]
    for row in robustness_rows(measured):
        values = [*(row["figures"][name]["value"] for name in FIGURES), row["obeyed"]["value"]]
        rows.append([row["name"], str(row["layouts"]), *map(short, values)])
    return rows


def calibration_rows(calibration: Calibration) -> list[list[str]]:
    """A row for every kind of known picture of every split, as text; above them the figures."""
    rows = [["pictures", "split", *FIGURES.values(), "decided pairs right"]]
    for trial in calibration.trials:
        values = [*(trial.figures.get(name, NOTHING).value for name in FIGURES), trial.decided_right]
        rows.append([trial.kind, trial.split, *map(short, values)])
    return rows


def calibration_note(calibration: Calibration) -> str:
    """What the figures of a calibration are of."""
    note = (
        f"What the judge says of known pictures of {calibration.layouts} layouts of every split. "
        "Half of the decided pairs right is chance."
    )
    if calibration.judge != judge_digest():
        note += " This was measured with another version of the judge."
    return note


def short(value: float | int | None) -> str:
    """Three digits after the point."""
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _sections(title: str, measured: Measured) -> list[Section]:
    """What the report of a part's own folder says, each section under the title of the part."""
    found = report_sections(measured.result, measured.recorded.items, measured.recorded.store)
    return [Section(f"{title}: {each.heading}", each.body_html) for each in found]


def _summary(results: Results) -> Markup:
    is_partial = results.wishes.limit < LAYOUTS
    told = f"Only the first {results.wishes.limit} of {LAYOUTS} layouts of each split."
    warning = text(told) if is_partial else Markup("")
    headers, *rows = rows_of(results)
    return warning + table(headers, rows) + text(FIGURES_NOTE)


def _control(swaps: list[Swap]) -> Markup:
    note = text(
        "Same layout, same noise; one pair is swapped and every other relation kept. Changes are on a scale of 0 to 1."
    )
    rows = [[CONTROL_NAMES[name], value] for name, value in control_figures(swaps).items()]
    return note + table(["", "value"], rows)


def _calibration(calibration: Calibration | None) -> Markup:
    if calibration is None:
        return text("No calibration of this edition of the judge is at hand: measure one with --calibrate.")
    headers, *rows = calibration_rows(calibration)
    return text(calibration_note(calibration)) + table(headers, rows)


def _provenance(results: Results) -> list[list[str]]:
    model = results.model
    facts = {
        "model": model.name,
        "weights": model.weights or "not known",
        "steps": "as the model prefers" if model.steps is None else str(model.steps),
        "size": "as the layouts" if model.size is None else str(model.size),
        "judge": f"edition {EDITION}, {judge_digest()}",
        **{name: "not known" if value is None else str(value) for name, value in results.code.items()},
    }
    return [[name, value] for name, value in facts.items()]


def _swaps(measured: Measured, swaps: list[Swap]) -> Markup:
    failed_first = sorted(swaps, key=lambda one: (one.flipped, -one.changed_outside, one.key))[:SHOWN]
    items, store = measured.recorded.items, measured.recorded.store
    swapped = {item.swapped.of: item for item in items.values() if item.swapped}
    cases = []
    for one in failed_first:
        seen = {1: one.names[0], -1: one.names[1], 0: "neither"}
        first = f"{one.names[0]} over {one.names[1]}; in front: {seen[one.before]}"
        second = f"swapped; in front: {seen[one.after]}. Change outside {one.changed_outside:.3f}"
        for item, caption in ((items[one.key], first), (swapped[one.key], second)):
            cases.append(layout_case(store.as_drawn(item), [(measured.result, caption, None)]))
    return Markup("").join(case for case in cases if case is not None)


def _with_interval(found: Figure) -> str:
    if found.value is None:
        return "–"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
