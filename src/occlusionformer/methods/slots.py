"""Instances of a batch in rows of slots: what methods need whose instances attend side by side.

Legend: B pictures, N instances of the batch, K slots of one picture, C channels of a slot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from occlusionformer.layout import Layout
from occlusionformer.model.method import InstanceTexts
from occlusionformer.tensors.grid import TokenGrid


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """Which instance is in which slot. An empty slot has the index N, one behind the last instance.

    box_N4: normalised xyxy in 0..1; index_BK; present_BK: a slot that holds an instance; populated_B: a picture with
    any.
    """

    box_N4: Tensor
    index_BK: Tensor
    present_BK: Tensor
    populated_B: Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Slots:
        """The same elsewhere; boxes stay in fp32 or finer."""
        return replace(
            self,
            box_N4=self.box_N4.to(device, torch.promote_types(dtype, torch.float32)),
            index_BK=self.index_BK.to(device),
            present_BK=self.present_BK.to(device),
            populated_B=self.populated_B.to(device),
        )

    def spread(self, values_NC: Tensor, empty_C: Tensor) -> Tensor:
        """One row (or more dimensions) per slot, `empty_C` in the empty ones, (B, K, ...)."""
        return torch.cat([values_NC, empty_C.to(values_NC.dtype)[None].expand(1, *values_NC.shape[1:])])[self.index_BK]

    def mask(self, tokens: int, others: int, *, slots_first: bool = True) -> Tensor:
        """For joint attention of slots (so many tokens each) and others: True where attended, (B, 1, 1, keys)."""
        keys = self.present_BK.repeat_interleave(tokens, 1)
        parts = [keys, keys.new_ones(len(keys), others)]
        return torch.cat(parts if slots_first else parts[::-1], 1)[:, None, None]

    def emptied(self) -> Slots:
        """The same with nothing in any slot: what the negative half of guidance sees."""
        return replace(
            self,
            index_BK=torch.full_like(self.index_BK, len(self.box_N4)),
            present_BK=torch.zeros_like(self.present_BK),
        )

    def active(self, like: Tensor) -> Tensor:
        """1 for pictures with instances, 0 for the others, (B, 1, 1)."""
        return self.populated_B.to(like.dtype)[:, None, None]


def fill_slots(layouts: Sequence[Layout | None], least: int = 0) -> Slots:
    """Every picture's instances from its first slot on; at least `least` slots, else as many as the fullest needs."""
    counts = [0 if layout is None else len(layout.instances) for layout in layouts]
    instances = [instance for layout in layouts if layout is not None for instance in layout.instances]
    corners = [(i.box.x1, i.box.y1, i.box.x2, i.box.y2) for i in instances]
    count_B = torch.tensor(counts, dtype=torch.long)
    place_1K = torch.arange(max([least, 1, *counts]))[None]
    present_BK = place_1K < count_B[:, None]
    index_BK = torch.where(present_BK, count_B.cumsum(0)[:, None] - count_B[:, None] + place_1K, len(instances))
    return Slots(
        box_N4=torch.tensor(corners, dtype=torch.float64).reshape(-1, 4),
        index_BK=index_BK,
        present_BK=present_BK,
        populated_B=count_B > 0,
    )


def pack_slots(layouts: Sequence[Layout | None], grid: TokenGrid, *, null_slots: int) -> Slots:
    """The instances in slots, of which `null_slots` attend even when empty. ValueError for more instances than those.

    null_slots 0: as many as the fullest picture needs, and none attends when empty.
    """
    most = max([0, *(0 if layout is None else len(layout.instances) for layout in layouts)])
    if null_slots and most > null_slots:
        raise ValueError(f"instances: expected at most {null_slots} (null_slots), got {most}")
    return fill_slots(layouts, least=null_slots)


def sequence_problems(texts: InstanceTexts, count: int, least: int) -> list[str]:
    """What is wrong with the text sequences of so many instances, of which a method reads `least` tokens."""
    sequence = texts.sequence_NSE
    least -= texts.last_stands_for - 1
    if sequence is not None and sequence.ndim == 3 and len(sequence) == count and sequence.shape[1] >= least:
        return []
    got = "none" if sequence is None else tuple(sequence.shape)
    wanted = f"one of at least {least} tokens per instance, ({count}, tokens, width)"
    return [f"text sequences: expected {wanted}, got {got}"]


def logits_of(allowed: Tensor, slots: int, tokens: int, last: int, like: Tensor) -> Tensor:
    """What attention's logits get: -inf where not allowed (.., J keys), log `last` at the last token of every slot.

    allowed: bool, its keys begin with so many slots of so many tokens; the format of the numbers is that of `like`.
    """
    raised_J = torch.zeros(allowed.shape[-1], dtype=like.dtype, device=allowed.device)
    raised_J[: slots * tokens].view(slots, tokens)[:, -1] = math.log(last)
    return raised_J.expand(allowed.shape).masked_fill(~allowed, -torch.inf)


def fourier_features(values_NC: Tensor, frequencies: int, base: float) -> Tensor:
    """sin and cos of values times base ** (k / frequencies): frequency, then sine and cosine, then value."""
    order = torch.arange(frequencies, dtype=values_NC.dtype, device=values_NC.device)
    phase = (base ** (order / frequencies))[:, None] * values_NC[:, None, :]
    return torch.stack([phase.sin(), phase.cos()], 2).flatten(1)
