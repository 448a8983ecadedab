"""In which numbers a run computes where that is left to the machine."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["no", "bf16", "fp16"]

CPU_INSTRUCTIONS = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
"""torch's questions to the processor, of which one answered with yes makes bf16 faster than float32."""


def chosen_precision(precision: Literal["auto", "no", "bf16", "fp16"], device: str | torch.device) -> Precision:
    """What `auto` means on a device: bf16 where it computes faster in it, float32 ("no") elsewhere.

    bf16 on CUDA devices that have it, and on CPUs with AMX or AVX-512 bf16 instructions (by which the model of width
    384 trains 1.4 times as fast); CPUs without are half as fast in bf16.
    """
    if precision != "auto":
        return precision
    kind = torch.device(device).type
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    if kind == "cpu":
        return "bf16" if any(getattr(torch.cpu, name, _no)() for name in CPU_INSTRUCTIONS) else "no"
    return "no"


def _no() -> bool:
    """The answer of a torch that does not know the question."""
    return False
