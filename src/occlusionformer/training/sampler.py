"""Which samples make up each step: a pure function of the step, so that a run resumes anywhere at once."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from occlusionformer.data.samples import SampleShape


@dataclass(frozen=True, slots=True)
class Draw:
    """One sample of one step; `ordinal` counts all draws of the run, `canvas` is height and width in pixels."""

    index: int
    ordinal: int
    canvas: tuple[int, int]


class SampleOrder(Protocol):
    """The samples of every step."""

    def draws(self, step: int) -> list[Draw]: ...


@dataclass(frozen=True)
class InTurn:
    """An endless source of independent samples, one after another."""

    batch: int
    canvas: Callable[[int], tuple[int, int]]
    """Of a sample by its number; one for each batch."""

    def draws(self, step: int) -> list[Draw]:
        first = step * self.batch
        canvas = self.canvas(first)
        return [Draw(ordinal, ordinal, canvas) for ordinal in range(first, first + self.batch)]


class Shuffled:
    """A finite source in a new order every epoch. Samples of different buckets never share a batch.

    The last batch of a bucket is filled up with samples that the bucket began with.
    """

    def __init__(self, members: dict[tuple[int, int], list[list[int]]], *, batch: int, seed: int) -> None:
        self.batch, self.seed = batch, seed
        self.buckets = [
            (canvas, np.array(group)) for canvas, groups in sorted(members.items()) for group in groups if group
        ]
        self.steps_per_epoch = sum(math.ceil(len(group) / batch) for _, group in self.buckets)
        self._epoch: tuple[int, list[tuple[tuple[int, int], np.ndarray]]] = (-1, [])

    def draws(self, step: int) -> list[Draw]:
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._batches(epoch))
        canvas, indices = self._epoch[1][place]
        first = step * self.batch
        return [Draw(int(index), first + offset, canvas) for offset, index in enumerate(indices)]

    def _batches(self, epoch: int) -> list[tuple[tuple[int, int], np.ndarray]]:
        rng = np.random.default_rng([self.seed, epoch])
        batches = []
        for canvas, group in self.buckets:
            order = rng.permutation(group)
            filled = np.resize(order, math.ceil(len(order) / self.batch) * self.batch)
            batches += [(canvas, part) for part in filled.reshape(-1, self.batch)]
        return [batches[position] for position in rng.permutation(len(batches))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Buckets:
    """Canvases of about one area, and groups of instance counts."""

    side: int
    step: int
    aspects: bool
    instance_ends: tuple[int, ...]

    def canvas(self, shape: SampleShape) -> tuple[int, int]:
        """Height and width of the canvas nearest in shape, on a logarithmic scale."""
        if not self.aspects:
            return self.side, self.side
        wanted = math.log(shape.width / shape.height)
        return min(self.canvases(), key=lambda canvas: abs(math.log(canvas[1] / canvas[0]) - wanted))

    def canvases(self) -> list[tuple[int, int]]:
        """Shapes up to 1 : 4, sides in multiples of the step, none of a greater area than the square."""
        heights = range(self.side // 2, 2 * self.side + 1, self.step)
        return [(height, self.side**2 // height // self.step * self.step) for height in heights]

    def group(self, instances: int) -> int:
        return bisect.bisect_left(self.instance_ends, instances)


def bucketed(
    shapes: Mapping[int, SampleShape] | Sequence[SampleShape],
    buckets: Buckets,
    indices: Sequence[int],
    *,
    batch: int,
    seed: int,
) -> Shuffled:
    """The plan for those of some samples that have instances."""
    members: dict[tuple[int, int], list[list[int]]] = {}
    for index in indices:
        shape = shapes[index]
        if not shape.instances:
            continue
        groups = members.setdefault(buckets.canvas(shape), [[] for _ in range(len(buckets.instance_ends) + 1)])
        groups[buckets.group(shape.instances)].append(index)
    return Shuffled(members, batch=batch, seed=seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Division:
    """How a batch is divided over processes, and a process's share into parts."""

    process: int
    processes: int
    parts: int

    def of(self, draws: list[Draw]) -> list[list[Draw]]:
        """This process's parts."""
        size = len(draws) // (self.processes * self.parts)
        starts = [(part * self.processes + self.process) * size for part in range(self.parts)]
        return [draws[start : start + size] for start in starts]


@dataclass(frozen=True)
class Parts:
    """A loader's batch sampler: the parts of all steps of a range, in order."""

    plan: SampleOrder
    division: Division
    steps: range

    def __iter__(self) -> Iterator[list[Draw]]:
        for step in self.steps:
            yield from self.division.of(self.plan.draws(step))

    def __len__(self) -> int:
        return len(self.steps) * self.division.parts
