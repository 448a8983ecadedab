"""Checkpoints that are there whole or not at all: tensors as safetensors, the rest as JSON, nothing that runs code."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from occlusionformer.layout import write_atomic

PREFIX = "step-"
UNFINISHED = ".unfinished-"
STATE = "state.json"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Named groups of tensors and plain values."""

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write beside the others, rename into place, then remove all but the newest `keep`; a step is saved once.

    Raises OSError, and leaves the others alone and nothing half written, when the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{PREFIX}{checkpoint.step:09}"
    target, writing = folder / name, folder / f"{UNFINISHED}{name}"
    if (target / STATE).is_file():
        return target
    remove_unfinished(folder)
    try:
        _write(writing, checkpoint)
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise
    os.replace(writing, target)
    _flush(folder)
    for old in _finished(folder)[:-keep]:
        _discard(old)
    return target


def _write(writing: Path, checkpoint: Checkpoint) -> None:
    """All of a checkpoint into a new folder, and to the disk."""
    writing.mkdir()
    for group, tensors in checkpoint.tensors.items():
        path = writing / f"{group}.safetensors"
        try:
            save_file({key: value.contiguous() for key, value in tensors.items()}, path)
        except SafetensorError as error:
            raise OSError(f"{path}: {error}") from None
    state = {**checkpoint.state, "step": checkpoint.step, "groups": sorted(checkpoint.tensors)}
    write_atomic(writing / STATE, json.dumps(state, indent=1, sort_keys=True))
    for path in [*writing.iterdir(), writing]:
        _flush(path)


def newest_checkpoint(folder: Path) -> Path | None:
    finished = _finished(folder)
    return finished[-1] if finished else None


def load_checkpoint(path: Path) -> Checkpoint:
    """Everything in memory of its own: tensors mapped from a file round differently where they lie unaligned."""
    state = json.loads((path / STATE).read_text(encoding="utf-8"))
    groups = {
        group: {name: value.clone() for name, value in load_file(path / f"{group}.safetensors").items()}
        for group in state["groups"]
    }
    return Checkpoint(step=state["step"], tensors=groups, state=state)


def remove_unfinished(folder: Path) -> None:
    """What a killed run left behind."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path)


def _finished(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{PREFIX}*") if (path / STATE).is_file())


def _discard(path: Path) -> None:
    """Out of sight at once, then gone: a checkpoint that is half removed is never read."""
    hidden = path.with_name(f"{UNFINISHED}old-{path.name}")
    os.replace(path, hidden)
    shutil.rmtree(hidden)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def optimizer_tensors(optimizers: list[Optimizer], names: Mapping[int, str]) -> dict[str, Tensor]:
    """State of every parameter by its name: `parameter|entry`; `names` maps ids of parameters."""
    return {
        f"{names[id(parameter)]}|{entry}": gathered(value)
        for optimizer in optimizers
        for parameter, state in optimizer.state.items()
        for entry, value in state.items()
    }


def restore_optimizers(optimizers: list[Optimizer], names: Mapping[int, str], tensors: Mapping[str, Tensor]) -> None:
    """Give every parameter exactly the state it had, none where it had none."""
    by_parameter: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, entry = key.rpartition("|")
        by_parameter.setdefault(name, {})[entry] = value
    for optimizer in optimizers:
        optimizer.state.clear()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                found = by_parameter.get(names[id(parameter)])
                if found is not None:
                    optimizer.state[parameter] = {entry: scattered(value, parameter) for entry, value in found.items()}


def gathered(value: Tensor) -> Tensor:
    """A tensor that is spread over processes as one; every process has to ask."""
    value = value.detach()
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def scattered(value: Tensor, like: Any) -> Tensor:
    """A whole tensor, put where another is and spread as it is."""
    if value.ndim == 0 or not hasattr(like, "placements"):
        return value.to(like.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def random_state() -> dict[str, Tensor]:
    """Of torch's global generators; training draws from its own, other people's code may not."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state |= {f"cuda{index}": value for index, value in enumerate(torch.cuda.get_rng_state_all())}
    return state


def restore_random_state(state: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    for name, value in state.items():
        if name != "cpu" and torch.cuda.is_available():
            torch.cuda.set_rng_state(value, int(name.removeprefix("cuda")))
