"""How fast training is, and how near to what this machine's matrix products allow.

    python benchmarks/training.py --threads 2

Prints images a second, the share of the time spent waiting for data, and the ratio to the floor: the time that the
matrix products of one step take alone, each at its own shape, timed on fresh numbers on the same machine. A ratio of 1
would be a step that does nothing else. Measured over the training loop itself, logging and saving left out.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from occlusionformer.training import override, recipe
from occlusionformer.training.trainer import StepStats, Trainer

aten = torch.ops.aten
PRODUCTS: dict[object, Callable[..., Tensor]] = {
    aten.mm.default: torch.mm,
    aten.addmm.default: torch.addmm,
    aten.bmm.default: torch.bmm,
    aten.baddbmm.default: torch.baddbmm,
}
"""Attention is not among them: its products are inside one kernel, and count as anything else does."""

Product = tuple[Callable[..., Tensor], tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]]
"""A function, and shape and strides of each operand."""


class Recorder(TorchDispatchMode):
    """Counts matrix products by function, shapes and strides."""

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in PRODUCTS:
            operands = tuple((tuple(x.shape), tuple(x.stride())) for x in args)
            self.products[PRODUCTS[func], operands] += 1
        return func(*args, **(kwargs or {}))


def products_of_a_step(trainer: Trainer, loader) -> Counter[Product]:
    with Recorder() as recorder:
        trainer._take_step(loader, StepStats())
    return recorder.products


class Floor:
    """The products of a step, ready to be run alone on numbers of their own."""

    def __init__(self, products: Counter[Product]) -> None:
        self.products = [
            (count, function, [torch.empty_strided(shape, strides).normal_() for shape, strides in operands])
            for (function, operands), count in products.items()
        ]

    def seconds(self) -> float:
        """Each product timed once, times how often a step needs it."""
        total = 0.0
        for count, function, operands in self.products:
            started = time.perf_counter()
            function(*operands)
            total += count * (time.perf_counter() - started)
        return total


def measure(trainer: Trainer, steps: int) -> dict[str, float]:
    """Steps and floor by turns, so that both meet the same machine; medians."""
    loader = iter(trainer._loader())
    for _ in range(3):
        trainer._take_step(loader, StepStats())
    products = products_of_a_step(trainer, loader)
    floor = Floor(products)
    floor.seconds()
    stats, times, floors = StepStats(), [], []
    for _ in range(steps):
        started = time.perf_counter()
        trainer._take_step(loader, stats)
        times.append(time.perf_counter() - started)
        floors.append(floor.seconds())
    step = statistics.median(times)
    return {
        "images_per_second": trainer.config.batch / step,
        "step_seconds": step,
        "data_share": stats.waited / sum(times),
        "floor_seconds": statistics.median(floors),
        "ratio_to_floor": statistics.median(alone / whole for alone, whole in zip(floors, times, strict=True)),
        "products_per_step": sum(products.values()),
        "gigaflops_per_step": sum(count * flops(product) for product, count in products.items()) / 1e9,
    }


def flops(product: Product) -> float:
    """Two for each multiplication and addition."""
    _, operands = product
    (left, _), (right, _) = operands[-2:]
    return 2.0 * right[-1] * torch.Size(left).numel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="embedded")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = override(recipe(arguments.recipe), ["logging.trackers=[]", *arguments.assignments])
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder))
        figures = measure(trainer, arguments.steps)
    result = {
        "recipe": config.recipe,
        "optimizer": config.optimizer.name,
        "batch": config.batch,
        "threads": arguments.threads,
        "workers": config.execution.workers,
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        **figures,
    }
    if arguments.json:
        print(json.dumps(result, indent=2))  # noqa: T201
        return
    for name, value in result.items():
        print(f"{name:>20}  {value:.4g}" if isinstance(value, float) else f"{name:>20}  {value}")  # noqa: T201


if __name__ == "__main__":
    main()
