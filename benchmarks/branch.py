"""What a layout method adds to the backbone's time and memory, on the CPU, in one run.

    python benchmarks/branch.py [--methods occlusionformer ...] [--dtypes float32 bfloat16] [--boxes 1 4 16 48]
        [--repeats 7] [--threads N] [--clock wall|cpu] [--no-memory] [--json]

A Flux-shaped backbone (4 dual and 10 single blocks, 8 heads of 64, joint dim 128, pooled dim 64, guidance, axes
16/24/24, 32 x 32 image tokens, 64 text tokens, random weights) with methods as published; occlusionformer is the
`published()` preset. Boxes are half the canvas wide and high at random positions, all totally ordered.

Time: calls without and with the layout alternate. `median` is that of the paired ratios, so that a drifting machine
hurts both; `best` compares the fastest of each, what is left of a machine with other work. --clock cpu counts the time
this process computed instead of the time that went by: with one thread it is what a quiet machine would take. Memory:
greatest resident set of a fresh process that ran the case, less that of one that ran the backbone alone; the method's
weights are included.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from layout_methods import METHODS, fill, half_boxes, new_method, random_texts

from occlusionformer.model import LayoutFluxTransformer2DModel, PreparedLayouts, backbone_shape
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


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Case:
    """A transformer, the arguments of its forward, and the layout among them."""

    transformer: LayoutFluxTransformer2DModel
    arguments: dict[str, torch.Tensor]
    layout: PreparedLayouts | None

    @torch.no_grad()
    def seconds(self, clock: Callable[[], float], *, with_layout: bool = True) -> float:
        layout = self.layout if with_layout else None
        started = clock()
        self.transformer(**self.arguments, joint_attention_kwargs={"layout": layout})
        return clock() - started


def build(name: str, count: int, dtype: torch.dtype) -> Case:
    """The same weights of the backbone for every case; without boxes nothing of a method is made."""
    torch.manual_seed(0)
    transformer = LayoutFluxTransformer2DModel(**BACKBONE).eval()
    arguments = {key: value.to(dtype) for key, value in inputs().items()}
    layout = None
    if count:
        method = new_method(name, backbone_shape(transformer))
        fill(method)
        width, pooled = BACKBONE["joint_attention_dim"], BACKBONE["pooled_projection_dim"]
        texts = random_texts(method, count, prompt_tokens=TEXT_TOKENS, width=width, pooled=pooled).to("cpu", dtype)
        layout = method.to(dtype).prepare([half_boxes(count, GRID)], texts, GRID, device="cpu", dtype=dtype)
    return Case(transformer.to(dtype), arguments, layout)


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


def added_time(name: str, count: int, dtype: torch.dtype, repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    case = build(name, count, dtype)
    case.seconds(clock, with_layout=False), case.seconds(clock)
    pairs = [(case.seconds(clock, with_layout=False), case.seconds(clock)) for _ in range(repeats)]
    alone, both = (min(column) for column in zip(*pairs, strict=True))
    return {
        "backbone_seconds": alone,
        "total_seconds": both,
        "added_percent_median": 100 * (statistics.median(both / alone for alone, both in pairs) - 1),
        "added_percent_best": 100 * (both / alone - 1),
    }


def peak_bytes(name: str, count: int, threads: int, dtype: str) -> int:
    """Greatest resident set of a fresh process running one case three times."""
    command = [sys.executable, __file__, "--peak", str(count), "--threads", str(threads)]
    command += ["--dtypes", dtype, "--methods", name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def report_peak(name: str, count: int, dtype: torch.dtype) -> None:
    case = build(name, count, dtype)
    for _ in range(3):
        case.seconds(time.perf_counter)
    unit = 1 if platform.system() == "Darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)  # noqa: T201


def measured(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All cases, one line printed for each as it comes."""
    cases = []
    for dtype in arguments.dtypes:
        alone = peak_bytes(METHODS[0], 0, arguments.threads, dtype) if arguments.memory else 0
        for name in arguments.methods:
            for count in arguments.boxes:
                clock = CLOCKS[arguments.clock]
                times = added_time(name, count, getattr(torch, dtype), arguments.repeats, clock)
                case: dict[str, Any] = {"method": name, "dtype": dtype, "boxes": count, **times}
                if arguments.memory:
                    added = peak_bytes(name, count, arguments.threads, dtype) - alone
                    case |= {"backbone_gigabytes": alone / 1e9, "added_gigabytes": added / 1e9}
                cases.append(case)
                if not arguments.json:
                    print(line(case), flush=True)  # noqa: T201
    return cases


def line(case: dict[str, Any]) -> str:
    memory = f"{case['added_gigabytes']:>9.3f}" if "added_gigabytes" in case else ""
    return (
        f"{case['method']:<17} {case['dtype']:<9} {case['boxes']:>5} {case['backbone_seconds']:>11.3f} "
        f"{case['total_seconds']:>9.3f} {case['added_percent_median']:>8.1f} {case['added_percent_best']:>8.1f}{memory}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--methods", choices=METHODS, nargs="+", default=METHODS[:1])
    parser.add_argument("--dtypes", choices=("float32", "bfloat16"), nargs="+", default=("float32",))
    parser.add_argument("--boxes", type=int, nargs="+", default=BOXES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="leave memory out")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak is not None:
        report_peak(arguments.methods[0], arguments.peak, getattr(torch, arguments.dtypes[0]))
        return
    if not arguments.json:
        print(  # noqa: T201
            f"{'method':<17} {'dtype':<9} {'boxes':>5} {'backbone s':>11} {'total s':>9} {'median %':>8} {'best %':>8}"
            + f"{'added GB':>9}" * arguments.memory
        )
    cases = measured(arguments)
    if arguments.json:
        result = {
            "threads": arguments.threads,
            "clock": arguments.clock,
            "torch": torch.__version__,
            "machine": platform.processor() or platform.machine(),
            "cases": cases,
        }
        print(json.dumps(result, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
