"""Cleans records: drops tiny and duplicate instances, makes the order acyclic and consistent with the masks.

Arrays: H rows, W columns, N instances.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from occlusionformer.data.engine.contacts import mask_box
from occlusionformer.data.engine.item import CONFIDENCE_DIGITS, Item, Removal, digest
from occlusionformer.data.engine.models.protocol import reach
from occlusionformer.data.engine.plan import CleanPlan
from occlusionformer.data.records import Record, Step
from occlusionformer.layout import ZOrder

REVISION = "1"
"""Version of the rules below."""
IMPLIED = 0.5
"""Confidence of a relation that nobody judged but that follows from two others."""


class CleanStage:
    """The cleaning stage; uses no model."""

    def __init__(self, plan: CleanPlan) -> None:
        self.plan = plan

    def setup(self) -> None:
        settings = self.plan.model_dump(mode="json", exclude=set(self.plan.RESOURCES))
        self.step = Step(stage="clean", revision=REVISION, config=digest(json.dumps(settings, sort_keys=True))[:16])

    def __call__(self, batch: Sequence[Item]) -> list[Item]:
        return [self._cleaned(item) for item in batch]

    def _cleaned(self, item: Item) -> Item:
        unwanted = {**self._scraps(item), **self._doubles(item)}
        kept = without(item, unwanted, "clean")
        record = kept.known()
        if record.order is not None and record.order_confidence is not None:
            record = self._ordered(kept)
        return kept.with_step(record, self.step)

    def _scraps(self, item: Item) -> dict[int, str]:
        """Instances too small to be seen, by the plan's limits."""
        longest = max(item.known().width, item.known().height)
        found = {}
        for place, mask in enumerate(item.visible()):
            x1, y1, x2, y2 = mask_box(mask)
            if min(x2 - x1, y2 - y1) < self.plan.min_side * longest or mask.sum() < self.plan.min_pixels:
                found[place] = "tiny"
        return found

    def _doubles(self, item: Item) -> dict[int, str]:
        """Duplicates: the smaller of two instances with nearly equal masks, or the later of equal ones."""
        masks = item.visible().reshape(len(item.known().instances), -1).astype(np.float32)
        areas = masks.sum(axis=1)
        shared = masks @ masks.T
        iou = shared / np.maximum(areas[:, None] + areas[None] - shared, 1)
        found: dict[int, str] = {}
        for place in np.argsort(-areas, kind="stable").tolist():
            if place not in found:
                for other in np.flatnonzero(iou[place] > self.plan.duplicate_iou).tolist():
                    if other != place:
                        found[other] = "duplicate"
        return found

    def _ordered(self, item: Item) -> Record:
        record = item.known()
        in_front, sure = item.in_front(), np.array(record.order_confidence, dtype=np.float64)
        sure = sure.reshape(in_front.shape)
        amodal = item.amodal()
        if amodal is not None:
            in_front, sure = self._agreeing(in_front, sure, amodal)
        if self.plan.cycles == "break":
            in_front = unlooped(in_front, sure)
        return replace(
            record,
            order=tuple(map(tuple, in_front.astype(int).tolist())),
            order_confidence=tuple(map(tuple, sure.tolist())),
        )

    def _agreeing(self, in_front: np.ndarray, sure: np.ndarray, amodal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Relations between whole masks that share nothing go; those that follow from others and share some come."""
        count = len(amodal)
        flat = amodal.reshape(count, -1).astype(np.float32)
        overlap = flat @ flat.T >= self.plan.min_overlap
        through = reach(in_front)
        agreed = overlap & (in_front | (through & ~through.T))
        np.fill_diagonal(agreed, False)
        came, went = agreed & ~in_front, in_front & ~agreed
        return agreed, np.where(came, IMPLIED, np.where(went, 1 - sure, sure)).round(CONFIDENCE_DIGITS)


def unlooped(in_front: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """The order without cycles: each loses its relation of least confidence, the first of equal ones."""
    kept = in_front.copy()
    while True:
        loops = ZOrder(len(kept), [(int(front), int(behind)) for front, behind in np.argwhere(kept)]).cycles()
        if not loops:
            return kept
        for loop in loops:
            edges = list(zip(loop, (*loop[1:], loop[0]), strict=True))
            weakest = min(edges, key=lambda edge: (sure[edge], edge))
            kept[weakest] = False


def without(item: Item, unwanted: dict[int, str], stage: str) -> Item:
    """The item without some instances; each removal is recorded with its reason."""
    if not unwanted:
        return item
    record = item.known()
    kept = [place for place in range(len(record.instances)) if place not in unwanted]
    removals = tuple(
        Removal(instance=record.instances[place].id, stage=stage, reason=reason)
        for place, reason in sorted(unwanted.items())
    )
    smaller = replace(
        record,
        instances=tuple(record.instances[place] for place in kept),
        order=_part(record.order, kept),
        order_confidence=_part(record.order_confidence, kept),
        depth=_part(record.depth, kept),
        depth_confidence=_part(record.depth_confidence, kept),
    )
    return replace(item, record=smaller, removals=(*item.removals, *removals))


def _part(matrix: tuple[tuple, ...] | None, kept: Sequence[int]) -> tuple[tuple, ...] | None:
    return None if matrix is None else tuple(tuple(matrix[row][column] for column in kept) for row in kept)
