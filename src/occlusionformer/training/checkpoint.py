"""Checkpoints that are there whole or not at all: tensors as safetensors, the rest as JSON, nothing that runs code.

Disks and copies damage them all the same: a digest of every file tells.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from occlusionformer.layout import write_atomic
from occlusionformer.tensors.files import CheckpointError, printable_name, read_json, read_tensors, unfit

PREFIX = "step-"
UNFINISHED = ".unfinished-"
DAMAGED = "damaged-"
STATE = "state.json"
NAME = re.compile(rf"{PREFIX}(\d{{9,}})")
GROUP = re.compile(r"[a-z_]+")
WEIGHTS = ("weights", "averages")
"""Groups whose numbers must be finite: there is nothing to go on with otherwise."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Named groups of tensors and plain values."""

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]
    path: Path | None = None
    """Where it was read."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The newest whole checkpoint of a folder, and the newer ones that are damaged."""

    checkpoint: Checkpoint
    damaged: Mapping[Path, CheckpointError] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write beside the others, rename into place, then remove all but the newest `keep`; a step is saved once.

    Raises OSError, and leaves the others alone and nothing half written, when the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{PREFIX}{checkpoint.step:09}"
    target, writing = folder / name, folder / f"{UNFINISHED}{name}"
    if target.exists():
        if _is_whole(target):
            return target
        set_aside(target)
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
    digests = {group: _digest(writing / f"{group}.safetensors") for group in sorted(checkpoint.tensors)}
    state = {**checkpoint.state, "step": checkpoint.step, "groups": sorted(checkpoint.tensors), "sha256": digests}
    write_atomic(writing / STATE, json.dumps(state, indent=1, sort_keys=True))
    for path in [*writing.iterdir(), writing]:
        _flush(path)


def newest_checkpoint(folder: Path) -> Path | None:
    """The last step that was saved, damaged or not."""
    finished = _finished(folder)
    return finished[-1] if finished else None


def newest_whole_checkpoint(folder: Path) -> Found | None:
    """The last step that can be read; None without any checkpoint. CheckpointError when all of them are damaged."""
    damaged: dict[Path, CheckpointError] = {}
    for path in reversed(_finished(folder)):
        try:
            return Found(checkpoint=load_checkpoint(path), damaged=damaged)
        except CheckpointError as error:
            damaged[path] = error
    if damaged:
        raise CheckpointError(folder, [f"no checkpoint is whole: {error}" for error in damaged.values()])
    return None


def load_checkpoint(path: Path) -> Checkpoint:
    """Everything in memory of its own: tensors mapped from a file round differently where they lie unaligned.

    Raises CheckpointError for a checkpoint that is not as it was written, or whose weights are not finite.
    """
    state = read_json(path / STATE)
    reasons = list(_state_reasons(path, state))
    if reasons:
        raise CheckpointError(path / STATE, reasons)
    groups: dict[str, dict[str, Tensor]] = {}
    for group in state["groups"]:
        file = path / f"{group}.safetensors"
        groups[group] = {name: value.clone() for name, value in read_tensors(file)[0].items()}
        if state.get("sha256", {}).get(group, digest := _digest(file)) != digest:
            raise CheckpointError(file, [f"expected SHA-256 {state['sha256'][group]!r:.80}, got {digest}"])
        found = groups[group].items() if group in WEIGHTS else ()
        reasons = [f"{printable_name(name)}: {reason}" for name, value in found if (reason := unfit(value))]
        if reasons:
            raise CheckpointError(file, reasons)
    return Checkpoint(step=state["step"], tensors=groups, state=state, path=path)


def _state_reasons(path: Path, state: Mapping[str, Any]) -> Iterator[str]:
    step, named = state.get("step"), NAME.fullmatch(path.name)
    if not isinstance(step, int) or isinstance(step, bool) or (named is not None and step != int(named[1])):
        yield f"step: expected the number in the name of the folder, got {step!r:.80}"
    groups = state.get("groups")
    if not isinstance(groups, list) or not all(isinstance(name, str) and GROUP.fullmatch(name) for name in groups):
        yield f"groups: expected names of files, got {groups!r:.200}"
    digests = state.get("sha256", {})
    names = set(map(str, groups)) if isinstance(groups, list) else set()
    if not isinstance(digests, dict) or (digests and digests.keys() != names):
        yield f"sha256: expected a digest for each group, got {digests!r:.200}"


def set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint so that it is no longer taken for one, and counted among those to keep."""
    target, number = path.with_name(f"{DAMAGED}{path.name}"), 2
    while target.exists():
        target, number = path.with_name(f"{DAMAGED}{path.name}-{number}"), number + 1
    os.replace(path, target)
    _flush(path.parent)
    return target


def _is_whole(path: Path) -> bool:
    try:
        load_checkpoint(path)
    except CheckpointError:
        return False
    return True


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_unfinished(folder: Path) -> None:
    """What a killed run left behind."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path)


def _finished(folder: Path) -> list[Path]:
    """By step. A folder with its name is a whole checkpoint, unless it was damaged afterwards."""
    return sorted((path for path in folder.glob(f"{PREFIX}*") if NAME.fullmatch(path.name)), key=lambda path: path.name)


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
    """Give every parameter exactly the state it had, none where it had none.

    ValueError for the state of other parameters, or of some with another shape.
    """
    by_parameter: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, entry = key.rpartition("|")
        by_parameter.setdefault(name, {})[entry] = value
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    shapes = {names[id(parameter)]: parameter.shape for group in groups for parameter in group["params"]}
    strangers = [f"{printable_name(name)}: unexpected" for name in sorted(by_parameter.keys() - shapes.keys())]
    strangers += [
        f"{printable_name(name)}|{printable_name(entry)}: "
        f"expected shape {tuple(shapes[name])}, got {tuple(value.shape)}"
        for name in sorted(by_parameter.keys() & shapes.keys())
        for entry, value in by_parameter[name].items()
        if value.ndim and value.shape != shapes[name]
    ]
    if strangers:
        raise ValueError("\n".join(strangers))
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
