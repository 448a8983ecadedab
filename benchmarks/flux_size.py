"""Time and memory of a layout method at FLUX.1-dev's width, with random weights and as many blocks as one asks for.

    python benchmarks/flux_size.py [--method occlusionformer] [--dual 1] [--single 1] [--sizes 512 1024]
        [--boxes 0 4 16] [--format bf16|fp32|fp8|nf4|gguf] [--device cpu|cuda] [--repeats 3] [--json]

Blocks are FLUX.1-dev's (24 heads of 128, joint text of 4096, pooled text of 768, guidance), all weights random. Boxes
are half the canvas a side, totally ordered. Of each case: median seconds of a forward, and the greatest memory less
what is held before (on the CPU as Linux counts it). `added` is what the boxes add to the backbone alone.
fp8 keeps weights in 8 bits and computes in bf16 (diffusers' layerwise casting); nf4 needs bitsandbytes, gguf (Q8_0)
the gguf package. Last comes what whole FLUX.1-dev needs, computed from sizes of tensors and these figures.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from occlusionformer.layout import Box, FrontToBack, Instance, Layout
from occlusionformer.methods.creatilayout import CreatiLayout
from occlusionformer.methods.eligen import Eligen
from occlusionformer.methods.gligen import Gligen
from occlusionformer.methods.instanceassemble import InstanceAssemble
from occlusionformer.methods.larender import LaRender
from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.model import InstanceTexts, LayoutFluxTransformer2DModel, Method, instance_assemble, published
from occlusionformer.model.config import FLUX_DEV, BackboneShape
from occlusionformer.tensors.grid import TokenGrid

HEADS, HEAD_DIM, TEXT_WIDTH, POOLED = 24, 128, 4096, 768
TEXT_TOKENS = 512
GIB = 2**30
PARAMETERS = {"dual": 339_831_040, "single": 141_591_808, "rest": 11_901_408_320 - 19 * 339_831_040 - 38 * 141_591_808}
"""Of one dual block, one single block, and what surrounds them in FLUX.1-dev."""
BYTES = {"fp32": 4.0, "bf16": 2.0, "fp8": 1.0, "nf4": 0.5625, "gguf": 1.0625}
"""A weight in each format, scales included."""
CARDS = (12, 16, 24, 40)


def shape_of(dual: int, single: int) -> BackboneShape:
    return BackboneShape(num_dual=dual, num_single=single, num_heads=HEADS, head_dim=HEAD_DIM, pooled_dim=POOLED)


def new_method(name: str, dual: int, single: int) -> Method:
    """Every block of the backbone that the method acts on, at its published sizes."""
    sizes = {"num_heads": HEADS, "head_dim": HEAD_DIM}
    blocks = {"dual_blocks": tuple(range(dual)), "single_blocks": tuple(range(single))}
    shape = shape_of(dual, single)
    built: dict[str, Any] = {
        "occlusionformer": lambda: OcclusionFormer.build(published(shape)),
        "instanceassemble": lambda: InstanceAssemble.build(instance_assemble(shape)),
        "creatilayout": lambda: CreatiLayout(**sizes, **blocks),
        "gligen": lambda: Gligen(**sizes, **blocks, pooled_dim=POOLED, token_width=POOLED),
        "eligen": lambda: Eligen(**sizes, num_dual=dual, num_single=single, rank=32),
        "larender": LaRender,
    }
    return built[name]()


def cast(model: nn.Module, weights: str, device: str) -> nn.Module:
    """The backbone with its weights in a format."""
    if weights == "fp32":
        return model.to(device)
    model = model.to(device, torch.bfloat16)
    if weights == "fp8":
        model.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)
    elif weights in ("nf4", "gguf"):
        _replace_linears(model, weights, device)
    return model


def _replace_linears(model: nn.Module, weights: str, device: str) -> None:
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear and "blocks" in name:
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, _quantised(module, weights, device))


def _quantised(layer: nn.Linear, weights: str, device: str) -> nn.Module:
    if weights == "nf4":
        import bitsandbytes

        small = bitsandbytes.nn.Linear4bit(
            layer.in_features, layer.out_features, bias=layer.bias is not None, quant_type="nf4",
            compute_dtype=torch.bfloat16,
        )  # fmt: skip
        small.load_state_dict(layer.state_dict())
        return small.to(device)
    import gguf
    from diffusers.quantizers.gguf.utils import GGUFLinear, GGUFParameter

    packed = gguf.quants.quantize(layer.weight.detach().float().cpu().numpy(), gguf.GGMLQuantizationType.Q8_0)
    small = GGUFLinear(layer.in_features, layer.out_features, bias=layer.bias is not None, compute_dtype=torch.bfloat16)
    small.weight = GGUFParameter(torch.from_numpy(packed), quant_type=gguf.GGMLQuantizationType.Q8_0)
    small.bias = layer.bias
    return small.to(device)


def half_boxes(count: int, grid: TokenGrid) -> Layout:
    rng = random.Random(0)
    ids = [f"box{index}" for index in range(count)]
    corners = [(rng.uniform(0, 0.5), rng.uniform(0, 0.5)) for _ in ids]
    return Layout(
        prompt="boxes",
        width=grid.width * 16,
        height=grid.height * 16,
        instances=tuple(
            Instance(id=name, caption=name, box=Box(x, y, x + 0.5, y + 0.5))
            for name, (x, y) in zip(ids, corners, strict=True)
        ),
        order=FrontToBack(front_to_back=tuple(rng.sample(ids, count))) if count else None,
    )


class Case:
    """A backbone and a method, ready for forwards at one size."""

    def __init__(self, options: argparse.Namespace, size: int) -> None:
        torch.manual_seed(0)
        self.device, self.grid = options.device, TokenGrid.from_pixels(size, size, 16)
        self.dtype = torch.float32 if options.format == "fp32" else torch.bfloat16
        torch.set_default_dtype(self.dtype)
        backbone = LayoutFluxTransformer2DModel(
            num_layers=options.dual, num_single_layers=options.single, guidance_embeds=True
        )
        self.method = new_method(options.method, options.dual, options.single).eval().requires_grad_(False)
        torch.set_default_dtype(torch.float32)
        self.backbone = cast(backbone.eval().requires_grad_(False), options.format, options.device)
        for parameter in self.method.parameters():
            if parameter.ndim:
                nn.init.normal_(parameter, std=0.02)
        self.method.to(options.device, self.dtype)
        rows, columns = torch.meshgrid(torch.arange(size // 16), torch.arange(size // 16), indexing="ij")
        ids = torch.stack([torch.zeros_like(rows), rows, columns], -1).reshape(-1, 3)
        shapes = {
            "hidden_states": (1, self.grid.num_tokens, 64), "encoder_hidden_states": (1, TEXT_TOKENS, TEXT_WIDTH),
            "pooled_projections": (1, POOLED),
        }  # fmt: skip
        self.inputs = {name: torch.randn(shape).to(self.device, self.dtype) for name, shape in shapes.items()}
        self.inputs |= {
            "timestep": torch.tensor([0.5], dtype=self.dtype, device=self.device),
            "guidance": torch.tensor([3.5], device=self.device),
            "img_ids": ids.to(self.device, self.dtype),
            "txt_ids": torch.zeros(TEXT_TOKENS, 3, device=self.device, dtype=self.dtype),
        }

    def layout(self, count: int) -> dict[str, Any] | None:
        if not count:
            return None
        tokens = self.method.texts.sequence_tokens
        tokens = TEXT_TOKENS if tokens == "prompt" else tokens
        texts = InstanceTexts(
            pooled_NP=torch.randn(count, POOLED), sequence_NSE=torch.randn(count, tokens or 1, TEXT_WIDTH)
        )
        needs = self.method.texts
        texts = replace(
            texts,
            pooled_NP=texts.pooled_NP if needs.pooled else None,
            sequence_NSE=texts.sequence_NSE if needs.sequence_tokens else None,
        ).to(self.device, self.dtype)
        layouts = [half_boxes(count, self.grid)]
        prepared = self.method.prepare(layouts, texts, self.grid, device=self.device, dtype=self.dtype)
        return {"layout": prepared.to(self.device, self.dtype)}

    @torch.no_grad()
    def seconds(self, count: int, repeats: int) -> float:
        given = self.layout(count)
        found = []
        for _ in range(repeats + 1):
            self.wait()
            started = time.perf_counter()
            self.backbone(**self.inputs, joint_attention_kwargs=given, return_dict=False)
            self.wait()
            found.append(time.perf_counter() - started)
        return statistics.median(found[1:])

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def activations(case: Case, count: int) -> float:
    """GiB beyond what is held already at the height of a forward; on the CPU by Linux's account of resident memory."""
    if case.device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        case.seconds(count, 1)
        return (torch.cuda.max_memory_allocated() - before) / GIB
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    case.seconds(count, 1)
    return (resident("VmHWM") - before) / GIB


def resident(field: str) -> int:
    """Bytes of resident memory: VmRSS now, VmHWM at its peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def whole_flux(cases: list[dict[str, Any]], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Memory for all 19 + 38 blocks while denoising: weights, the method's own, activations; by format and boxes."""
    backbone = PARAMETERS["rest"] + FLUX_DEV.num_dual * PARAMETERS["dual"] + FLUX_DEV.num_single * PARAMETERS["single"]
    with torch.device("meta"):
        method = new_method(options.method, FLUX_DEV.num_dual, FLUX_DEV.num_single)
    own = 2 * sum(parameter.numel() for parameter in method.parameters())
    rows = []
    for weights in ("bf16", "fp8", "gguf", "nf4"):
        for case in cases:
            total = (backbone * BYTES[weights] + own) / GIB + case["activations_gib"]
            fits = [card for card in CARDS if total + 0.8 <= card]
            rows.append(
                {"format": weights, "size": case["size"], "boxes": case["boxes"], "gib": round(total, 1),
                 "smallest_card": fits[0] if fits else None}
            )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="occlusionformer")
    parser.add_argument("--dual", type=int, default=1)
    parser.add_argument("--single", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=(512,))
    parser.add_argument("--boxes", type=int, nargs="+", default=(0, 4, 16))
    parser.add_argument("--format", choices=sorted(BYTES), default="bf16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    cases: list[dict[str, Any]] = []
    for size in options.sizes:
        case = Case(options, size)
        alone = case.seconds(0, options.repeats)
        for count in options.boxes:
            seconds = case.seconds(count, options.repeats) if count else alone
            cases.append(
                {"size": size, "boxes": count, "seconds": seconds, "added_percent": 100 * (seconds / alone - 1)}
            )
            cases[-1]["activations_gib"] = activations(case, count)
        del case
    result = {"method": options.method, "blocks": [options.dual, options.single], "format": options.format,
              "device": options.device, "cases": cases, "whole_flux_computed": whole_flux(cases, options)}  # fmt: skip
    print(json.dumps(result, indent=None if options.json else 1))  # noqa: T201


if __name__ == "__main__":
    main()
