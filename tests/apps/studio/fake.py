"""A picture maker that needs no model: what it draws can be told from the seed and the layout, and it can be slowed."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from occlusionformer.generation import (
    FormingPictures,
    GeneratedImage,
    GenerationDefaults,
    GenerationInterruptedError,
    GenerationRequest,
    PreviewCallback,
    Provenance,
    StepCallback,
    choose_seed,
)
from occlusionformer.generation.provenance import FORMAT, Versions
from occlusionformer.layout import Layout

TOKEN = 16


def fruit(seed: int | None = None, **fields: object) -> dict[str, object]:
    """A layout document."""
    return {
        "version": 1,
        "prompt": "a plain background",
        "width": 64,
        "height": 48,
        **({} if seed is None else {"seed": seed}),
        "instances": [
            {"id": "apple", "caption": "a red apple", "box": [0.1, 0.2, 0.6, 0.7]},
            {"id": "pear", "caption": "a green pear", "box": [0.4, 0.3, 0.9, 0.9]},
        ],
        "order": {"front_to_back": ["apple", "pear"]},
        **fields,
    }


def pixels_for(layout: Layout, seed: int) -> np.ndarray:
    """(height, width, 3): noise that no other seed and no other layout gives."""
    key = hashlib.sha256(f"{seed} {layout.model_dump_json()}".encode()).digest()
    noise = np.random.default_rng(int.from_bytes(key[:8], "big"))
    return noise.integers(0, 256, (layout.height, layout.width, 3), dtype=np.uint8)


@dataclass
class FakeGenerator:
    """Counts its steps; `before_step` may sleep, wait or raise."""

    seconds_per_step: float = 0.0
    before_step: Callable[[int], None] = lambda step: None
    steps_done: int = 0
    most_at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _drawing: int = 0

    @property
    def defaults(self) -> GenerationDefaults:
        return GenerationDefaults(steps=4, guidance=1.0, grounding_ratio=1.0, size=64, side_multiple=TOKEN)

    def generate(
        self, requests: Sequence[GenerationRequest], *, on_step: StepCallback | None = None
    ) -> list[GeneratedImage]:
        return self.generate_watched(requests, on_step=on_step, on_preview=None)

    def generate_watched(
        self,
        requests: Sequence[GenerationRequest],
        *,
        on_step: StepCallback | None,
        on_preview: PreviewCallback | None,
    ) -> list[GeneratedImage]:
        with self._lock:
            self._drawing += 1
            self.most_at_once = max(self.most_at_once, self._drawing)
        try:
            return self._generate(requests, on_step, on_preview)
        finally:
            with self._lock:
                self._drawing -= 1

    def _generate(self, requests, on_step, on_preview) -> list[GeneratedImage]:
        seeds = [choose_seed(request) for request in requests]
        pixels = [pixels_for(request.layout, seed) for request, seed in zip(requests, seeds, strict=True)]
        total = requests[0].steps or self.defaults.steps
        for step in range(1, total + 1):
            self.before_step(step)
            time.sleep(self.seconds_per_step)
            self.steps_done += 1
            if on_preview is not None:
                shown = [Image.fromarray(each // (total + 1 - step)) for each in pixels]
                on_preview(
                    FormingPictures(
                        step=step, total=total, positions=tuple(range(len(requests))), images=lambda shown=shown: shown
                    )
                )
            if on_step is not None and on_step(step, total) is False:
                raise GenerationInterruptedError(step, total)
        return [
            self._picture(request, seed, each, total)
            for request, seed, each in zip(requests, seeds, pixels, strict=True)
        ]

    def _picture(self, request: GenerationRequest, seed: int, pixels: np.ndarray, total: int) -> GeneratedImage:
        layout = request.layout
        masks = tuple(_box_mask(layout, place) for place in range(len(layout.instances)))
        return GeneratedImage(
            image=Image.fromarray(pixels),
            instance_masks=masks if request.want_masks else None,
            weights=tuple(mask[::TOKEN, ::TOKEN] for mask in masks) if request.want_weights else None,
            timings={"total": total * self.seconds_per_step},
            provenance=Provenance(
                format=FORMAT,
                model="/secret/place",
                versions=Versions(occlusionformer="0", torch="0", diffusers="0", transformers="0"),
                layout=layout.model_dump(mode="json"),
                prompt=layout.prompt,
                seed=seed,
                width=layout.width,
                height=layout.height,
                steps=total,
                guidance=1.0 if request.guidance is None else request.guidance,
                grounding_ratio=1.0,
                strength=request.strength,
                device="cpu",
                dtype="float32",
            ),
        )


def _box_mask(layout: Layout, place: int) -> np.ndarray:
    mask = np.zeros((layout.height, layout.width), np.float32)
    left, top, right, bottom = layout.instances[place].box.pixels(layout.width, layout.height)
    mask[int(top) : int(bottom), int(left) : int(right)] = 0.8
    return mask
