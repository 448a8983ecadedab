"""What happens when the layout is wrong, silent or crowded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from occlusionformer.evaluation.scenes.figures import Figure, figures
from occlusionformer.evaluation.scenes.jury import Jury, shown
from occlusionformer.evaluation.scenes.layouts import BenchScene
from occlusionformer.evaluation.scenes.pictures import Drawer, Progress, Wanted
from occlusionformer.evaluation.scenes.scoring import score
from occlusionformer.evaluation.scenes.variants import (
    Variant,
    with_instances,
    with_loop,
    with_moved_boxes,
    with_wrong_order,
    without_order,
)

COUNTS = (1, 2, 4, 8, 12, 16, 20, 25, 30)
"""Instances of the layouts of the last rows; the other splits end at 12."""
PER_COUNT = 12
"""Layouts for each of these counts."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One row of the table."""

    name: str
    layouts: int
    figures: dict[str, Figure]
    """Order against what is true of the scene, boxes against those declared."""
    obeyed: Figure
    """Occ against the order that was declared."""


Change = Callable[[BenchScene, np.random.Generator], "Variant | None"]

CHANGES: dict[str, Change] = {
    "order right": lambda scene, rng: with_wrong_order(scene, 0.0, rng),
    "order wrong for 10% of pairs": lambda scene, rng: with_wrong_order(scene, 0.1, rng),
    "order wrong for 25% of pairs": lambda scene, rng: with_wrong_order(scene, 0.25, rng),
    "order wrong for 50% of pairs": lambda scene, rng: with_wrong_order(scene, 0.5, rng),
    "three in a loop": lambda scene, rng: with_loop(scene),
    "no order": lambda scene, rng: without_order(scene),
    "boxes moved by up to 5%": lambda scene, rng: with_moved_boxes(scene, 0.05, rng),
    "boxes moved by up to 10%": lambda scene, rng: with_moved_boxes(scene, 0.1, rng),
}


def measure_robustness(
    scenes: Sequence[tuple[BenchScene, int]], *, per_count: int, drawer: Drawer, jury: Jury, progress: Progress
) -> list[Condition]:
    """A row for every change of these scenes, and for every number of instances; scenes come with their seeds."""
    conditions = []
    for number, (name, change) in enumerate(CHANGES.items()):
        changed = [
            (change(scene, np.random.default_rng([number, place])), seed) for place, (scene, seed) in enumerate(scenes)
        ]
        cases = [(variant, seed) for variant, seed in changed if variant is not None]
        conditions.append(_measure(name, f"change{number}", cases, drawer=drawer, jury=jury, progress=progress))
    for count in COUNTS:
        cases = [(with_instances(count, number), number) for number in range(per_count)]
        name = f"{count} instance{'s' if count > 1 else ''}"
        conditions.append(_measure(name, "count", cases, drawer=drawer, jury=jury, progress=progress))
    return conditions


def _measure(
    name: str, prefix: str, cases: Sequence[tuple[Variant, int]], *, drawer: Drawer, jury: Jury, progress: Progress
) -> Condition:
    wanted = [Wanted(key=f"{variant.scene.key}-{prefix}", scene=variant.scene, seed=seed) for variant, seed in cases]
    paths = drawer.draw(wanted, title=f"robustness: {name}", progress=progress)
    verdicts = jury.verdicts(shown(path, one.scene) for one, path in zip(wanted, paths, strict=True))
    progress(f"judging: {name}", 0, len(cases))
    scores, obeyed = [], []
    for (variant, _), verdict in zip(cases, verdicts, strict=True):
        scores.append(score(variant.scene, verdict))
        obeyed.append(score(variant.scene, verdict, variant.declared))
        progress(f"judging: {name}", len(scores), len(cases))
    return Condition(name=name, layouts=len(cases), figures=figures(scores), obeyed=figures(obeyed)["occ"])
