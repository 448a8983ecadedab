"""Order control: the same boxes and the same noise with one pair swapped, and what that changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from occlusionformer.evaluation.benchmark import BenchmarkItem
from occlusionformer.evaluation.parse_answers import parse_answer
from occlusionformer.evaluation.reports.pictures import picture_path
from occlusionformer.evaluation.running.result import RecordedRun, Result
from occlusionformer.evaluation.specs.occlusion import ORDER
from occlusionformer.evaluation.specs.scenes import seen_in_front
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


def swaps_of(result: Result, recorded: RecordedRun) -> list[Swap]:
    """The pairs of a run of the order control of which both pictures are there, from its records."""
    return [swap for item in recorded.items.values() for swap in _swaps(item, result, recorded)]


def control_figures(swaps: Sequence[Swap]) -> dict[str, float | int | None]:
    """Shares over all pairs; None without any."""
    return {
        "pairs": len(swaps),
        "flipped": _mean([one.flipped for one in swaps]),
        "right_before": _mean([one.before == 1 for one in swaps]),
        "right_after": _mean([one.after == -1 for one in swaps]),
        "changed_outside": _mean([one.changed_outside for one in swaps]),
        "changed_inside": _mean([one.changed_inside for one in swaps]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _swaps(item: BenchmarkItem, result: Result, recorded: RecordedRun) -> Iterator[Swap]:
    pair = item.swapped
    if pair is None or pair.of not in recorded.items:
        return
    declared = recorded.items[pair.of]
    first, second = picture_path(result, declared), picture_path(result, item)
    if first is None or second is None:
        return
    answers = [recorded.store.answers(each, [ORDER]).get(ORDER) for each in (declared, item)]
    before, after = (seen_in_front(parse_answer(ORDER, answer, item), pair.front, pair.behind) for answer in answers)
    outside, inside = _change(item, (first, second))
    names = item.truth.categories
    yield Swap(
        key=pair.of,
        names=(names[pair.front], names[pair.behind]),
        before=before,
        after=after,
        changed_outside=outside,
        changed_inside=inside,
        pictures=(first, second),
    )


def _change(item: BenchmarkItem, paths: tuple[Path, Path]) -> tuple[float, float]:
    """Mean difference of two pictures outside both boxes of the pair, and where both are."""
    first_HWC, second_HWC = (np.asarray(read_picture(path).image, dtype=np.float32) / 255 for path in paths)
    change_HW = np.abs(first_HWC - second_HWC).mean(axis=2)
    assert item.swapped is not None
    masks = []
    for place in (item.swapped.front, item.swapped.behind):
        left, top, right, bottom = item.layout.boxes[place].pixels(change_HW.shape[1], change_HW.shape[0])
        mask_HW = np.zeros(change_HW.shape, dtype=bool)
        mask_HW[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = True
        masks.append(mask_HW)
    outside_HW, inside_HW = ~(masks[0] | masks[1]), masks[0] & masks[1]
    outside = float(change_HW[outside_HW].mean()) if outside_HW.any() else 0.0
    return outside, float(change_HW[inside_HW].mean())
