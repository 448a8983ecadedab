"""How components are loaded: the number format, under the name this diffusers release knows."""

from __future__ import annotations

import torch
from diffusers.pipelines import pipeline_utils
from torch import nn

DTYPE_KEYWORD = "dtype" if hasattr(pipeline_utils, "_resolve_dtype") else "torch_dtype"
"""diffusers renamed it: releases that know the new name warn of the old one, earlier ones ignore the new one."""


def cast(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Cast in place; ModelMixin.to would log a warning about modules to keep in float32 where there are none."""
    if dtype is not None:
        nn.Module.to(module, dtype)


def best_device() -> str:
    """An accelerator where there is one."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def best_dtype(device: str) -> torch.dtype:
    """bfloat16 is slower than float32 on most CPUs."""
    return torch.float32 if device == "cpu" else torch.bfloat16
