"""What the layout branch adds to the backbone's time and memory, on the CPU, in one run.

    python benchmarks/branch.py [--json] [--boxes 1 4 16 48] [--repeats 7] [--threads N]

A Flux-shaped backbone (4 dual and 10 single blocks, 8 heads of 64, joint dim 128, pooled dim 64, guidance, axes
16/24/24, 32 x 32 image tokens, 64 text tokens, fp32, random weights) with the branch of the `published()` preset.
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

import torch
from diffusers import FluxTransformer2DModel

from occlusionformer.layout import Box, FrontToBack, Instance, Layout
from occlusionformer.model import (
    FluxInputs,
    LayoutCondition,
    LayoutFlux,
    OcclusionBranch,
    backbone_shape,
    prepare_layouts,
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


def build() -> LayoutFlux:
    torch.manual_seed(0)
    backbone = FluxTransformer2DModel(**BACKBONE).eval()
    branch = OcclusionBranch.build(published(backbone_shape(backbone))).eval()
    for parameter in branch.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return LayoutFlux(backbone, branch)


def inputs() -> FluxInputs:
    rows, columns = torch.meshgrid(torch.arange(GRID.height), torch.arange(GRID.width), indexing="ij")
    ids = torch.stack([torch.zeros_like(rows), rows, columns], -1).reshape(-1, 3).float()
    return FluxInputs(
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


def condition(model: LayoutFlux, count: int) -> LayoutCondition | None:
    if count == 0:
        return None
    config = model.adapter.shape
    text = torch.randn(count, config.pooled_dim)
    return prepare_layouts([half_boxes(count)], text, grid=GRID, config=config, device="cpu", dtype=torch.float32)


@torch.no_grad()
def seconds(model: LayoutFlux, example: FluxInputs, layout: LayoutCondition | None) -> float:
    started = time.perf_counter()
    model(example, layout)
    return time.perf_counter() - started


def added_time(count: int, repeats: int) -> dict[str, float]:
    model, example = build(), inputs()
    layout = condition(model, count)
    seconds(model, example, None), seconds(model, example, layout)
    pairs = [(seconds(model, example, None), seconds(model, example, layout)) for _ in range(repeats)]
    return {
        "backbone_seconds": statistics.median(alone for alone, _ in pairs),
        "total_seconds": statistics.median(both for _, both in pairs),
        "added_percent": 100 * (statistics.median(both / alone for alone, both in pairs) - 1),
    }


def peak_bytes(count: int, threads: int) -> int:
    """Greatest resident set of a fresh process running one case three times."""
    command = [sys.executable, __file__, "--peak", str(count), "--threads", str(threads)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def report_peak(count: int) -> None:
    model, example = build(), inputs()
    layout = condition(model, count)
    for _ in range(3):
        seconds(model, example, layout)
    unit = 1 if platform.system() == "Darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--boxes", type=int, nargs="+", default=BOXES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak is not None:
        report_peak(arguments.peak)
        return
    alone = peak_bytes(0, arguments.threads)
    cases = []
    for count in arguments.boxes:
        case = {"boxes": count, **added_time(count, arguments.repeats)}
        case["added_gigabytes"] = (peak_bytes(count, arguments.threads) - alone) / 1e9
        cases.append(case)
    result = {
        "threads": arguments.threads,
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
