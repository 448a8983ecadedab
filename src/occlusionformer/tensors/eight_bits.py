"""Weights stored in eight bits: every row of a matrix as whole numbers and a scale, half the size of bfloat16."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

EIGHT_BITS = {"weights": "eight bits, a scale for every row"}
"""What a file of safetensors says that holds them."""
SCALE = ".scale"
"""After the name of a matrix: the name of its scales."""
MOST = 127


def in_eight_bits(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8 with their scales beside them, everything else in bfloat16.

    A number differs from its own by at most a 254th of the greatest of its row.
    """
    stored = {}
    for name, value in weights.items():
        if value.ndim != 2 or not value.is_floating_point():
            stored[name] = value.to(torch.bfloat16) if value.is_floating_point() else value
            continue
        scale_R1 = value.float().abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / MOST
        stored[name] = (value.float() / scale_R1).round().to(torch.int8)
        stored[name + SCALE] = scale_R1
    return stored


def from_eight_bits(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that `in_eight_bits` stored, its matrices in float32.

    Raises ValueError for scales without their matrix, for matrices without their scales, and for scales of another
    shape than one a row.
    """
    problems, weights = [], {}
    for name, value in stored.items():
        if name.endswith(SCALE) and name.removesuffix(SCALE) not in stored:
            problems.append(f"{name}: expected {name.removesuffix(SCALE)} beside it, got none")
        elif name.endswith(SCALE):
            continue
        elif value.dtype != torch.int8:
            weights[name] = value
        elif (scale := stored.get(name + SCALE)) is None:
            problems.append(f"{name}: expected {name + SCALE} beside it, got none")
        elif scale.shape != (len(value), 1) or not scale.is_floating_point():
            problems.append(f"{name + SCALE}: expected {len(value)} x 1 floats, got {tuple(scale.shape)}")
        else:
            weights[name] = value.float() * scale.float()
    if problems:
        raise ValueError("\n".join(problems))
    return weights
