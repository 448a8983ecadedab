"""A stage over items: what breaks it is given up with the reason, the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from occlusionformer.data.engine.item import Item
from occlusionformer.data.engine.sources import Source
from occlusionformer.data.engine.stages import Stage

POISON = (ValueError, ArithmeticError, LookupError, OSError, RuntimeError)
"""What a broken picture makes a stage raise. Anything else is a fault of the program and stops the run."""

LONGEST_REASON = 500
"""Characters."""


def load_items(source: Source, indices: Sequence[int]) -> list[Item]:
    """Items of a source, the broken ones with the reason."""
    return [_loaded(source, index) for index in indices]


def run_stage(
    stage: Stage, name: str, items: Sequence[Item], *, batch_size: int, on_batch: Callable[[int], None] | None = None
) -> list[Item]:
    """All items, in their order; those given up earlier pass by. `on_batch` hears how many are through."""
    done = list(items)
    live = [place for place, item in enumerate(items) if item.failure is None]
    for start in range(0, len(live), batch_size):
        places = live[start : start + batch_size]
        for place, item in zip(places, _tried(stage, name, [items[place] for place in places]), strict=True):
            done[place] = item
        if on_batch is not None:
            on_batch(len(places))
    return done


def _tried(stage: Stage, name: str, batch: Sequence[Item]) -> list[Item]:
    """The batch at once; where that breaks, one by one."""
    try:
        found = stage(batch)
    except POISON as error:
        if len(batch) == 1:
            return [batch[0].failed(name, reason(error))]
        return [each for item in batch for each in _tried(stage, name, [item])]
    assert [item.key for item in found] == [item.key for item in batch], f"{name}: items lost or out of order"
    return list(found)


def _loaded(source: Source, index: int) -> Item:
    try:
        return source.load(index)
    except POISON as error:
        return Item(key=source.key(index)).failed("load", reason(error))


def reason(error: Exception) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:LONGEST_REASON]
