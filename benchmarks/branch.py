"""What the layout branch adds to the backbone's time and memory, on the CPU, in one run.

    python benchmarks/branch.py [--json] [--boxes 1 4 16 48] [--repeats 7] [--threads N] [--dtype float32]

A Flux-shaped backbone (4 dual and 10 single blocks, 8 heads of 64, joint dim 128, pooled dim 64, guidance, axes
16/24/24, 32 x 32 image tokens, 64 text tokens, random weights) with the branch of the `published()` preset.
Boxes are half the canvas wide and high at random positions, all totally ordered. Time: backbone and branch calls
alternate and the median of the paired ratios is reported, so a drifting machine hurts both. Memory: greatest resident
set of a fresh process that ran the case, less that of one that ran the backbone alone; branch weights are included.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import torch

from occlusionformer.layout import Box, FrontToBack, Instance, Layout
from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.model import (
    InstanceTexts,
    LayoutFluxTransformer2DModel,
    Method,
    PreparedLayouts,
    backbone_shape,
    published,
)
from occlusionformer.tensors.grid import TokenGrid

BACKBONE = {
    "patch_size": 1,
    "in_channels": 64,
    "num_layers": 4,
    "num_single_layers": 10,
    "attention_head_dim": 64,
    "num_attention_heads": 8,
    "joint_attention_dim": 128,
    "pooled_projection_dim": 64,
    "guidance_embeds": True,
    "axes_dims_rope": (16, 24, 24),
}
GRID = TokenGrid(32, 32)
TEXT_TOKENS = 64
BOXES = (1, 4, 16, 48)


@dataclass(frozen=True)
class Case:
    """A transformer, the arguments of its forward, and the layout among them."""

    transformer: LayoutFluxTransformer2DModel
    method: Method
    arguments: dict[str, torch.Tensor]
    layout: PreparedLayouts | None

    @torch.no_grad()
    def seconds(self, *, with_layout: bool = True) -> float:
        layout = self.layout if with_layout else None
        started = time.perf_counter()
        self.transformer(**self.arguments, joint_attention_kwargs={"layout": layout})
        return time.perf_counter() - started


def build(count: int, dtype: torch.dtype) -> Case:
    torch.manual_seed(0)
    transformer = LayoutFluxTransformer2DModel(**BACKBONE).eval()
    method = OcclusionFormer.build(published(backbone_shape(transformer))).eval()
    for parameter in method.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    arguments = {name: value.to(dtype) for name, value in inputs().items()}
    layout = None
    if count:
        texts = InstanceTexts(pooled_NP=torch.randn(count, BACKBONE["pooled_projection_dim"]).to(dtype))
        layout = method.to(dtype).prepare([half_boxes(count)], texts, GRID, device="cpu", dtype=dtype)
    return Case(transformer.to(dtype), method, arguments, layout)


def inputs() -> dict[str, torch.Tensor]:
    rows, columns = torch.meshgrid(torch.arange(GRID.height), torch.arange(GRID.width), indexing="ij")
    ids = torch.stack([torch.zeros_like(rows), rows, columns], -1).reshape(-1, 3).float()
    return dict(
        hidden_states=torch.randn(1, GRID.num_tokens, BACKBONE["in_channels"]),
        encoder_hidden_states=torch.randn(1, TEXT_TOKENS, BACKBONE["joint_attention_dim"]),
        pooled_projections=torch.randn(1, BACKBONE["pooled_projection_dim"]),
        timestep=torch.tensor([0.5]),
        img_ids=ids,
        txt_ids=torch.zeros(TEXT_TOKENS, 3),
        guidance=torch.tensor([3.5]),
    )


def half_boxes(count: int, seed: int = 0) -> Layout:
    rng = random.Random(seed)
    corners = [(rng.uniform(0, 0.5), rng.uniform(0, 0.5)) for _ in range(count)]
    ids = [f"box{index}" for index in range(count)]
    return Layout(
        prompt="boxes",
        width=GRID.width * 16,
        height=GRID.height * 16,
        instances=tuple(
            Instance(id=name, caption=name, box=Box(x, y, x + 0.5, y + 0.5))
            for name, (x, y) in zip(ids, corners, strict=True)
        ),
        order=FrontToBack(front_to_back=tuple(rng.sample(ids, count))),
    )


def added_time(count: int, repeats: int, dtype: torch.dtype) -> dict[str, float]:
    case = build(count, dtype)
    case.seconds(with_layout=False), case.seconds()
    pairs = [(case.seconds(with_layout=False), case.seconds()) for _ in range(repeats)]
    return {
        "backbone_seconds": statistics.median(alone for alone, _ in pairs),
        "total_seconds": statistics.median(both for _, both in pairs),
        "added_percent": 100 * (statistics.median(both / alone for alone, both in pairs) - 1),
    }


def peak_bytes(count: int, threads: int, dtype: str) -> int:
    """Greatest resident set of a fresh process running one case three times."""
    command = [sys.executable, __file__, "--peak", str(count), "--threads", str(threads), "--dtype", dtype]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def report_peak(count: int, dtype: torch.dtype) -> None:
    case = build(count, dtype)
    for _ in range(3):
        case.seconds()
    unit = 1 if platform.system() == "Darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--boxes", type=int, nargs="+", default=BOXES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak is not None:
        report_peak(arguments.peak, getattr(torch, arguments.dtype))
        return
    alone = peak_bytes(0, arguments.threads, arguments.dtype)
    cases = []
    for count in arguments.boxes:
        case = {"boxes": count, **added_time(count, arguments.repeats, getattr(torch, arguments.dtype))}
        case["added_gigabytes"] = (peak_bytes(count, arguments.threads, arguments.dtype) - alone) / 1e9
        cases.append(case)
    result = {
        "threads": arguments.threads,
        "dtype": arguments.dtype,
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "backbone_gigabytes": alone / 1e9,
        "cases": cases,
    }
    if arguments.json:
        print(json.dumps(result, indent=2))  # noqa: T201
        return
    print(f"{'boxes':>5} {'backbone s':>11} {'total s':>9} {'added %':>8} {'added GB':>9}")  # noqa: T201
    for case in cases:
        print(  # noqa: T201
            f"{case['boxes']:>5} {case['backbone_seconds']:>11.3f} {case['total_seconds']:>9.3f} "
            f"{case['added_percent']:>8.1f} {case['added_gigabytes']:>9.3f}"
        )


if __name__ == "__main__":
    main()
