"""A picture maker over a pipeline: requests are batched, seeded one by one, timed and recorded."""

from __future__ import annotations

import importlib.metadata
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor

import occlusionformer
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
    compose_prompt,
    drawn_size,
)
from occlusionformer.generation.provenance import FORMAT, Versions
from occlusionformer.layout import Layout
from occlusionformer.model.backbones.libraries import libraries_standing_in
from occlusionformer.pipelines.folder import INDEX
from occlusionformer.pipelines.inputs import CallCanvas
from occlusionformer.pipelines.loading import best_device, best_dtype
from occlusionformer.pipelines.occlusionformer import OcclusionFormerPipeline
from occlusionformer.pipelines.output import OcclusionFormerPipelineOutput
from occlusionformer.pipelines.preview import Decode, Previews, predicted_latents
from occlusionformer.tensors.grid import TokenGrid

FLUX_DEV_BASE = "black-forest-labs/FLUX.1-dev"

SMALL_MODEL_BATCH = 8
"""Pictures drawn together where memory is no concern; more hardly run faster on a CPU."""

FLUX_BATCH = 1
"""FLUX at 1024 pixels fills an accelerator with one picture."""


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """Settings that requests must share to be drawn in one batch."""

    width: int
    height: int
    steps: int
    guidance: float
    grounding_ratio: float
    strength: float
    want_masks: bool
    want_weights: bool


@dataclass(frozen=True, kw_only=True)
class _Picture:
    """One picture of a batch: its place among the requests, its layout, its seed."""

    position: int
    layout: Layout
    seed: int


@dataclass
class _Progress:
    """Counts steps over all batches of a call; holds the end times of the current batch's steps."""

    total: int
    on_step: StepCallback | None
    on_preview: PreviewCallback | None
    done: int = 0
    stopped: bool = False
    ended: list[float] = field(default_factory=list)
    positions: tuple[int, ...] = ()
    latents: Tensor | None = None
    decode: Decode | None = None

    def begin(self, pictures: Sequence[_Picture], decode: Decode | None) -> None:
        """Start the next batch."""
        self.ended.clear()
        self.positions = tuple(picture.position for picture in pictures)
        self.latents = None
        self.decode = decode

    def step_end(self, pipeline: Any, step: int, timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        self.ended.append(time.perf_counter())
        self.done += 1
        self.latents = tensors["latents"]
        if self.on_preview is not None and self.decode is not None:
            clean = predicted_latents(pipeline, step, self.latents, tensors["velocity"])
            images = partial(self.decode, clean)
            self.on_preview(FormingPictures(step=self.done, total=self.total, positions=self.positions, images=images))
        if self.on_step is not None and self.on_step(self.done, self.total) is False:
            self.stopped = True
            pipeline._interrupt = True
        return tensors


class PipelineGenerator:
    """Draws requests with a pipeline; those that share canvas and settings go through it together.

    Threads may share one: a pipeline's scheduler and settings belong to the call in progress, so calls take turns.
    """

    def __init__(self, pipeline: OcclusionFormerPipeline, *, model: str, batch_size: int = SMALL_MODEL_BATCH) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        self.pipeline = pipeline
        self.model = model
        self.batch_size = batch_size
        self._previews = Previews(pipeline)
        self._turn = _turn_of(pipeline)

    def generate(
        self, requests: Sequence[GenerationRequest], *, on_step: StepCallback | None = None
    ) -> list[GeneratedImage]:
        """One picture per request, in their order.

        Noise comes from one CPU generator per request, so that neither the batch nor the device changes it.
        Raises CanvasError for a size that the model cannot draw, before anything is drawn, and
        GenerationInterruptedError when `on_step` returns False.
        """
        return self.generate_watched(requests, on_step=on_step, on_preview=None)

    def generate_watched(
        self,
        requests: Sequence[GenerationRequest],
        *,
        on_step: StepCallback | None,
        on_preview: PreviewCallback | None,
    ) -> list[GeneratedImage]:
        """As `generate`, showing the pictures on their way after every step.

        Where the components of the pipeline take turns in the accelerator's memory, from the second picture on, and
        roughly.
        """
        batches = self._batches(requests)
        self._warn(requests)
        steps = sum(settings.steps for settings, _ in batches)
        progress = _Progress(total=steps, on_step=on_step, on_preview=on_preview)
        drawn: dict[int, GeneratedImage] = {}
        for settings, pictures in batches:
            with self._turn:
                images = self._draw(settings, pictures, progress)
            drawn.update(zip((picture.position for picture in pictures), images, strict=True))
        return [drawn[position] for position in range(len(requests))]

    def _warn(self, requests: Sequence[GenerationRequest]) -> None:
        """Say what the model does not know, once all requests are checked and before any is drawn: here nothing."""

    @property
    def dtype(self) -> str:
        """The numbers that pictures are computed in, as their records have it."""
        return str(self.pipeline.transformer.dtype).removeprefix("torch.")

    @property
    def defaults(self) -> GenerationDefaults:
        config = self.pipeline.config
        return GenerationDefaults(
            steps=config.default_steps,
            guidance=config.default_guidance,
            grounding_ratio=config.default_grounding_ratio,
            size=config.default_size,
            side_multiple=self._pixels_per_token,
        )

    @property
    def _pixels_per_token(self) -> int:
        return int(self.pipeline.vae_scale_factor) * 2

    def _batches(self, requests: Sequence[GenerationRequest]) -> list[tuple[_Settings, list[_Picture]]]:
        groups: dict[_Settings, list[_Picture]] = {}
        for position, request in enumerate(requests):
            picture = _Picture(position=position, layout=request.layout, seed=choose_seed(request))
            groups.setdefault(self._settings(request), []).append(picture)
        size = self.batch_size
        return [
            (settings, pictures[start : start + size])
            for settings, pictures in groups.items()
            for start in range(0, len(pictures), size)
        ]

    def _settings(self, request: GenerationRequest) -> _Settings:
        config = self.pipeline.config
        width, height = drawn_size(request, self._pixels_per_token)
        ratio = request.grounding_ratio
        return _Settings(
            width=width,
            height=height,
            steps=config.default_steps if request.steps is None else request.steps,
            guidance=config.default_guidance if request.guidance is None else request.guidance,
            grounding_ratio=config.default_grounding_ratio if ratio is None else ratio,
            strength=request.strength,
            want_masks=request.want_masks,
            want_weights=request.want_weights,
        )

    def _draw(self, settings: _Settings, pictures: Sequence[_Picture], progress: _Progress) -> list[GeneratedImage]:
        start = time.perf_counter()
        grid = TokenGrid.from_pixels(settings.height, settings.width, self._pixels_per_token)
        canvas = CallCanvas(height=settings.height, width=settings.width, grid=grid)
        progress.begin(pictures, self._previews.decoder(canvas))
        with libraries_standing_in():  # diffusers asks in every step whether LoRAs are there, which loads peft
            output = self.pipeline(
                layout=[picture.layout for picture in pictures],
                width=settings.width,
                height=settings.height,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                grounding_ratio=settings.grounding_ratio,
                strength=settings.strength,
                generator=[torch.Generator("cpu").manual_seed(picture.seed) for picture in pictures],
                output_instance_masks=settings.want_masks,
                output_weights=settings.want_weights,
                callback_on_step_end=progress.step_end,
                callback_on_step_end_tensor_inputs=("latents", "velocity"),
            )
        if progress.stopped:
            raise GenerationInterruptedError(progress.done, progress.total)
        assert isinstance(output, OcclusionFormerPipelineOutput)
        assert isinstance(output.images, list)
        if progress.latents is not None and not torch.isfinite(progress.latents).all():
            raise RuntimeError(f"{self.model}: drawing gave infinite numbers or none, and no picture")
        if progress.on_preview is not None and progress.latents is not None:
            self._previews.learn(canvas, progress.latents, output.images)
        end = time.perf_counter()
        timings = {
            "text_and_first_step": progress.ended[0] - start,
            "later_steps": progress.ended[-1] - progress.ended[0],
            "decode": end - progress.ended[-1],
            "total": end - start,
        }
        return [
            GeneratedImage(
                image=output.images[index],
                instance_masks=None if output.instance_masks is None else tuple(output.instance_masks[index]),
                weights=None if output.weights is None else tuple(output.weights[index]),
                timings=timings,
                provenance=self._provenance(settings, picture),
            )
            for index, picture in enumerate(pictures)
        ]

    def _provenance(self, settings: _Settings, picture: _Picture) -> Provenance:
        return Provenance(
            format=FORMAT,
            model=self.model,
            versions=Versions(
                occlusionformer=occlusionformer.__version__,
                torch=torch.__version__,
                diffusers=diffusers.__version__,
                transformers=importlib.metadata.version("transformers"),  # which need not be loaded
            ),
            layout=picture.layout.model_dump(mode="json"),
            prompt=compose_prompt(picture.layout, captions=self.pipeline.config.captions_in_prompt),
            seed=picture.seed,
            width=settings.width,
            height=settings.height,
            steps=settings.steps,
            guidance=settings.guidance,
            grounding_ratio=settings.grounding_ratio,
            strength=settings.strength,
            device=str(self.pipeline._execution_device),
            dtype=self.dtype,
        )


class Turn:
    """Held by the thread that draws; the others wait. A call from within the call in progress is an error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None

    def __enter__(self) -> None:
        if self._holder == threading.get_ident():
            raise RuntimeError("generate: called from a callback of a call that is in progress on the same model")
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        self._holder = None
        self._lock.release()


_TURNS: weakref.WeakKeyDictionary[OcclusionFormerPipeline, Turn] = weakref.WeakKeyDictionary()
_TURNS_LOCK = threading.Lock()


def _turn_of(pipeline: OcclusionFormerPipeline) -> Turn:
    """The lock of a pipeline, shared by all generators over it."""
    with _TURNS_LOCK:
        return _TURNS.setdefault(pipeline, Turn())


def load_pipeline(argument: str | None) -> PipelineGenerator:
    """Open a pipeline folder as saved by save_pretrained.

    Raises ValueError for what is no such folder, CheckpointError for one that is damaged or holds code.
    """
    if argument is None or not (Path(argument) / INDEX).is_file():
        raise ValueError(f"model: expected a folder with a {INDEX}, got {argument!r}")
    device = best_device()
    pipeline = OcclusionFormerPipeline.from_pretrained(argument, dtype=best_dtype(device))
    pipeline.set_progress_bar_config(disable=True)
    return PipelineGenerator(pipeline.to(device), model=argument)


def load_flux_dev(argument: str | None) -> PipelineGenerator:
    """FLUX.1-dev from the hub or its cache, with the published branch checkpoint at `argument`.

    On an accelerator the components take turns in its memory.
    """
    if argument is None:
        raise ValueError("model: expected flux-dev:CHECKPOINT, a folder or bundle of a published branch, got flux-dev")
    device = best_device()
    pipeline = OcclusionFormerPipeline.from_published(FLUX_DEV_BASE, argument, dtype=best_dtype(device))
    pipeline.set_progress_bar_config(disable=True)
    if device != "cpu":
        pipeline.enable_model_cpu_offload(device=device)
    return PipelineGenerator(pipeline, model=f"flux-dev:{argument}", batch_size=FLUX_BATCH)
