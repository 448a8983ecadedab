"""The report of a run: tables first, then the pictures, worst cases first."""

from __future__ import annotations

import io
from collections.abc import Sequence

from markupsafe import Markup
from PIL import Image, ImageDraw

from occlusionformer.evaluation.scenes.calibration import Calibration, judge_digest
from occlusionformer.evaluation.scenes.control import Swap
from occlusionformer.evaluation.scenes.figures import FIGURES, Figure, Judged, badness, figures
from occlusionformer.evaluation.scenes.judge import EDITION
from occlusionformer.evaluation.scenes.layouts import LAYOUTS
from occlusionformer.evaluation.scenes.robustness import Condition
from occlusionformer.evaluation.scenes.run import Results, control_figures, groups_of
from occlusionformer.pictures import read_picture
from occlusionformer.reporting import Section, figure, gallery, page, table, text

SHOWN = 24
"""Pictures of every split, and of the order control."""
PANEL = 256
"""Side of a picture in the report, in pixels."""
QUALITY = 85
RIGHT, WRONG, ASKED = "#35c46a", "#ff4d4d", "#f2d43c"


def report(results: Results) -> str:
    """The text of the HTML file."""
    painter = results.painter
    sections = [Section("Figures", _summary(results))]
    sections += [Section(f"Groups of the {split} split", _groups(judged)) for split, judged in results.splits.items()]
    if results.control is not None:
        sections.append(Section("Order control", _control(results.control)))
    if results.robustness is not None:
        sections.append(Section("Robustness", _robustness(results.robustness)))
    sections.append(Section("How far the judge can be trusted", _calibration(results.calibration)))
    sections.append(Section("Provenance", _provenance(results)))
    for split, judged in results.splits.items():
        sections.append(Section(f"Pictures of the {split} split, worst first", _pictures(judged)))
    if results.control:
        sections.append(Section("Pictures of the order control, failures first", _swaps(results.control)))
    return page(f"Scene benchmark: {painter.model}", sections)


def rows_of(results: Results) -> list[list[str]]:
    """A row for every figure, a column with intervals for every split, as text; above them the splits."""
    found = {split: figures([one.score for one in judged]) for split, judged in results.splits.items()}
    rows = [["", *(f"{split}, {len(judged)} layouts" for split, judged in results.splits.items())]]
    rows += [[title, *(_with_interval(each[name]) for each in found.values())] for name, title in FIGURES.items()]
    return rows


def calibration_rows(calibration: Calibration) -> list[list[str]]:
    """A row for every kind of known picture of every split, as text; above them the figures."""
    rows = [["pictures", "split", *FIGURES.values(), "decided pairs right"]]
    for trial in calibration.trials:
        values = [*(trial.figures[name].value for name in FIGURES), trial.decided_right]
        rows.append([trial.kind, trial.split, *("–" if value is None else f"{value:.3f}" for value in values)])
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


def _summary(results: Results) -> Markup:
    note = text(
        "Occ is the F1 of who hides whom, Dep the share of overlapping pairs in the wrong order (smaller is better), "
        "mIoU how well the boxes are met, O-mIoU the same of the common parts of boxes, identity the share of "
        "instances at whose place the object asked for is the nearest of all; completeness how much of what should be "
        "seen of the objects is seen. Background is the mean difference of colours (0 to 1) from the declared "
        "background, clutter the share of it that looks unlike it, sharpness the energy of gradients in the objects "
        "against that of the true ones, blockiness how far edges lie on a grid, lighting the mean change of colours "
        "that is put down to light. Beside each figure its 95% interval."
    )
    partial = results.wishes.limit < LAYOUTS
    warning = (
        text(f"Only the first {results.wishes.limit} of {LAYOUTS} layouts of each split.") if partial else Markup("")
    )
    headers, *rows = rows_of(results)
    return warning + table(headers, rows) + note


def _groups(judged: Sequence[Judged]) -> Markup:
    rows = []
    for name, group in groups_of(judged).items():
        found = figures([one.score for one in group])
        rows.append([name, len(group), *(found[key].value for key in FIGURES)])
    return table(["layouts with", "layouts", *FIGURES.values()], rows)


def _control(swaps: Sequence[Swap]) -> Markup:
    found = control_figures(swaps)
    names = {
        "pairs": "pairs",
        "flipped": "the winner changes with the declaration",
        "right_before": "right as declared",
        "right_after": "right when swapped",
        "changed_outside": "mean change of pixels outside both boxes",
        "changed_inside": "mean change of pixels where both boxes are",
    }
    note = text(
        "Same layout, same noise; one pair is swapped and every other relation kept. Changes are on a scale of 0 to 1."
    )
    return note + table(["", "value"], [[names[name], value] for name, value in found.items()])


def _robustness(conditions: Sequence[Condition]) -> Markup:
    note = text(
        "Boxes are compared with those declared. Occ and Dep are against the order that is true of the scene, "
        "Occ (declared) against the order that was asked for."
    )
    rows = [
        [one.name, one.layouts, *(one.figures[name].value for name in FIGURES), one.obeyed.value] for one in conditions
    ]
    return note + table(["layouts", "number", *FIGURES.values(), "Occ (declared)"], rows)


def _calibration(calibration: Calibration | None) -> Markup:
    if calibration is None:
        return text("This judge has not been calibrated.")
    headers, *rows = calibration_rows(calibration)
    return text(calibration_note(calibration)) + table(headers, rows)


def _provenance(results: Results) -> Markup:
    painter = results.painter
    facts = {
        "model": painter.model,
        "weights": painter.weights or "not known",
        "steps": "as the model prefers" if painter.steps is None else str(painter.steps),
        "size": "as the layouts" if painter.size is None else str(painter.size),
        "judge": f"edition {EDITION}, {judge_digest()}",
        **{name: "not known" if value is None else str(value) for name, value in results.code.items()},
    }
    return table(["", ""], [[name, value] for name, value in facts.items()])


def _pictures(judged: Sequence[Judged]) -> Markup:
    worst = sorted(judged, key=lambda one: (-badness(one), one.key))[:SHOWN]
    note = text(
        "Left what was asked for, in the middle what was drawn, right what the judge found: "
        "green where the object is the nearest of all, red where another one is."
    )
    return note + gallery([figure(_encode(_panels(one)), _caption(one)) for one in worst])


def _panels(one: Judged) -> Image.Image:
    assert one.picture is not None
    asked = Image.fromarray(one.scene.render()).resize((PANEL, PANEL), Image.Resampling.BICUBIC)
    drawn = read_picture(one.picture).image.resize((PANEL, PANEL), Image.Resampling.BICUBIC)
    found = drawn.copy()
    for box, name in zip(one.scene.layout.boxes, one.scene.names, strict=True):
        _mark(asked, tuple(box), name, ASKED)
    for sighting in one.verdict.sightings:
        if sighting.box is not None:
            colour = RIGHT if sighting.nearest == sighting.name else WRONG
            name = sighting.name if sighting.nearest == sighting.name else f"{sighting.name}? {sighting.nearest}"
            _mark(found, sighting.box, name, colour)
    sheet = Image.new("RGB", (3 * PANEL + 8, PANEL))
    for place, panel in enumerate((asked, drawn, found)):
        sheet.paste(panel, (place * (PANEL + 4), 0))
    return sheet


def _mark(image: Image.Image, box: Sequence[float], name: str, colour: str) -> None:
    pen = ImageDraw.Draw(image)
    x1, y1, x2, y2 = (edge * PANEL for edge in box)
    pen.rectangle((x1, y1, x2 - 1, y2 - 1), outline=colour)
    pen.text((x1 + 2, y1 + 1), name, fill="white", stroke_width=1, stroke_fill="black")


def _caption(one: Judged) -> str:
    wrong = []
    for i, j in zip(*(one.scene.truth.order == 1).nonzero(), strict=True):
        if not one.verdict.order[i, j]:
            wrong.append(f"{one.scene.names[i]} over {one.scene.names[j]}")
    values = [(FIGURES[name], getattr(one.score, name)) for name in FIGURES]
    shown = ", ".join(f"{name} {value:.2f}" for name, value in values if value is not None)
    missed = f"\nnot seen: {', '.join(wrong)}" if wrong else ""
    return f"{one.key}: {shown}{missed}"


def _swaps(swaps: Sequence[Swap]) -> Markup:
    failed_first = sorted(swaps, key=lambda one: (one.flipped, -one.changed_outside, one.key))[:SHOWN]
    return gallery([figure(_encode(_both(one)), _swap_caption(one)) for one in failed_first])


def _both(one: Swap) -> Image.Image:
    sheet = Image.new("RGB", (2 * PANEL + 4, PANEL))
    for place, path in enumerate(one.pictures):
        drawn = read_picture(path).image.resize((PANEL, PANEL), Image.Resampling.BICUBIC)
        sheet.paste(drawn, (place * (PANEL + 4), 0))
    return sheet


def _swap_caption(one: Swap) -> str:
    seen = {1: one.names[0], -1: one.names[1], 0: "neither"}
    return (
        f"{one.key}: {one.names[0]} over {one.names[1]}, then swapped. In front: {seen[one.before]}, "
        f"then {seen[one.after]}. Change outside {one.changed_outside:.3f}"
    )


def _encode(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=QUALITY)
    return stream.getvalue()


def _with_interval(found: Figure) -> str:
    if found.value is None:
        return "–"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
