"""Losses of thirty steps of the tiny model by every method, to the last digit, in `losses/`.

    python -m tests.training.golden_losses

writes them anew after a change that means to move them; the difference is part of the review.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from occlusionformer.layout import write_atomic
from occlusionformer.methods.registry import OURS
from occlusionformer.training.trainer import Trainer

from .runs import tiny_config

HERE = Path(__file__).parent / "losses"
FIGURES = ("flow", "align", "gradient_norm")
STEPS = 30
SMALL = (f"steps={STEPS}", "batch=2", "logging.every=1", "logging.probe_count=1", "data.world.max_instances=3")
BACKBONE = {
    "larender": ("model.train_backbone=true",),
    "none": ("model.train_backbone=true",),
}
"""Methods without weights of their own train the backbone below them."""

METHODS = sorted(OURS)

Losses = list[tuple[float, ...]]
"""Figures of every step, in the order of FIGURES."""


def losses(method: str) -> Losses:
    """Those of a run that begins now."""
    found: list[tuple[float, ...]] = []

    def collect(step: int, figures: dict[str, float]) -> None:
        if "flow" in figures and len(found) < step:
            found.append(tuple(figures[name] for name in FIGURES))

    with tempfile.TemporaryDirectory() as folder:
        settings = (*SMALL, f"model.method={method}", *BACKBONE.get(method, ()))
        Trainer(tiny_config(*settings), Path(folder)).run(collect)
    return found


def path_of(method: str) -> Path:
    return HERE / f"{method}.txt"


def recorded(method: str) -> Losses:
    lines = path_of(method).read_text().splitlines()
    return [tuple(map(float, line.split()[1:])) for line in lines if not line.startswith("#")]


def written(found: Losses) -> str:
    """A line for each step; `repr` of a float is read back as the same float."""
    lines = [" ".join([str(step), *map(repr, figures)]) for step, figures in enumerate(found, 1)]
    return "\n".join([f"# step {' '.join(FIGURES)}", *lines]) + "\n"


def main() -> None:
    HERE.mkdir(exist_ok=True)
    for method in METHODS:
        write_atomic(path_of(method), written(losses(method)).encode())


if __name__ == "__main__":
    main()
