"""Pictures for the benchmark: drawn once, kept in a folder, and found again by what was asked and of which weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import occlusionformer
from occlusionformer.evaluation.scenes.layouts import BenchScene
from occlusionformer.generation import GenerationRequest, Generator, load_generator

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and how much there is."""

BATCH = 8
"""Pictures asked for at once; as many are lost when the program is stopped."""


@dataclass(frozen=True, kw_only=True)
class Painter:
    """A model, its settings, and where its pictures are kept."""

    model: str
    """As `load_generator` takes it."""
    weights: str | None
    """Digest of everything the model was loaded from; None, if it is not known, keeps pictures from being reused."""
    folder: Path
    steps: int | None = None
    size: int | None = None
    """Side of the pictures in pixels; None is that of the layouts."""

    def request(self, scene: BenchScene, seed: int) -> GenerationRequest:
        return GenerationRequest(layout=scene.layout, seed=seed, steps=self.steps, width=self.size, height=self.size)

    def path(self, key: str, request: GenerationRequest) -> Path:
        """Where the picture is kept: the name holds all that decides the pixels."""
        return self.folder / f"{key}-{self._digest(request)}.png"

    def _digest(self, request: GenerationRequest) -> str:
        decides = {
            "layout": request.layout.model_dump(mode="json"),
            "seed": request.seed,
            "steps": request.steps,
            "size": request.canvas,
            "model": self.model,
            "weights": self.weights,
            "version": occlusionformer.__version__,
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One picture to be drawn."""

    key: str
    scene: BenchScene
    seed: int


class Drawer:
    """Draws what is missing; the model is loaded when the first picture is."""

    def __init__(self, painter: Painter) -> None:
        self.painter = painter
        self._generator: Generator | None = None

    def draw(self, wanted: Sequence[Wanted], *, title: str, progress: Progress) -> list[Path]:
        """The pictures, in order. What was drawn before it is stopped is found by the next run."""
        self.painter.folder.mkdir(parents=True, exist_ok=True)
        requests = [self.painter.request(one.scene, one.seed) for one in wanted]
        paths = [self.painter.path(one.key, request) for one, request in zip(wanted, requests, strict=True)]
        known = self.painter.weights is not None
        missing = [place for place, path in enumerate(paths) if not (known and path.exists())]
        for start in range(0, len(missing), BATCH):
            progress(title, len(wanted) - len(missing) + start, len(wanted))
            batch = missing[start : start + BATCH]
            for place, drawn in zip(batch, self._load().generate([requests[place] for place in batch]), strict=True):
                drawn.save(paths[place])
        progress(title, len(wanted), len(wanted))
        return paths

    def _load(self) -> Generator:
        if self._generator is None:
            self._generator = load_generator(self.painter.model)
        return self._generator
