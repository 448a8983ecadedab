"""The models a studio was started with: named without their place on this machine, loaded when first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from occlusionformer.generation import GenerationDefaults, Generator, PreviewingGenerator, load_generator


class ModelFailedError(RuntimeError):
    """The model could not be loaded."""


def public_name(spec: str) -> str:
    """What clients call a model: no folder of this machine is in it."""
    name, colon, _ = spec.partition(":")
    if Path(spec).is_dir():
        return Path(spec).resolve().name
    return name if colon else spec


class Catalogue:
    """Loads in the thread that asks; tells how things stand in any other."""

    def __init__(self, specs: Sequence[str], *, load: Callable[[str], Generator] = load_generator) -> None:
        names = [public_name(spec) for spec in specs]
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"model: expected at least one, and names that differ, got {', '.join(names) or 'none'}")
        self._specs = dict(zip(names, specs, strict=True))
        self._load = load
        self._lock = threading.Lock()
        self._generators: dict[str, Generator] = {}
        self._status = dict.fromkeys(names, "loading")
        self._reasons: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._specs)

    @property
    def default(self) -> str:
        """The first."""
        return self.names[0]

    def status(self, name: str) -> str:
        """loading (or not asked for yet), ready or failed."""
        with self._lock:
            return self._status[name]

    def defaults(self, name: str) -> GenerationDefaults | None:
        """None while it is not loaded, and for a model that does not tell."""
        with self._lock:
            generator = self._generators.get(name)
        return generator.defaults if isinstance(generator, PreviewingGenerator) else None

    def generator(self, name: str) -> Generator:
        """Loaded now if it was not before. Raises ModelFailedError, again and again once it has failed."""
        with self._lock:
            if name in self._generators:
                return self._generators[name]
            if name in self._reasons:
                raise ModelFailedError(self._reasons[name])
        try:
            generator = self._load(self._specs[name])
        except (ValueError, TypeError, OSError, RuntimeError, ImportError, MemoryError) as error:
            with self._lock:
                self._status[name] = "failed"
                self._reasons[name] = f"{name} could not be loaded ({type(error).__name__})"
            raise ModelFailedError(self._reasons[name]) from error
        with self._lock:
            self._generators[name] = generator
            self._status[name] = "ready"
        return generator

    def as_json(self) -> list[dict[str, Any]]:
        found = []
        for name in self.names:
            defaults = self.defaults(name)
            told = None if defaults is None else asdict(defaults)
            found.append({"name": name, "status": self.status(name), "defaults": told})
        return found
