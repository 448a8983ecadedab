"""Numbers that tell from a method's weights whether it has begun to act."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def mean_size(method: nn.Module, ending: str, size: Callable[[Tensor], Tensor] = Tensor.norm) -> float:
    """Mean of `size`, the norm by default, over the parameters whose names end so; 0 without any."""
    sizes = [size(parameter.detach().float()) for name, parameter in method.named_parameters() if name.endswith(ending)]
    return float(torch.stack(sizes).mean()) if sizes else 0.0
