"""A generator that knows the art: it renders the layouts of given scenes, obediently or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from occlusionformer.evaluation.scenes.layouts import BenchScene
from occlusionformer.generation import GeneratedImage, GenerationRequest, StepCallback, compose_prompt

VERSIONS = {"occlusionformer": "0", "torch": "0", "diffusers": "0", "transformers": "0"}


@dataclass
class Artist:
    """Renders the scene whose captions a layout has, in the order of the layout or of the scene."""

    scenes: Sequence[BenchScene]
    obeys: bool = True
    requests: list[GenerationRequest] = field(default_factory=list)
    stops_after: int | None = None
    """Requests after which it is interrupted."""

    def generate(
        self, requests: Sequence[GenerationRequest], *, on_step: StepCallback | None = None
    ) -> list[GeneratedImage]:
        if self.stops_after is not None and len(self.requests) >= self.stops_after:
            raise KeyboardInterrupt
        self.requests += requests
        return [self._draw(request) for request in requests]

    def _draw(self, request: GenerationRequest) -> GeneratedImage:
        captions = [one.caption for one in request.layout.instances]
        scene = next(one for one in self.scenes if [item.caption for item in one.layout.instances] == captions)
        zorder = request.layout.zorder
        order = scene.back_to_front
        if self.obeys and zorder is not None:
            order = tuple(reversed(zorder.broken()[0].front_to_back()))
        return GeneratedImage(
            image=Image.fromarray(scene.render(order)).resize(request.canvas),
            instance_masks=None,
            weights=None,
            timings={"total": 0.0},
            provenance={
                "format": 1,
                "model": "artist",
                "versions": VERSIONS,
                "layout": request.layout.model_dump(mode="json"),
                "prompt": compose_prompt(request.layout),
                "seed": request.seed,
                "width": request.canvas[0],
                "height": request.canvas[1],
                "steps": 1,
                "guidance": 1.0,
                "grounding_ratio": 1.0,
                "strength": 1.0,
                "device": "cpu",
                "dtype": "float32",
            },
        )


def silent(what: str, done: int, total: int) -> None:
    """Progress for nobody."""
    assert 0 <= done <= total, what
