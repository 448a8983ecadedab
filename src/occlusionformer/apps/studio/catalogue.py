"""The models a studio was started with: public names without folders, loaded when first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from occlusionformer.generation import (
    GenerationDefaults,
    Generator,
    NamingGenerator,
    PreviewingGenerator,
    load_generator,
)
from occlusionformer.generation.vocabulary import Vocabulary


class ModelFailedError(RuntimeError):
    """The model could not be loaded."""


def public_name(spec: str) -> str:
    """The name clients use for a model: without the folder it is in."""
    name, colon, _ = spec.partition(":")
    if Path(spec).is_dir():
        return Path(spec).resolve().name
    return name if colon else spec


class Catalogue:
    """Loads models in the calling thread; their status can be read from any thread."""

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
        """Name of the first model."""
        return self.names[0]

    def status(self, name: str) -> str:
        """`loading` (also before the first request), `ready` or `failed`."""
        with self._lock:
            return self._status[name]

    def defaults(self, name: str) -> GenerationDefaults | None:
        """None while the model is not loaded, and for models without defaults."""
        with self._lock:
            generator = self._generators.get(name)
        return generator.defaults if isinstance(generator, PreviewingGenerator) else None

    def vocabulary(self, name: str) -> Vocabulary | None:
        """None while the model is not loaded, and for models that do not know what they can draw."""
        with self._lock:
            generator = self._generators.get(name)
        return generator.vocabulary if isinstance(generator, NamingGenerator) else None

    def generator(self, name: str) -> Generator:
        """The model, loaded if necessary. Raises ModelFailedError, also on every call after a failure."""
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
