"""Whether a run may begin or go on in a folder, and how it came to its end."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from occlusionformer.tensors.files import CheckpointError
from occlusionformer.training.checkpoint import DAMAGED, Found, newest_checkpoint, newest_whole_checkpoint
from occlusionformer.training.config import Settings
from occlusionformer.training.overrides import SettingsError


@dataclass(frozen=True)
class RunResult:
    """How a run came to its end."""

    step: int
    reason: Literal["finished", "stopped"]


FREE = ("execution.", "saving.", "logging.", "recipe", "data.cache")
"""Settings that may change between two parts of a run."""


CHECKPOINTS = "checkpoints"
"""The folder of them in that of the run."""


class DamagedCheckpointWarning(UserWarning):
    """A run goes on from an older checkpoint than it could have."""


def find_checkpoint(folder: Path, config: Settings, *, resume: bool) -> Found | None:
    """What a run goes on from: the newest whole checkpoint, None where there is none.

    Warns of newer ones that are damaged. SettingsError if the folder is a file, or holds a run that this one would
    overwrite or cannot continue, CheckpointError if it holds damaged checkpoints alone.
    """
    if folder.exists() and not folder.is_dir():
        raise SettingsError([f"out: expected a folder, got the file {folder}"])
    checkpoints = folder / CHECKPOINTS
    newest = newest_checkpoint(checkpoints)
    if newest is None:
        return None
    if not resume:
        raise SettingsError([f"out: expected a folder without checkpoints, or resume; got {folder} with {newest.name}"])
    found = newest_whole_checkpoint(checkpoints)
    assert found is not None
    before = found.checkpoint.state.get("config")
    if not isinstance(before, dict):
        raise CheckpointError(newest, ["config: expected the settings of the run, got none"])
    problems = list(_differences(before, config.model_dump(mode="json")))
    if problems:
        raise SettingsError(problems)
    if found.damaged:
        reasons = "; ".join(error.problems[0] for error in found.damaged.values())
        warnings.warn(
            f"damaged: {reasons}; going on from {found.checkpoint.path}, the newest that is whole. "
            f"What is damaged is renamed, with {DAMAGED} before its name.",
            DamagedCheckpointWarning,
            stacklevel=2,
        )
    return found


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name in sorted({*before, *now}):
        here = f"{path}{name}"
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{here}.")
        elif old != new and not here.startswith(FREE):
            yield f"{here}: expected {json.dumps(old)} as in the checkpoint, got {json.dumps(new)}"
