"""Small runs: the tiny model on a few scenes, quiet and without trackers."""

from __future__ import annotations

from pathlib import Path

from occlusionformer.training import RunConfig, override, recipe
from occlusionformer.training.trainer import Trainer

QUIET = ("logging.trackers=[]", "logging.pictures=0", "logging.probe_count=2", "logging.probe_every=1000")


def tiny_config(*assignments: str) -> RunConfig:
    """The overfit recipe with fresh noise for every step, ending after three."""
    return override(recipe("overfit"), ("steps=3", "objective.fixed_noise=false", *QUIET, *assignments))


def tiny_trainer(folder: Path, *assignments: str, resume: bool = False) -> Trainer:
    return Trainer(tiny_config(*assignments), folder, resume=resume)
