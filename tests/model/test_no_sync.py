"""A forward never waits for a value: no read-back to the host, no data-dependent shape, no loop over instances."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.model.tiny import (
    BOXES,
    GRID,
    LOOP,
    Model,
    Picture,
    cast,
    prepare,
    presets,
    random_inputs,
    random_texts,
    tiny_backbone,
    tiny_branch,
)
from tests.tables import for_each

PRESETS = presets()
by_preset = pytest.mark.parametrize("preset", list(PRESETS))

WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2", "unique_consecutive", "equal"}
"""Operators that copy a value to the host or whose result's shape depends on one."""


def is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)


class Recorder(TorchDispatchMode):
    """Counts operators by name; indexing by a mask counts as nonzero, which it is."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func.overloadpacket.__name__
        self.seen[name] += 1
        indices = args[1] if name.startswith("index") and len(args) > 1 else None
        if isinstance(indices, list | tuple) and any(is_mask(index) for index in indices):
            self.seen["nonzero"] += 1
        return func(*args, **(kwargs or {}))


def operators(preset: str, pictures: list[Picture], **options) -> Counter[str]:
    flux = Model(tiny_backbone(), tiny_branch(PRESETS[preset][0]))
    condition = prepare(pictures, random_texts(pictures), flux.adapter.shape, dtype=torch.float32)
    inputs = cast(random_inputs(len(pictures)), torch.float32)
    with torch.no_grad(), Recorder() as recorder:
        flux(inputs, condition, **options)
    return recorder.seen


def test_the_recorder_notices_what_it_looks_for():
    values = torch.tensor([1.0, 0.0])
    with Recorder() as recorder:
        values[0].item()
        values[values > 0]
        bool(values.any())
    assert recorder.seen["_local_scalar_dense"] == 2
    assert recorder.seen["nonzero"] >= 1


@by_preset
@for_each("options", [{}, {"return_masks": True, "return_weights": True}], ids=["plain", "all outputs"])
def test_forward_reads_nothing_back(preset, options):
    pictures = [Picture(opacities=(1.0, 0.4, 1.0)), Picture(occluders=None), Picture(occluders=LOOP)]
    seen = operators(preset, pictures, **options)
    assert sum(seen.values()) > 100
    assert not WAITING & set(seen)


@by_preset
def test_the_number_of_operators_does_not_grow_with_the_instances(preset):
    counts = []
    for copies in (2, 40):
        picture = Picture(BOXES[:1] * copies, tuple(tuple(range(i)) for i in range(copies)))
        counts.append(operators(preset, [picture], return_weights=True))
    few, many = (sum(count.values()) for count in counts)
    assert abs(many - few) <= 0.05 * few


@by_preset
def test_the_number_of_operators_does_not_grow_with_the_batch(preset):
    one, four = (sum(operators(preset, [Picture()] * batch).values()) for batch in (1, 4))
    assert four <= 1.1 * one


@by_preset
def test_forward_runs_without_any_data(preset):
    """On the meta device a read-back, or a tensor left on the host, raises."""
    flux = Model(tiny_backbone(), tiny_branch(PRESETS[preset][0])).to("meta")
    pictures = [Picture(), Picture(occluders=LOOP)]
    condition = prepare(pictures, random_texts(pictures), flux.adapter.shape, dtype=torch.float32)
    condition = condition.to("meta")
    inputs = cast(random_inputs(2), torch.float32)
    moved = {n: v.to("meta") for n in inputs.__slots__ if isinstance(v := getattr(inputs, n), torch.Tensor)}
    output = flux(replace(inputs, **moved), condition, return_masks=True, return_weights=True)
    assert output.sample.shape == (2, GRID.num_tokens, 4)
    assert output.sample.device.type == "meta"
