"""Checks that a branch fits a backbone, and works in the same dtype."""

from __future__ import annotations

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import Tensor

from occlusionformer.model import Method, backbone_shape


def check_fit(transformer: FluxTransformer2DModel, branch: Method) -> None:
    """Raise ValueError that lists every mismatch of a branch and a backbone."""
    problems = branch.misfits(backbone_shape(transformer))
    if problems:
        raise ValueError("\n".join(f"branch: {problem}" for problem in problems))


def check_dtype(branch: Method, activations: Tensor) -> None:
    """Raise ValueError for a branch of another dtype than its inputs, unless autocast is on."""
    dtypes = {value.dtype for value in branch.parameters() if value.is_floating_point() and value.element_size() > 1}
    others = sorted(map(str, dtypes - {activations.dtype}))
    if others and not torch.is_autocast_enabled(activations.device.type):
        wanted = str(activations.dtype)
        raise ValueError(
            f"branch: expected {wanted} as the embeddings of the text encoders, got {', '.join(others)}; "
            f"pipeline.branch.to({wanted}) casts it, as does dtype={wanted} while loading"
        )
