"""A generator that takes its time and shows how far it is, so that progress, previews and cancelling can be seen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from occlusionformer.generation import GeneratedImage, GenerationInterruptedError, GenerationRequest, StepCallback
from occlusionformer.generation.protocol import FormingPictures, GenerationDefaults, PreviewCallback
from tests.apps.painter import Painter

TOKENS = 8


@dataclass
class SlowPainter:
    """Paints flat boxes in the order of the layout; the weights say which box paints the middle of a token."""

    seconds_a_step: float = 0.02
    steps_done: list[int] = field(default_factory=list)
    requests: list[GenerationRequest] = field(default_factory=list)
    defaults = GenerationDefaults(steps=8, guidance=1.0, grounding_ratio=1.0, size=256, side_multiple=16)

    def generate(
        self, requests: Sequence[GenerationRequest], *, on_step: StepCallback | None = None
    ) -> list[GeneratedImage]:
        return self.generate_watched(requests, on_step=on_step)

    def generate_watched(
        self,
        requests: Sequence[GenerationRequest],
        *,
        on_step: StepCallback | None = None,
        on_preview: PreviewCallback | None = None,
    ) -> list[GeneratedImage]:
        self.requests += requests
        pictures = Painter(model="painter").generate(requests)
        total = requests[0].steps or self.defaults.steps
        for step in range(1, total + 1):
            time.sleep(self.seconds_a_step)
            self.steps_done.append(step)
            if on_preview is not None:
                positions = tuple(range(len(pictures)))
                on_preview(
                    FormingPictures(
                        step=step, total=total, positions=positions, images=lambda: [p.image for p in pictures]
                    )
                )
            if on_step is not None and on_step(step, total) is False:
                raise GenerationInterruptedError(step, total)
        return [replace(picture, weights=_weights(picture)) for picture in pictures]


def _weights(picture: GeneratedImage) -> tuple[np.ndarray, ...] | None:
    """One where a mask covers the middle of a token, shared between those that do."""
    if not picture.instance_masks:
        return None
    height, width = picture.instance_masks[0].shape
    rows = (np.arange(TOKENS) * 2 + 1) * height // (2 * TOKENS)
    columns = (np.arange(TOKENS) * 2 + 1) * width // (2 * TOKENS)
    covered = np.stack([mask[np.ix_(rows, columns)] for mask in picture.instance_masks])
    return tuple((covered / np.maximum(covered.sum(0), 1)).astype(np.float32))
