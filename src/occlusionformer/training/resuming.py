"""Whether a run may begin or go on in a folder, and how it came to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from occlusionformer.training.checkpoint import STATE, newest_checkpoint
from occlusionformer.training.config import Settings
from occlusionformer.training.overrides import SettingsError


@dataclass(frozen=True)
class RunResult:
    """How a run came to its end."""

    step: int
    reason: Literal["finished", "stopped"]


FREE = ("execution.", "saving.", "logging.", "recipe", "data.cache")
"""Settings that may change between two parts of a run."""


def check_folder(folder: Path, config: Settings, *, resume: bool) -> None:
    """SettingsError if the folder holds a run that this one would overwrite or cannot continue; makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    newest = newest_checkpoint(folder / "checkpoints")
    if newest is None:
        return
    if not resume:
        raise SettingsError([f"out: expected a folder without checkpoints, or resume; got {folder} with {newest.name}"])
    before = json.loads((newest / STATE).read_text(encoding="utf-8"))["config"]
    problems = list(_differences(before, config.model_dump(mode="json")))
    if problems:
        raise SettingsError(problems)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name in sorted({*before, *now}):
        here = f"{path}{name}"
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{here}.")
        elif old != new and not here.startswith(FREE):
            yield f"{here}: expected {json.dumps(old)} as in the checkpoint, got {json.dumps(new)}"
