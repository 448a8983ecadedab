"""Identifies the weights of judges, and chooses the device to run them on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

CHUNK = 2**20


def best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def best_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where it is fast; a CPU is better off with float32."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def short_name(path: str) -> str:
    """The name of a model without the folder it is in; names on a hub stay whole."""
    return Path(path).name if Path(path).exists() else path


def revision(path: str, config: Any = None) -> str:
    """The digest of a file, or of a folder's weights and settings; for a hub model the commit it was loaded from."""
    place = Path(path)
    if place.is_file():
        return "sha256:" + _digest([place])[:16]
    if place.is_dir():
        files = [each for each in sorted(place.iterdir()) if each.suffix in (".safetensors", ".json", ".bin")]
        return "sha256:" + _digest(files)[:16]
    return getattr(config, "_commit_hash", None) or "unstated"


def _digest(files: list[Path]) -> str:
    """SHA-256 over names and contents."""
    total = hashlib.sha256()
    for path in files:
        total.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                total.update(chunk)
    return total.hexdigest()
