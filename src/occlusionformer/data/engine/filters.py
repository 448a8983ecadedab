"""Filters instances and pictures: plausibility of amodal masks, and the number of instances."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from occlusionformer.data.engine.cleaning import without
from occlusionformer.data.engine.item import Item, digest
from occlusionformer.data.engine.plan import FilterPlan
from occlusionformer.data.records import Step

REVISION = "1"
"""Version of the rules below."""


class FilterStage:
    """The filter stage; uses no model."""

    def __init__(self, plan: FilterPlan) -> None:
        self.plan = plan

    def setup(self) -> None:
        settings = self.plan.model_dump(mode="json", exclude=set(self.plan.RESOURCES))
        self.step = Step(stage="filter", revision=REVISION, config=digest(json.dumps(settings, sort_keys=True))[:16])

    def __call__(self, batch: Sequence[Item]) -> list[Item]:
        return [self._filtered(item) for item in batch]

    def _filtered(self, item: Item) -> Item:
        kept = without(item, self._unwanted(item), "filter")
        count = len(kept.known().instances)
        if not self.plan.min_instances <= count <= self.plan.max_instances:
            reason = f"instances: expected {self.plan.min_instances} to {self.plan.max_instances}, got {count}"
            return kept.failed("filter", reason, kind="filtered")
        return kept.with_step(kept.known(), self.step)

    def _unwanted(self, item: Item) -> dict[int, str]:
        amodal = item.amodal()
        if amodal is None:
            return {}
        found = {}
        areas = item.visible().sum(axis=(1, 2))
        is_hidden: np.ndarray = np.any(item.in_front(), axis=0)
        for place, instance in enumerate(item.known().instances):
            if json.loads(instance.extra).get("visible_recall", 1) < self.plan.min_visible_recall:
                found[place] = "whole mask misses the visible part"
            elif not is_hidden[place] and np.sum(amodal[place]) > self.plan.max_growth_unoccluded * areas[place]:
                found[place] = "whole mask grows although nobody is in front"
        return found
