"""Order control: the same boxes and the same noise with one pair swapped, and what that changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from occlusionformer.evaluation.scenes.judge import Verdict
from occlusionformer.evaluation.scenes.jury import Jury, shown
from occlusionformer.evaluation.scenes.layouts import BenchScene
from occlusionformer.evaluation.scenes.pictures import Drawer, Progress, Wanted
from occlusionformer.evaluation.scenes.variants import Variant, with_swapped_pair
from occlusionformer.pictures import read_picture


@dataclass(frozen=True, kw_only=True)
class Swap:
    """One pair, drawn both ways."""

    key: str
    names: tuple[str, str]
    """The object declared in front at first, and the other."""
    before: int
    """1: the one declared in front is seen in front; -1: the other is; 0: it cannot be told."""
    after: int
    """The same of the picture with the pair swapped."""
    changed_outside: float
    """Mean absolute difference of the two pictures outside both boxes, 0..1; all channels."""
    changed_inside: float
    """The same inside the common part of the boxes."""
    pictures: tuple[Path, Path]

    @property
    def flipped(self) -> bool:
        """Whether the winner changed with the declaration."""
        return self.before == 1 and self.after == -1


@dataclass(frozen=True, kw_only=True)
class _Case:
    key: str
    seed: int
    scene: BenchScene
    swapped: Variant
    pair: tuple[int, int]


def control_order(
    scenes: Iterable[tuple[BenchScene, int]], *, limit: int, drawer: Drawer, jury: Jury, progress: Progress
) -> list[Swap]:
    """Swap one pair in each of the first `limit` scenes that have one; scenes come with their seeds."""
    cases = _cases(scenes, limit)
    first = [Wanted(key=case.scene.key, scene=case.scene, seed=case.seed) for case in cases]
    second = [Wanted(key=f"{case.scene.key}-swapped", scene=case.swapped.scene, seed=case.seed) for case in cases]
    before = drawer.draw(first, title="order control: as declared", progress=progress)
    after = drawer.draw(second, title="order control: swapped", progress=progress)
    pairs = list(zip(before, after, strict=True))
    verdicts = jury.verdicts(
        shown(path, case.scene) for case, paths in zip(cases, pairs, strict=True) for path in paths
    )
    progress("order control: judging", 0, len(cases))
    swaps: list[Swap] = []
    for case, paths in zip(cases, pairs, strict=True):
        swaps.append(_compare(case, paths, (next(verdicts), next(verdicts))))
        progress("order control: judging", len(swaps), len(cases))
    return swaps


def _cases(scenes: Iterable[tuple[BenchScene, int]], limit: int) -> list[_Case]:
    cases: list[_Case] = []
    for scene, seed in scenes:
        if len(cases) == limit:
            break
        found = with_swapped_pair(scene)
        if found is not None:
            cases.append(_Case(key=scene.key, seed=seed, scene=scene, swapped=found[0], pair=found[1]))
    return cases


def _compare(case: _Case, paths: tuple[Path, Path], verdicts: tuple[Verdict, Verdict]) -> Swap:
    images = [read_picture(path).image for path in paths]
    front, behind = case.pair
    winners = [int(one.order[front, behind]) - int(one.order[behind, front]) for one in verdicts]
    first_HWC, second_HWC = (np.asarray(image, dtype=np.float32) / 255 for image in images)
    change_HW = np.abs(first_HWC - second_HWC).mean(axis=2)
    covered_HW, common_HW = _boxes(case, change_HW.shape)
    return Swap(
        key=case.key,
        names=(case.scene.names[front], case.scene.names[behind]),
        before=winners[0],
        after=winners[1],
        changed_outside=float(change_HW[~covered_HW].mean()) if (~covered_HW).any() else 0.0,
        changed_inside=float(change_HW[common_HW].mean()),
        pictures=paths,
    )


def _boxes(case: _Case, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) bool: pixels in either box, and in both."""
    masks = []
    for place in case.pair:
        left, top, right, bottom = case.scene.layout.boxes[place].pixels(shape[1], shape[0])
        mask_HW = np.zeros(shape, dtype=bool)
        mask_HW[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = True
        masks.append(mask_HW)
    return masks[0] | masks[1], masks[0] & masks[1]
