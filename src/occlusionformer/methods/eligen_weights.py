"""EliGen's LoRA files: three families of names for the same tensors, brought to one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from occlusionformer.tensors.files import CheckpointError, read_tensors

Key = tuple[str, int, str, str]
"""Kind of block, its index, the layer's path in it, "down" or "up"."""

DUAL_NATIVE = {
    "attn.a_to_qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "attn.b_to_qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "attn.a_to_out": ("attn.to_out.0",),
    "attn.b_to_out": ("attn.to_add_out",),
    "ff_a.0": ("ff.net.0.proj",),
    "ff_a.2": ("ff.net.2",),
    "ff_b.0": ("ff_context.net.0.proj",),
    "ff_b.2": ("ff_context.net.2",),
    "norm1_a.linear": ("norm1.linear",),
    "norm1_b.linear": ("norm1_context.linear",),
}
DUAL_KOHYA = {
    "img_attn_qkv": "attn.a_to_qkv",
    "txt_attn_qkv": "attn.b_to_qkv",
    "img_attn_proj": "attn.a_to_out",
    "txt_attn_proj": "attn.b_to_out",
    "img_mlp_0": "ff_a.0",
    "img_mlp_2": "ff_a.2",
    "txt_mlp_0": "ff_b.0",
    "txt_mlp_2": "ff_b.2",
    "img_mod_lin": "norm1_a.linear",
    "txt_mod_lin": "norm1_b.linear",
}
SINGLE_FUSED = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
SINGLE_NATIVE = {"to_qkv_mlp": SINGLE_FUSED, "proj_out": ("proj_out",), "norm.linear": ("norm.linear",)}
SINGLE_KOHYA = {"linear1": "to_qkv_mlp", "linear2": "proj_out", "modulation_lin": "norm.linear"}

DIFFUSERS = re.compile(r"(?:transformer\.)?(single_)?transformer_blocks\.(\d+)\.(.+)\.lora_(A|B)(?:\.default)?\.weight")
NATIVE = re.compile(r"(single_)?blocks\.(\d+)\.(.+)\.lora_(A|B)(?:\.default)?\.weight")
KOHYA = re.compile(r"lora_unet_(double|single)_blocks_(\d+)_(.+)\.lora_(down|up)\.weight")
HALVES = {"A": "down", "B": "up", "down": "down", "up": "up"}


@dataclass(frozen=True)
class LoraShape:
    """What the tensors of a file say about the model they are for."""

    width: int
    rank: int
    num_dual: int
    num_single: int


def read_lora(path: Path) -> tuple[dict[Key, Tensor], LoraShape]:
    """All tensors of a file by block, layer and half, alphas worked in, and the sizes they tell.

    CheckpointError names tensors that no family knows, and layers that lack a half.
    """
    stored = read_tensors(path)[0]
    scale = _scale(stored)
    found: dict[Key, Tensor] = {}
    unknown = []
    for name, value in stored.items():
        if name.endswith(".alpha"):
            continue
        parts = list(_split(name, value))
        if not parts:
            unknown.append(f"{name}: unexpected, shape {tuple(value.shape)}")
        for key, part in parts:
            found[key] = part * scale if key[3] == "up" and scale != 1 else part
    alone = [
        f"{'.'.join(map(str, key[:3]))}: expected both halves, got {key[3]}" for key in found if not _pair(key, found)
    ]
    if unknown or alone or not found:
        raise CheckpointError(path, [*unknown, *alone] or ["expected tensors of a LoRA, got none"])
    first = next(key for key in sorted(found) if key[3] == "down" and key[2] in ("attn.to_q", "norm.linear"))
    count = {kind: 1 + max((key[1] for key in found if key[0] == kind), default=-1) for kind in ("dual", "single")}
    rank, width = found[first].shape
    return found, LoraShape(width=width, rank=rank, num_dual=count["dual"], num_single=count["single"])


def _pair(key: Key, found: Mapping[Key, Tensor]) -> bool:
    return (*key[:3], "up" if key[3] == "down" else "down") in found


def _scale(stored: Mapping[str, Tensor]) -> float:
    """alpha / rank of the first alpha in the file; 1 without any."""
    for name, value in stored.items():
        if name.endswith(".alpha"):
            down = stored.get(f"{name.removesuffix('.alpha')}.lora_down.weight")
            return float(value) / len(down) if down is not None else 1.0
    return 1.0


def _split(name: str, value: Tensor) -> Iterator[tuple[Key, Tensor]]:
    """The layers that a stored tensor belongs to, with its part for each; nothing for an unknown name."""
    if match := KOHYA.fullmatch(name):
        kind, table = ("dual", DUAL_KOHYA) if match[1] == "double" else ("single", SINGLE_KOHYA)
        layer = table.get(match[3])
    elif match := NATIVE.fullmatch(name):
        kind, layer = ("single" if match[1] else "dual"), match[3]
    elif match := DIFFUSERS.fullmatch(name):
        yield ("single" if match[1] else "dual", int(match[2]), match[3], HALVES[match[4]]), value
        return
    else:
        return
    paths = (DUAL_NATIVE if kind == "dual" else SINGLE_NATIVE).get(layer or "")
    if paths is None:
        return
    half = HALVES[match[4]]
    for path, part in zip(paths, _parts(paths, value, half), strict=True):
        yield (kind, int(match[2]), path, half), part


def _parts(paths: tuple[str, ...], value: Tensor, half: str) -> list[Tensor]:
    """Fused layers share their inputs' half and have their outputs one below the other: q, k, v, and the MLP's 4."""
    if half == "down":
        return [value] * len(paths)
    shares = [4 if path == "proj_mlp" and len(paths) > 1 else 1 for path in paths]
    unit, rest = divmod(len(value), sum(shares))
    sizes = [unit * share for share in shares]
    sizes[-1] += rest
    return [part.contiguous() for part in torch.split(value, sizes)]
