"""OcclusionFormer: samples and mask logits, from three kinds of files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.model import InstanceTexts, LayoutFluxTransformer2DModel, backbone_shape
from tests.golden.recording import Case, Differences, greatest_difference, load_transformer, read_cases

NEEDED = ("base.safetensors",)
FILES = {
    "layout": ("layout.safetensors", "lora.safetensors"),
    "occ": ("occ.pth", "lora.safetensors"),
    "bundle": ("bundle_weights.safetensors",),
}


def load(folder: Path, kind: str, transformer: LayoutFluxTransformer2DModel) -> OcclusionFormer:
    weights, *lora = FILES[kind]
    shape = backbone_shape(transformer)
    return OcclusionFormer.load(folder / weights, lora=folder / lora[0] if lora else None, shape=shape)


def run(folder: Path, kind: str) -> Iterator[tuple[Case, Differences]]:
    transformer = load_transformer(folder)
    method = load(folder, kind, transformer)
    for case in read_cases(folder):
        yield case, differences(case, transformer, method)


def recorded_logits(case: Case) -> list[Tensor]:
    """Recorded mask logits, one (N, L, 2) a layout block; empty where none were recorded."""
    names = [name for name in case.tensors if name.startswith("mask_logits.")]
    return [case.tensors[name] for name in sorted(names, key=lambda name: int(name.rpartition(".")[2]))]


@torch.no_grad()
def differences(case: Case, transformer: LayoutFluxTransformer2DModel, method: OcclusionFormer) -> Differences:
    layout, recorded = None, recorded_logits(case)
    if case.entry["enable_layout"]:
        texts = InstanceTexts(pooled_NP=case.tensors["instance_text_embeds"])
        layout = method.prepare([case.layout()], texts, case.grid, device="cpu", dtype=torch.float32)
        layout = replace(layout, want_masks=bool(recorded))
    sample = transformer(**case.inputs, joint_attention_kwargs={"layout": layout}).sample
    found = {"sample": greatest_difference(sample, case.tensors["sample"])}
    produced = () if layout is None else layout.report.mask_logits
    for index, logits in enumerate(recorded):
        found[f"mask {index}"] = greatest_difference(produced[index] if index < len(produced) else None, logits)
    return found
