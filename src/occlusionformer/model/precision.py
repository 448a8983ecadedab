"""In which numbers a model computes where that is left to the machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Literal, ParamSpec, Protocol, TypeVar

import torch

Precision = Literal["no", "bf16", "fp16"]

CPU_INSTRUCTIONS = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
"""torch's questions to the processor, of which one answered with yes makes bf16 faster than float32."""


def chosen_precision(precision: Literal["auto", "no", "bf16", "fp16"], device: str | torch.device) -> Precision:
    """What `auto` means on a device: bf16 where it computes faster in it, float32 ("no") elsewhere.

    bf16 on CUDA devices that have it, and on CPUs with AMX or AVX-512 bf16 instructions (by which the model of width
    384 trains 1.4 times as fast, and draws 1.5 times as fast); CPUs without are half as fast in bf16.
    """
    if precision != "auto":
        return precision
    kind = torch.device(device).type
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    if kind == "cpu":
        return "bf16" if any(getattr(torch.cpu, name, _no)() for name in CPU_INSTRUCTIONS) else "no"
    return "no"


Given = ParamSpec("Given")
Made = TypeVar("Made")


class _OnDevice(Protocol):
    @property
    def device(self) -> torch.device: ...


_Model = TypeVar("_Model", bound=_OnDevice)


def outside_autocast(
    method: Callable[Concatenate[_Model, Given], Made],
) -> Callable[Concatenate[_Model, Given], Made]:
    """The same method of a module in the module's own number format, whatever autocast its callers are under.

    For what decides by thresholds. Unlike torch's own decorator, which remembers the caller's autocast in one place, it
    may be called by several threads at once.
    """

    @wraps(method)
    def plain(model: _Model, *arguments: Given.args, **keywords: Given.kwargs) -> Made:
        with torch.autocast(model.device.type, enabled=False):
            return method(model, *arguments, **keywords)

    return plain


def _no() -> bool:
    """The answer of a torch that does not know the question."""
    return False
