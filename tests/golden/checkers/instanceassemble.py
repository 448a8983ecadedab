"""InstanceAssemble: samples, streams and layout tokens behind the layout blocks, tokens and ids of every box."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from occlusionformer.methods.instanceassemble import InstanceAssemble
from occlusionformer.model import InstanceTexts, LayoutFluxTransformer2DModel, PreparedLayouts, backbone_shape
from occlusionformer.model.embed import box_points
from tests.golden.recording import Case, Differences, Watching, greatest_difference, load_transformer, read_cases

NEEDED = ("base.safetensors",)
LORA = "pytorch_lora_weights.safetensors"
FILES = {"layout": ("layout.safetensors", LORA), "pickle": ("layout.pth", LORA)}


def run(folder: Path, kind: str) -> Iterator[tuple[Case, Differences]]:
    transformer = load_transformer(folder)
    weights, lora = FILES[kind]
    method = InstanceAssemble.load(folder / weights, lora=folder / lora, shape=backbone_shape(transformer))
    for case in read_cases(folder):
        yield case, differences(case, transformer, method)


@torch.no_grad()
def differences(case: Case, transformer: LayoutFluxTransformer2DModel, method: InstanceAssemble) -> Differences:
    texts = InstanceTexts(pooled_NP=case.tensors["instance_text_embeds"])
    layout = method.prepare([case.layout()], texts, case.grid, device="cpu", dtype=torch.float32)
    layout = replace(layout, strength=case.entry["layout_scale"])
    with Watching() as watching:
        watching.watch_blocks(transformer)
        watching.watch("layout_tokens", method.embedder, lambda output: output)
        for kind, blocks in (("dual", method.dual), ("single", method.single)):
            for index, block in blocks.items():
                watching.watch(f"{kind}{index}.layout", block, lambda output: output.tokens)
        sample = transformer(**case.inputs, joint_attention_kwargs={"layout": layout}).sample
    produced = {**watching.seen, **geometry(layout, method), "sample": sample}
    skipped = {*case.inputs, "instance_text_embeds"}
    if layout.strength == 0:  # layout tokens reach nothing, so they are not computed
        skipped |= {name for name in case.tensors if name.startswith("layout_tokens") or name.endswith(".layout")}
    return {
        name: greatest_difference(produced.get(name), recorded)
        for name, recorded in case.tensors.items()
        if name not in skipped
    }


def geometry(layout: PreparedLayouts, method: InstanceAssemble) -> dict[str, Tensor]:
    """Ids, grid points and tokens of the boxes."""
    packed = layout.condition.packed
    tokens = {
        f"tokens.{index}": packed.pixel_T[packed.owner_T == index].sort().values
        for index in range(packed.num_instances)
    }
    points = box_points(packed.box_N4, method.shape.grid_points)
    return {"layout_ids": layout.condition.token_ids_N3, "points": points, **tokens}
