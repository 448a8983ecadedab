"""Attention of one instance: its layout token together with the image tokens of its box.

S = 1 + number of covered tokens, layout token first; D = heads x channels of a head.
"""

import torch
from torch import Tensor

from tests.reference.weights import Weights, adapted

RMS_EPSILON = 1e-6

Angle = tuple[Tensor, Tensor]
"""Rotary cosines and sines of one position."""


def rms_norm(x_HC: Tensor, gain_C: Tensor) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * gain, head by head."""
    return x_HC / torch.sqrt((x_HC * x_HC).mean(-1, keepdim=True) + RMS_EPSILON) * gain_C


def rotate(x_HC: Tensor, cosine_C: Tensor, sine_C: Tensor) -> Tensor:
    """Turn each pair of neighbouring channels (2k, 2k + 1) by its angle."""
    rotated_HC = torch.empty_like(x_HC)
    rotated_HC[:, 0::2] = x_HC[:, 0::2] * cosine_C[0::2] - x_HC[:, 1::2] * sine_C[0::2]
    rotated_HC[:, 1::2] = x_HC[:, 1::2] * cosine_C[1::2] + x_HC[:, 0::2] * sine_C[1::2]
    return rotated_HC


def attend(queries: list[Tensor], keys: list[Tensor], values: list[Tensor]) -> list[Tensor]:
    """Softmax attention, query by query and head by head; each entry is (heads, channels of a head)."""
    keys_SHC, values_SHC = torch.stack(keys), torch.stack(values)
    outputs = []
    for query_HC in queries:
        heads = []
        for head in range(query_HC.shape[0]):
            scores_S = (keys_SHC[:, head] * query_HC[head]).sum(-1) / query_HC.shape[1] ** 0.5
            shares_S = torch.exp(scores_S - scores_S.max()) / torch.exp(scores_S - scores_S.max()).sum()
            heads.append((shares_S[:, None] * values_SHC[:, head]).sum(0))
        outputs.append(torch.cat(heads))
    return outputs


def dual_attention(
    weights: Weights, block: str, layout_D: Tensor, image_SD: Tensor, angles: list[Angle], double_norm: bool
) -> tuple[Tensor, Tensor]:
    """(image rows, layout row) of Attn*([layout; image]) in a dual block: each stream has its own projections.

    `double_norm`: the layout row's query and key pass norm_q/norm_k and then norm_added_q/norm_added_k, as in the
    published model; otherwise only the latter.
    """
    channels = weights.base[f"{block}.attn.norm_q.weight"].shape[0]
    queries, keys, values = [], [], []
    for row, token_D in enumerate([layout_D, *image_SD]):
        names = ("add_q_proj", "add_k_proj", "add_v_proj") if row == 0 else ("to_q", "to_k", "to_v")
        query, key, value = (adapted(weights, f"{block}.attn.{name}", token_D).reshape(-1, channels) for name in names)
        norms = ["added_"] if row == 0 else [""]
        if row == 0 and double_norm:
            norms = ["", "added_"]
        for norm in norms:
            query = rms_norm(query, weights.base[f"{block}.attn.norm_{norm}q.weight"])
            key = rms_norm(key, weights.base[f"{block}.attn.norm_{norm}k.weight"])
        queries.append(rotate(query, *angles[row]))
        keys.append(rotate(key, *angles[row]))
        values.append(value)
    layout_row, *image_rows = attend(queries, keys, values)
    image_out = adapted(weights, f"{block}.attn.to_out.0", torch.stack(image_rows))
    return image_out, adapted(weights, f"{block}.attn.to_add_out", layout_row)


def single_attention(weights: Weights, block: str, rows_SD: Tensor, angles: list[Angle]) -> Tensor:
    """Attn*([layout; image]) in a single block, before the output projection: every row has the same projections."""
    channels = weights.base[f"{block}.attn.norm_q.weight"].shape[0]
    queries, keys, values = [], [], []
    for row_D, angle in zip(rows_SD, angles, strict=True):
        query, key, value = (
            adapted(weights, f"{block}.attn.{name}", row_D).reshape(-1, channels) for name in ("to_q", "to_k", "to_v")
        )
        queries.append(rotate(rms_norm(query, weights.base[f"{block}.attn.norm_q.weight"]), *angle))
        keys.append(rotate(rms_norm(key, weights.base[f"{block}.attn.norm_k.weight"]), *angle))
        values.append(value)
    return torch.stack(attend(queries, keys, values))
