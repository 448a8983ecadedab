"""Picture makers by name, found through Python entry points."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from occlusionformer.generation.computing import ComputedIn, parse_computed_in
from occlusionformer.generation.protocol import Generator

ENTRY_POINT_GROUP = "occlusionformer.generators"
"""An entry point names a function (argument: str | None) -> Generator; other packages may add theirs.

A function that takes a `precision` too lets the caller choose the numbers that the model computes in.
"""

FOLDER_LOADER = "pipeline"
"""The entry point that opens a local folder."""


class UnknownGeneratorError(ValueError):
    """No picture maker answers to this name."""

    def __init__(self, spec: str, names: list[str]) -> None:
        known = ", ".join(names) if names else "none is installed"
        super().__init__(f"model: expected a local folder or one of ({known}), got {spec!r}")
        self.spec = spec


def generator_names() -> list[str]:
    """The installed names, sorted."""
    return sorted(_installed())


def load_generator(spec: str, *, precision: ComputedIn | None = None) -> Generator:
    """Load "name", "name:argument" or an existing local folder.

    A name wins over a folder of the same name: write "./name" for the folder.
    precision: the numbers to compute in; None leaves them to the model. Raises ValueError for a model whose numbers are
    not the caller's choice.
    """
    entries, argument = _found(spec)
    return _load(entries, argument, **({} if precision is None else {"precision": parse_computed_in(precision)}))


def check_generator(spec: str) -> None:
    """Raise what load_generator would raise for a name that means nothing; loads nothing."""
    _found(spec)


def _found(spec: str) -> tuple[list[EntryPoint], str | None]:
    """The entry points behind a name, and their argument."""
    installed = _installed()
    if spec in installed:
        return installed[spec], None
    if spec and Path(spec).is_dir() and FOLDER_LOADER in installed:
        return installed[FOLDER_LOADER], spec
    name, colon, argument = spec.partition(":")
    if not colon or name not in installed:
        raise UnknownGeneratorError(spec, sorted(installed))
    if not argument:
        raise ValueError(f"model: expected something after the colon, got {spec!r}")
    return installed[name], argument


def _installed() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        found.setdefault(entry.name, []).append(entry)
    return found


def _load(entries: list[EntryPoint], argument: str | None, **chosen: ComputedIn) -> Generator:
    entry = entries[0]
    places = sorted({entry.value for entry in entries})
    if len(places) > 1:
        raise ValueError(f"model: expected one package to offer {entry.name!r}, got {', '.join(places)}")
    loader: Callable[..., Any] = entry.load()
    if unknown := chosen.keys() - inspect.signature(loader).parameters.keys():
        name = min(unknown)
        raise ValueError(f"{name}: expected none for a model that does not let it be chosen, got {chosen[name]}")
    generator = loader(argument, **chosen)
    if not isinstance(generator, Generator):
        raise TypeError(f"model: entry point {entry.name!r} ({entry.value}) returned {type(generator).__name__}")
    return generator
