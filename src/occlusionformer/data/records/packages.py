"""Packages that only the extra `data` installs, loaded where they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def from_extra(module: str) -> Any:
    """The module; RuntimeError naming the extra where it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        package = module.partition(".")[0]
        raise RuntimeError(f"{package} is not installed; pip install 'occlusionformer[data]' brings it") from None
