"""CreatiLayout: samples, layout tokens, the first block's attention, and the streams behind the first blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from occlusionformer.methods.creatilayout import CreatiLayout
from occlusionformer.model import InstanceTexts, LayoutFluxTransformer2DModel
from tests.golden.recording import Case, Differences, Watching, greatest_difference, read_cases, settings

WHOLE = "diffusion_pytorch_model.safetensors"
NEEDED: tuple[str, ...] = ()
FILES = {"file": (WHOLE,)}


def run(folder: Path, kind: str) -> Iterator[tuple[Case, Differences]]:
    transformer = LayoutFluxTransformer2DModel(**settings(folder)["config"]).eval()
    stored, own = load_file(folder / WHOLE), transformer.state_dict()
    transformer.load_state_dict({name: value for name, value in stored.items() if name in own})
    told = settings(folder)
    slots, tokens = told["max_instances"], told["adapter_config"]["max_boxes_token_length"]
    for case in read_cases(folder):
        method = CreatiLayout.load(
            folder / WHOLE, instance_tokens=tokens, null_slots=slots, fixed_ids=case.entry["fix_bbox_ids"]
        )
        yield case, differences(case, transformer, method)


@torch.no_grad()
def differences(case: Case, transformer: LayoutFluxTransformer2DModel, method: CreatiLayout) -> Differences:
    texts = InstanceTexts(sequence_NSE=case.tensors["instance_t5_embeds"])
    layout = method.prepare([case.layout()], texts, case.grid, device="cpu", dtype=torch.float32)
    layout = replace(layout, strength=case.entry["bbox_scale"])
    first, single = method.transformer_blocks["0"], method.single_transformer_blocks["0"]
    side = "cond" if case.entry["instances_present"] else "uncond"
    with Watching() as watching, transformer.cache_context(side):
        watching.watch_blocks(transformer)
        watching.watch("layout_tokens", method.position_net, lambda output: output[0])
        watching.watch("dual0.attn_image", first.bbox_attn.to_out[0], lambda output: output)
        watching.watch("dual0.attn_layout", first.bbox_attn.to_add_out, lambda output: output)
        watching.watch("dual0.layout", first, lambda output: output[1])
        watching.watch("single0.layout", single, lambda output: output[1])
        sample = transformer(**case.inputs, joint_attention_kwargs={"layout": layout}).sample
    produced = {**watching.seen, "sample": sample, "boxes_normalised": torch.tensor(case.normalised_boxes)}
    skipped = {*case.inputs, "instance_t5_embeds"}
    if layout.strength == 0:  # layout tokens reach nothing, so they are not computed
        skipped |= {name for name in case.tensors if "layout" in name or "attn" in name}
    return {
        name: greatest_difference(produced.get(name), recorded)
        for name, recorded in case.tensors.items()
        if name not in skipped
    }
