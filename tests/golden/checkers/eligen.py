"""EliGen: samples, token masks, who attends to whom, and the streams behind blocks, from three families of names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from occlusionformer.layout import Box, Instance, Layout, RunLength
from occlusionformer.methods.eligen import Eligen, allowed
from occlusionformer.model import InstanceTexts, LayoutFluxTransformer2DModel
from tests.golden.recording import (
    Case,
    Differences,
    Watching,
    greatest_difference,
    load_transformer,
    read_cases,
    settings,
)

NEEDED = ("base.safetensors", "lora_kohya_alpha.safetensors")
FILES = {family: (f"lora_{family}.safetensors",) for family in ("native", "kohya", "diffusers")}
STANDS_FOR_ALL = "lora_diffusers.safetensors"
SET = 127
"""A grey level above this is inside a mask."""


def run(folder: Path, kind: str) -> Iterator[tuple[Case, Differences]]:
    transformer, config = load_transformer(folder), settings(folder)["config"]
    heads = config["num_attention_heads"]
    for case in read_cases(folder):
        lora = case.entry["lora"]
        if lora is None:
            counts = {"num_dual": config["num_layers"], "num_single": config["num_single_layers"]}
            method = Eligen(
                num_heads=heads, head_dim=config["attention_head_dim"], rank=0, rasteriser="published", **counts
            )
        else:
            method = Eligen.load(folder / (FILES[kind][0] if lora == STANDS_FOR_ALL else lora), num_heads=heads)
        yield case, differences(case, transformer, method)


@torch.no_grad()
def differences(case: Case, transformer: LayoutFluxTransformer2DModel, method: Eligen) -> Differences:
    embeds = case.tensors.get("entity_embeds")
    drawn = embeds is not None and len(embeds) > 0
    layout, texts = drawn_layout(case) if drawn else nobody(case)
    prepared = method.prepare([layout], texts, case.grid, device="cpu", dtype=torch.float32)
    with Watching() as watching, transformer.cache_context("cond" if drawn else "uncond"):
        watching.watch_blocks(transformer)
        sample = transformer(**case.inputs, joint_attention_kwargs={"layout": prepared}).sample
    last = len(transformer.transformer_blocks) - 1
    produced = {
        **watching.seen,
        "duallast.image": watching.seen[f"dual{last}.image"],
        "duallast.text": watching.seen[f"dual{last}.text"],
        "single0.joint": torch.cat([watching.seen["single0.text"], watching.seen["single0.image"]], 1),
        "sample": sample,
    }
    if drawn:
        tokens = case.tensors["encoder_hidden_states"].shape[1]
        produced["token_masks"] = prepared.condition.covers_BKL[0]
        produced["attention_allowed"] = allowed(
            prepared.condition, tokens, case.grid.num_tokens, segment_tokens=tokens
        )[0]
    skipped = {*case.inputs, "entity_embeds", "pixel_masks", "latent_masks"}
    if not drawn:
        skipped |= {"token_masks", "attention_allowed"}
    return {
        name: greatest_difference(produced.get(name), recorded)
        for name, recorded in case.tensors.items()
        if name not in skipped
    }


def drawn_layout(case: Case) -> tuple[Layout, InstanceTexts]:
    """Boxes as boxes, other shapes as run lengths of what was drawn."""
    instances = []
    for index, (box, kind) in enumerate(zip(case.entry["boxes_xyxy"], case.entry["mask_kinds"], strict=True)):
        mask = case.tensors["pixel_masks"][index] > SET
        place, region = Box.from_pixels(*box, width=case.width, height=case.height), None
        if not mask.any():  # nothing is inside: a box between the points that are looked at
            place = Box.from_pixels(0, 0, 1, 1, width=case.width, height=case.height)
        elif kind != "box":
            place, region = Box(0, 0, 1, 1), run_lengths(mask)
        instances.append(Instance(id=str(index), caption="entity", box=place, region=region))
    layout = Layout(prompt=case.name, width=case.width, height=case.height, instances=tuple(instances))
    return layout, InstanceTexts(sequence_NSE=case.tensors["entity_embeds"])


def nobody(case: Case) -> tuple[Layout, InstanceTexts]:
    """The published forward without entities is what the negative half of guidance sees here."""
    instance = Instance(id="0", caption="entity", box=Box(0, 0, 1, 1))
    layout = Layout(prompt=case.name, width=case.width, height=case.height, instances=(instance,))
    return layout, InstanceTexts(sequence_NSE=torch.zeros_like(case.tensors["encoder_hidden_states"]))


def run_lengths(mask_HW: Tensor) -> RunLength:
    flat = torch.cat([torch.tensor([False]), mask_HW.T.flatten(), torch.tensor([True])])
    flat[-1] = ~flat[-2]
    changes = (flat[1:] != flat[:-1]).nonzero().flatten().tolist()
    counts = [b - a for a, b in zip([0, *changes[:-1]], changes, strict=True)]
    return RunLength(size=tuple(mask_HW.shape), counts=tuple(counts))
