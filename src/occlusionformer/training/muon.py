"""Muon: momentum whose matrices are made orthogonal before they are applied.

torch's own runs matrix by matrix in bfloat16, which most CPUs only imitate; here matrices of one shape go together, in
float32 on a CPU. Legend: M matrices of one shape, R rows, C columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

QUINTIC = (3.4445, -4.7750, 2.0315)
"""a x + b x^3 + c x^5 drives singular values from anywhere in (0, 1] to about 1 within five rounds."""
ROUNDS = 5


class Muon(Optimizer):
    """Steps of size lr * 0.2 sqrt(longer side) for every matrix: as large as AdamW's, root mean square."""

    def __init__(
        self, params: Iterable[Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        wrong = [tuple(p.shape) for group in self.param_groups for p in group["params"] if p.ndim != 2]
        if wrong:
            raise ValueError(f"Muon: expected matrices, got shapes {wrong}")

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
                update_MRC = orthogonal(self._momenta(parameters, group["momentum"]))
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                size = group["lr"] * 0.2 * max(shape) ** 0.5
                torch._foreach_add_(parameters, list(update_MRC.unbind()), alpha=-size)

    def _momenta(self, parameters: list[Tensor], decay: float) -> Tensor:
        """Nesterov momentum of some matrices, (M, R, C)."""
        for parameter in parameters:
            if "momentum" not in self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_lerp_(momenta, gradients, 1 - decay)
        return torch.stack(torch._foreach_lerp(gradients, momenta, decay))


def orthogonal(matrix_MRC: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: singular values end between 0.7 and 1.2."""
    a, b, c = QUINTIC
    wide = matrix_MRC.shape[1] <= matrix_MRC.shape[2]
    x = matrix_MRC if wide else matrix_MRC.mT
    if x.device.type != "cpu":
        x = x.to(torch.bfloat16)
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.mT).to(matrix_MRC.dtype)
