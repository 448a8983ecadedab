"""Time and memory of a layout method at FLUX.1-dev's width, with random weights and as many blocks as one asks for.

    python benchmarks/flux_size.py [--method occlusionformer] [--dual 1] [--single 1] [--sizes 512 1024]
        [--boxes 0 4 16 48] [--format bf16|fp32|fp8|nf4|gguf] [--device cpu|cuda] [--clock wall|cpu] [--repeats 3]
        [--whole]

Blocks are FLUX.1-dev's (24 heads of 128, joint text of 4096, pooled text of 768, guidance), all weights random. Boxes
are half the canvas a side, totally ordered. Of each case one line of JSON: the fastest of `repeats` forwards, and the
greatest memory of a forward less what is held before (on the CPU as Linux counts it). `added` is what the boxes add to
the backbone alone. --clock cpu counts the time this process computed instead of the time that went by, for a machine
with other work. fp8 keeps weights in 8 bits and computes in bf16 (diffusers' layerwise casting); nf4 needs
bitsandbytes, gguf (Q8_0) the gguf package. `counted_gib` is the same memory for bf16, counted without running anything,
on tensors that have no numbers. --whole computes in this way, and from sizes of tensors, what whole FLUX.1-dev needs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from layout_methods import METHODS, fill, half_boxes, new_method, random_texts
from torch import nn
from tracked_memory import peak_of

from occlusionformer.model import LayoutFluxTransformer2DModel, Method, PreparedLayouts
from occlusionformer.model.config import FLUX_DEV, BackboneShape
from occlusionformer.tensors.grid import TokenGrid

HEADS, HEAD_DIM, TEXT_WIDTH, POOLED = 24, 128, 4096, 768
TEXT_TOKENS = 512
GIB = 2**30
PARAMETERS = {"dual": 339_831_040, "single": 141_591_808, "rest": 11_901_408_320 - 19 * 339_831_040 - 38 * 141_591_808}
"""Of one dual block, one single block, and what surrounds them in FLUX.1-dev."""
BYTES = {"fp32": 4.0, "bf16": 2.0, "fp8": 1.0, "nf4": 0.5625, "gguf": 1.0625}
"""A weight in each format, scales included."""
LARGEST_LAYER = 3072 * 6 * 3072
"""Weights of the layer (a dual block's modulation) that is largest once it is cast back for its product."""
CARDS = (12, 16, 24, 40)
SPARE_GIB = 0.8
"""Left for the accelerator's own context and for what allocation wastes."""
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def shape_of(dual: int, single: int) -> BackboneShape:
    return BackboneShape(num_dual=dual, num_single=single, num_heads=HEADS, head_dim=HEAD_DIM, pooled_dim=POOLED)


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


@contextmanager
def made_in(dtype: torch.dtype) -> Iterator[None]:
    """New weights are of this format."""
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def new_backbone(dual: int, single: int, dtype: torch.dtype) -> LayoutFluxTransformer2DModel:
    with made_in(dtype):
        backbone = LayoutFluxTransformer2DModel(num_layers=dual, num_single_layers=single, guidance_embeds=True)
    return backbone.eval().requires_grad_(False)


def random_inputs(grid: TokenGrid, device: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    rows, columns = torch.meshgrid(torch.arange(grid.height), torch.arange(grid.width), indexing="ij")
    ids = torch.stack([torch.zeros_like(rows), rows, columns], -1).reshape(-1, 3)
    inputs = {
        "hidden_states": torch.randn(1, grid.num_tokens, 64),
        "encoder_hidden_states": torch.randn(1, TEXT_TOKENS, TEXT_WIDTH),
        "pooled_projections": torch.randn(1, POOLED),
        "timestep": torch.tensor([0.5]),
        "img_ids": ids,
        "txt_ids": torch.zeros(TEXT_TOKENS, 3),
    }
    inputs = {name: value.to(device, dtype) for name, value in inputs.items()}
    return {**inputs, "guidance": torch.tensor([3.5], device=device)}


def prepared(method: Method, count: int, grid: TokenGrid, device: str, dtype: torch.dtype) -> PreparedLayouts | None:
    if not count:
        return None
    texts = random_texts(method, count, prompt_tokens=TEXT_TOKENS, width=TEXT_WIDTH, pooled=POOLED)
    layout = method.prepare([half_boxes(count, grid)], texts.to(device, dtype), grid, device=device, dtype=dtype)
    return layout.to(device, dtype)


class Case:
    """A backbone and a method, ready for forwards at one size."""

    def __init__(self, options: argparse.Namespace, size: int) -> None:
        torch.manual_seed(0)
        self.device, self.grid = options.device, TokenGrid.from_pixels(size, size, 16)
        self.dtype = torch.float32 if options.format == "fp32" else torch.bfloat16
        self.backbone = cast(new_backbone(options.dual, options.single, self.dtype), options.format, options.device)
        self.method = new_method(options.method, shape_of(options.dual, options.single))
        fill(self.method)
        self.method.to(options.device, self.dtype)
        self.inputs = random_inputs(self.grid, self.device, self.dtype)

    @torch.no_grad()
    def measured(self, count: int, options: argparse.Namespace) -> dict[str, Any]:
        """The fastest of some forwards, and the memory beyond what is held before them at its height."""
        given = {"layout": prepared(self.method, count, self.grid, self.device, self.dtype)}
        clock, seconds = CLOCKS[options.clock], []
        before = self.memory_now()
        for _ in range(options.repeats):
            self.wait()
            started = clock()
            self.backbone(**self.inputs, joint_attention_kwargs=given, return_dict=False)
            self.wait()
            seconds.append(clock() - started)
        return {"boxes": count, "seconds": min(seconds), "gib": (self.memory_peak() - before) / GIB}

    def memory_now(self) -> int:
        """Bytes held; the peak is counted anew from here."""
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated()
        Path("/proc/self/clear_refs").write_text("5")
        return resident("VmRSS")

    def memory_peak(self) -> int:
        return torch.cuda.max_memory_allocated() if self.device == "cuda" else resident("VmHWM")

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def resident(field: str) -> int:
    """Bytes of resident memory: VmRSS now, VmHWM at its peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def counted_gib(name: str, dual: int, single: int, size: int, count: int) -> float:
    """Memory at the height of a bf16 forward beyond weights and inputs, counted on tensors without numbers."""
    grid, shape = TokenGrid.from_pixels(size, size, 16), shape_of(dual, single)
    with torch.device("meta"):
        settings = new_method(name, shape)
    layout = prepared(settings, count, grid, "cpu", torch.bfloat16)

    def make() -> Callable[[], object]:
        backbone, inputs = new_backbone(dual, single, torch.bfloat16), random_inputs(grid, "cpu", torch.bfloat16)
        with made_in(torch.bfloat16):
            method = new_method(name, shape)
        given = layout and replace(layout, method=method)
        return lambda: backbone(**inputs, joint_attention_kwargs={"layout": given}, return_dict=False)

    return peak_of(make) / GIB


def whole_flux(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Memory for all 19 + 38 blocks while denoising: weights, the method's own, activations; by format and boxes."""
    backbone = PARAMETERS["rest"] + FLUX_DEV.num_dual * PARAMETERS["dual"] + FLUX_DEV.num_single * PARAMETERS["single"]
    with torch.device("meta"):
        method = new_method(options.method, FLUX_DEV)
    own = 2 * sum(parameter.numel() for parameter in method.parameters()) / GIB
    rows = []
    for size in options.sizes:
        for count in options.boxes:
            gib = counted_gib(options.method, FLUX_DEV.num_dual, FLUX_DEV.num_single, size, count)
            for weights in ("bf16", "fp8", "gguf", "nf4"):
                layer = 0 if weights == "bf16" else 2 * LARGEST_LAYER
                total = (backbone * BYTES[weights] + layer) / GIB + own + gib
                fits = [card for card in CARDS if total + SPARE_GIB <= card]
                rows.append(
                    {"format": weights, "size": size, "boxes": count, "method_gib": round(own, 2),
                     "activations_gib": round(gib, 2), "total_gib": round(total, 1),
                     "smallest_card": fits[0] if fits else None}
                )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=METHODS, default=METHODS[0])
    parser.add_argument("--dual", type=int, default=1)
    parser.add_argument("--single", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=(512,))
    parser.add_argument("--boxes", type=int, nargs="+", default=(0, 4, 16, 48))
    parser.add_argument("--format", choices=sorted(BYTES), default="bf16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--whole", action="store_true", help="run nothing: compute what whole FLUX.1-dev needs")
    options = parser.parse_args()
    if options.whole:
        for row in whole_flux(options):
            print(json.dumps(row))  # noqa: T201
        return
    about = {name: getattr(options, name) for name in ("method", "dual", "single", "format", "device", "clock")}
    print(json.dumps({**about, "threads": torch.get_num_threads(), "torch": torch.__version__}))  # noqa: T201
    for size in options.sizes:
        case, alone = Case(options, size), 0.0
        for count in sorted({0, *options.boxes}):
            found = {"size": size, **case.measured(count, options)}
            alone = alone or found["seconds"]
            found["added_percent"] = 100 * (found["seconds"] / alone - 1)
            found["counted_gib"] = counted_gib(options.method, options.dual, options.single, size, count)
            print(json.dumps(found), flush=True)  # noqa: T201
        del case


if __name__ == "__main__":
    main()
