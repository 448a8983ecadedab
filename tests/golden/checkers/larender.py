"""LaRender: maps, planes, densities, transmittance, contributions and the composed output of one cross-attention."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from occlusionformer.tensors.planes import (
    box_planes,
    composed,
    contributions,
    densities,
    stretched,
    transmittance,
)
from tests.golden.recording import Case, Differences, greatest_difference, read_cases, settings

NEEDED: tuple[str, ...] = ()
FILES = {"layer": ("attn2.safetensors",)}


@torch.no_grad()
def run(folder: Path, kind: str) -> Iterator[tuple[Case, Differences]]:
    told, weights = settings(folder), load_file(folder / "attn2.safetensors")
    for case in read_cases(folder):
        produced = rendered(case, weights, told)
        inputs = {"hidden_states", "encoder_hidden_states"}
        yield (
            case,
            {
                name: greatest_difference(produced.get(name), recorded)
                for name, recorded in case.tensors.items()
                if name not in inputs
            },
        )


def rendered(case: Case, weights: dict[str, Tensor], told: dict) -> dict[str, Tensor]:
    entry, tokens = case.entry, told["tokens_per_prompt"]
    high, wide, count = entry["tokens_high"], entry["tokens_wide"], len(entry["boxes_normalised"])
    texts = case.tensors["encoder_hidden_states"].split(tokens, 1)
    attended = [cross_attention(case.tensors["hidden_states"], text, weights, told["heads"]) for text in texts]
    raw_NL = torch.stack(
        [
            probs.mean((0, 1))[:, subject].mean(-1)
            for (_, probs), subject in zip(attended, entry["subject_tokens"], strict=True)
        ]
    )
    plane_NL = stretched(raw_NL) if entry["use_attention_maps"] else torch.ones_like(raw_NL)
    if entry["use_boxes"]:
        boxes = torch.tensor(entry["boxes_normalised"], dtype=torch.float64)
        plane_NL = plane_NL * box_planes(boxes, high, wide).float()
    sigma_N = densities(
        torch.tensor(entry["alpha"]),
        entry["density_schedule"],
        progress=(entry["step"] + 1) / entry["steps"],
        steps=entry["steps"],
    )
    in_front = torch.ones(count, count).triu(1)  # listed bottom to top: all that come later are in front
    weight_NL = contributions(sigma_N, plane_NL, in_front)
    output_NBLC = torch.stack([output for output, _ in attended])
    return {
        "object_outputs": output_NBLC.unflatten(2, (high, wide)),
        "attention_probs": torch.stack([probs for _, probs in attended]),
        "subject_maps": raw_NL.view(count, high, wide),
        "planes": plane_NL.view(count, high, wide),
        "densities": sigma_N,
        "transmittance": transmittance(sigma_N, plane_NL, in_front).view(count, high, wide),
        "contributions": weight_NL.view(count, high, wide),
        "weight_sum": weight_NL.sum(0).view(high, wide),
        "output": torch.stack([composed(output_NBLC[:, half], weight_NL) for half in range(output_NBLC.shape[1])]),
    }


def cross_attention(x_BLC: Tensor, text: Tensor, weights: dict[str, Tensor], heads: int) -> tuple[Tensor, Tensor]:
    """Outputs behind the output layer (B, L, C), and probabilities (B, H, L, tokens)."""
    query, key, value = (
        (source @ weights[f"{name}.weight"].T).unflatten(-1, (heads, -1)).transpose(1, 2)
        for name, source in (("to_q", x_BLC), ("to_k", text), ("to_v", text))
    )
    probs = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
    joined = (probs @ value).transpose(1, 2).flatten(2)
    return joined @ weights["to_out.0.weight"].T + weights["to_out.0.bias"], probs
