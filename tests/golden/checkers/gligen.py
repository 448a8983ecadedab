"""GLIGEN: position features, grounding tokens, the gated layer, and a U-Net block around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from occlusionformer.methods.gligen import FOURIER_BASE, FOURIER_FREQUENCIES, GatedSelfAttention, load_gated_layer
from occlusionformer.methods.slots import fill_slots, fourier_features
from tests.golden.recording import Case, Differences, greatest_difference, read_cases, settings

NEEDED = ("block.safetensors",)
FILES = {"layer": ("gligen.safetensors",)}


@torch.no_grad()
def run(folder: Path, kind: str) -> Iterator[tuple[Case, Differences]]:
    told, stored = settings(folder), load_file(folder / "gligen.safetensors")
    tokens, layer = load_gated_layer(stored, told["heads"], folder / "gligen.safetensors")
    block = {name.removeprefix("block."): value for name, value in load_file(folder / "block.safetensors").items()}
    fuser = {name: value for name, value in block.items() if name.startswith("fuser.")}
    _, inside = load_gated_layer(
        {**{name: value for name, value in stored.items() if name.startswith("position_net.")}, **fuser},
        told["heads"],
        folder / "block.safetensors",
    )
    for case in read_cases(folder):
        given = case.tensors
        slots = fill_slots([case.layout()], least=told["max_instances"])
        box_K4 = torch.zeros(told["max_instances"], 4)
        box_K4[: len(slots.box_N4)] = slots.box_N4.float()
        grounding = tokens(given["phrase_embeds"][:, None], slots)
        between: list[Tensor] = []
        handle = layer.norm2.register_forward_pre_hook(lambda _, inputs, seen=between: seen.append(inputs[0]))
        gated = layer(given["hidden_states"], grounding)
        handle.remove()
        produced = {
            "boxes_normalised": slots.box_N4.float(),
            "position_features": fourier_features(box_K4, FOURIER_FREQUENCIES, FOURIER_BASE),
            "grounding_tokens": grounding[0],
            "after_attention": between[0],
            "gated_output": gated,
            **unet_block(block, inside, case, told["heads"], grounding),
        }
        inputs = {"phrase_embeds", "hidden_states", "encoder_hidden_states"}
        yield (
            case,
            {
                name: greatest_difference(produced.get(name), recorded)
                for name, recorded in given.items()
                if name not in inputs
            },
        )


def unet_block(
    block: dict[str, Tensor], gated: GatedSelfAttention, case: Case, heads: int, grounding: Tensor
) -> dict[str, Tensor]:
    """Self-attention, the gated layer, cross-attention, feed-forward."""
    x, texts = case.tensors["hidden_states"], case.tensors["encoder_hidden_states"]
    normed = norm(block, "norm1", x)
    after = x + attention(block, "attn1", normed, normed, heads)
    outputs = {}
    for name, factor in (("block_output", 1.0), ("block_output_without_gligen", 0.0)):
        y = gated(after, grounding, factor=factor)
        y = y + attention(block, "attn2", norm(block, "norm2", y), texts, heads)
        hidden, gate = linear(block, "ff.net.0.proj", norm(block, "norm3", y)).chunk(2, -1)
        outputs[name] = y + linear(block, "ff.net.2", hidden * F.gelu(gate))
    return outputs


def linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)


def attention(weights: dict[str, Tensor], name: str, x: Tensor, seen: Tensor, heads: int) -> Tensor:
    sources = {"to_q": x, "to_k": seen, "to_v": seen}
    query, key, value = (
        linear(weights, f"{name}.{layer}", source).unflatten(-1, (heads, -1)).transpose(1, 2)
        for layer, source in sources.items()
    )
    output = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    return linear(weights, f"{name}.to_out.0", output)
