"""Which optimizer moves which parameters, how fast at which step, and the average that is exported."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from occlusionformer.training.config import OptimizerConfig
from occlusionformer.training.muon import Muon

BLOCKS = ("backbone.transformer_blocks.", "backbone.single_transformer_blocks.", "branch.dual.", "branch.single.")
"""Where Muon acts; embeddings and the output layer are AdamW's."""


def build_optimizers(parameters: Mapping[str, nn.Parameter], config: OptimizerConfig) -> list[Optimizer]:
    """AdamW over everything, or beside Muon for the matrices of blocks."""
    blocks = {
        name: p for name, p in parameters.items() if config.name == "muon" and p.ndim == 2 and name.startswith(BLOCKS)
    }
    rest = [p for name, p in parameters.items() if name not in blocks]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=config.lr, betas=config.betas, fused=True
    )
    if not blocks:
        return [adamw]
    muon = Muon(blocks.values(), lr=config.muon_lr, momentum=config.muon_momentum, weight_decay=config.weight_decay)
    return [muon, adamw]


def rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """Factor on the learning rates at a step, counted from 0: linear warm-up, constant, linear decay."""
    warm = (step + 1) / config.warmup if config.warmup else 1.0
    left = (steps - step) / (config.decay_share * steps) if config.decay_share else 1.0
    return min(1.0, warm, max(left, config.final_share))


def set_rates(optimizers: list[Optimizer], factor: float, config: OptimizerConfig) -> None:
    for optimizer in optimizers:
        inner = getattr(optimizer, "optimizer", optimizer)
        base = config.muon_lr if isinstance(inner, Muon) else config.lr
        for group in optimizer.param_groups:
            group["lr"] = base * factor


class Average:
    """Exponential moving average of parameters; a young one forgets faster."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.parameters = dict(parameters)
        self.values = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After step number `step`, counted from 1."""
        decay = min(self.decay, step / (step + 9))
        torch._foreach_lerp_(list(self.values.values()), list(self.parameters.values()), 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange averages and parameters; twice leaves both as they were, bit for bit."""
        for name, parameter in self.parameters.items():
            kept: Tensor = parameter.detach().clone()
            parameter.copy_(self.values[name])
            self.values[name].copy_(kept)
