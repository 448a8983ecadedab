"""A generator without a network: it paints boxes back to front, so that programs around generators can be tested."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from occlusionformer.generation import (
    GeneratedImage,
    GenerationRequest,
    StepCallback,
    choose_seed,
    compose_prompt,
    drawn_size,
)

COLOURS = ((200, 30, 30), (30, 160, 40), (40, 60, 210), (220, 200, 30), (150, 40, 170), (30, 170, 180))
STEPS = 4
VERSIONS = {"occlusionformer": "0", "torch": "0", "diffusers": "0", "transformers": "0"}


def colour_of(place: int) -> tuple[int, int, int]:
    return COLOURS[place % len(COLOURS)]


@dataclass
class Painter:
    """Draws every instance as its box in the colour of its place, on a ground that depends on the seed."""

    model: str = "painter"
    interrupted_in_step: int | None = None
    raises: Exception | None = None
    gives_masks: bool = True
    torch_version: str = "1"
    side_multiple: int = 1
    requests: list[GenerationRequest] = field(default_factory=list)

    def generate(
        self, requests: Sequence[GenerationRequest], *, on_step: StepCallback | None = None
    ) -> list[GeneratedImage]:
        self.requests += requests
        for step in range(1, STEPS + 1):
            if self.interrupted_in_step == step:
                signal.raise_signal(signal.SIGINT)
            if on_step is not None:
                on_step(step, STEPS)
        if self.raises is not None:
            raise self.raises
        return [self._paint(request) for request in requests]

    def _paint(self, request: GenerationRequest) -> GeneratedImage:
        width, height = drawn_size(request, self.side_multiple)
        seed = choose_seed(request)
        image = Image.new("RGB", (width, height), tuple(Random(seed).choices(range(256), k=3)))
        draw = ImageDraw.Draw(image)
        for place in _back_to_front(request):
            x1, y1, x2, y2 = request.layout.instances[place].box.pixels(width, height)
            draw.rectangle((x1, y1, x2 - 1, y2 - 1), fill=colour_of(place))
        return GeneratedImage(
            image=image,
            instance_masks=self._masks(request) if request.want_masks and self.gives_masks else None,
            weights=None,
            timings={"total": 0.01},
            provenance={
                "format": 1,
                "model": self.model,
                "versions": {**VERSIONS, "torch": self.torch_version},
                "layout": request.layout.model_dump(mode="json"),
                "prompt": compose_prompt(request.layout),
                "seed": seed,
                "width": width,
                "height": height,
                "steps": STEPS if request.steps is None else request.steps,
                "guidance": 1.0 if request.guidance is None else request.guidance,
                "grounding_ratio": 1.0 if request.grounding_ratio is None else request.grounding_ratio,
                "strength": request.strength,
                "device": "cpu",
                "dtype": "float32",
            },
        )

    def _masks(self, request: GenerationRequest) -> tuple[np.ndarray, ...]:
        width, height = drawn_size(request, self.side_multiple)
        masks = []
        for instance in request.layout.instances:
            mask = np.zeros((height, width), np.float32)
            x1, y1, x2, y2 = instance.box.pixels(width, height)
            mask[y1:y2, x1:x2] = 1
            masks.append(mask)
        return tuple(masks)


def _back_to_front(request: GenerationRequest) -> list[int]:
    zorder = request.layout.zorder
    if zorder is None:
        return list(range(len(request.layout.instances)))
    return list(zorder.broken()[0].front_to_back())[::-1]
