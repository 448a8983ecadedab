"""Runs a stage over items: items that fail are given up with the reason, the others go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from occlusionformer.data.engine.item import Item
from occlusionformer.data.engine.sources import Source
from occlusionformer.data.engine.stages import Stage

POISON = (ValueError, ArithmeticError, LookupError, OSError, RuntimeError)
"""Errors that a broken picture may cause. Any other error is a bug and stops the run."""

LONGEST_REASON = 500
"""Characters."""


def load_items(source: Source, indices: Sequence[int]) -> list[Item]:
    """Load items of a source; broken ones carry the reason."""
    return [_loaded(source, index) for index in indices]


def run_stage(
    stage: Stage, name: str, items: Sequence[Item], *, batch_size: int, on_batch: Callable[[int], None] | None = None
) -> list[Item]:
    """Run a stage over all items, in order; items given up before are passed on. `on_batch` gets the number done."""
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
    """Run the batch at once; if that fails, item by item."""
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
