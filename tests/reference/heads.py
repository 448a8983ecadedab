"""The mask head: how alike each instance's features are to its query, and a small convolutional reading of that map."""

from collections.abc import Mapping

import torch
from torch import Tensor


def similarity(features_LD: Tensor, query_D: Tensor, mask_L: Tensor) -> Tensor:
    """s(p) = cos(feature(p), query) m(p); a zero feature has similarity 0. (L,)"""
    values = []
    for feature_D, mask in zip(features_LD, mask_L, strict=True):
        length = torch.linalg.vector_norm(feature_D) * torch.linalg.vector_norm(query_D)
        values.append((feature_D * query_D).sum() / length * mask if length > 0 else torch.zeros_like(mask))
    return torch.stack(values)


def mask_logits(weights: Mapping[str, Tensor], head: str, similarity_L: Tensor, height: int, width: int) -> Tensor:
    """Conv 3x3, GELU, conv 3x3, GELU, conv 1x1 over the map: (L, 2), channel 1 is foreground."""
    conv, gelu = torch.nn.functional.conv2d, torch.nn.functional.gelu
    planes = similarity_L.reshape(1, 1, height, width)
    planes = gelu(conv(planes, weights[f"{head}.0.weight"], weights[f"{head}.0.bias"], padding=1))
    planes = gelu(conv(planes, weights[f"{head}.2.weight"], weights[f"{head}.2.bias"], padding=1))
    planes = conv(planes, weights[f"{head}.4.weight"], weights[f"{head}.4.bias"])
    return planes.reshape(2, height * width).T
