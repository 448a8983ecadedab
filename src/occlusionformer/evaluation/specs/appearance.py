"""How a picture looks beside what is where in it: whole objects, the background, clutter, sharpness, squares, light."""

from __future__ import annotations

from collections.abc import Mapping

from occlusionformer.evaluation.benchmark import (
    BenchmarkItem,
    Column,
    Contribution,
    MetricSpec,
    ParsedAnswers,
    Question,
)

LOOK = Question("appearance")

COLUMNS = (
    Column(name="completeness", title="Completeness"),
    Column(name="background", title="Background", higher_is_better=False),
    Column(name="clutter", title="Clutter", higher_is_better=False),
    Column(name="sharpness", title="Sharpness", target=1.0),
    Column(name="blockiness", title="Blockiness", higher_is_better=False),
    Column(name="lighting", title="Lighting", higher_is_better=False),
)
WORST = {"completeness": 0.0, "background": 1.0, "clutter": 1.0, "sharpness": 0.0, "blockiness": 1.0, "lighting": 1.0}
"""What a picture scores that could not be judged."""


def _figures(item: BenchmarkItem, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    found = answers[LOOK]
    values = found if found is not None and WORST.keys() <= found.keys() else WORST
    return {name: None if values[name] is None else Contribution(values[name]) for name in WORST}


def _colour(item: BenchmarkItem, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    found = answers[LOOK]
    share = 0.0 if found is None else found.get("colour", 0.0)
    return {"colour": None if share is None else Contribution(share)}


COLOUR = MetricSpec(
    name="colour",
    needs=(LOOK,),
    columns=(Column(name="colour", title="Colour"),),
    of_image=_colour,
    settings={
        "share": "of the objects that may have several colours, those nearest to the colour asked for",
        "average": "over pictures with such objects",
    },
)
APPEARANCE = MetricSpec(
    name="appearance",
    needs=(LOOK,),
    columns=COLUMNS,
    of_image=_figures,
    settings={
        "average": "over pictures",
        "completeness": "share of what should be seen of the objects that is seen; absent ones are 0",
        "background": "mean absolute difference, 0..1, from the declared background outside the objects",
        "clutter": "share of the pixels outside the objects that look unlike the declared background",
        "sharpness": "energy of the gradients in the objects against that of the true ones",
        "blockiness": "how far edges lie on a grid, 0..1",
        "lighting": "mean absolute change of colours, 0..1, that is put down to light",
    },
)
