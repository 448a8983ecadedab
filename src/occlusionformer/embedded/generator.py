"""The packaged model behind the generation seam, in the numbers that the processor computes fastest in."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from occlusionformer.embedded.build import BACKBONE_FILE, BRANCH_FILE, BRANCH_FOLDER, embedded_pipeline
from occlusionformer.embedded.nearest import NearestObjects
from occlusionformer.embedded.vocabulary import packaged_vocabulary
from occlusionformer.generation import GeneratedImage, GenerationRequest
from occlusionformer.generation.computing import ComputedIn, parse_computed_in
from occlusionformer.generation.vocabulary import UnknownCaptionWarning
from occlusionformer.layout import Layout
from occlusionformer.model.backbones.flux_training import speed_up_autocast
from occlusionformer.model.precision import chosen_precision
from occlusionformer.pipelines import OcclusionFormerPipeline, PipelineGenerator

MOST_WARNINGS = 100
"""Captions that are warned of in one call."""


class EmbeddedGenerator(PipelineGenerator):
    """Draws with the packaged model, and warns of captions in which it knows no object.

    precision: "fp32" or "bf16", of the transformer, the branch and the autoencoder; texts are read in float32. "auto"
    is bf16 on processors that are faster in it, float32 on others. In bf16 the weights stay float32, and what they
    multiply is rounded (autocast); residuals and latents are float32. The `dtype` of a picture's record says which it
    was. Raises ValueError for another precision.
    """

    def __init__(self, pipeline: OcclusionFormerPipeline, *, model: str, precision: ComputedIn = "auto") -> None:
        wanted = parse_computed_in(precision)
        super().__init__(pipeline, model=model)
        named: Literal["auto", "no", "bf16"] = "no" if wanted == "fp32" else wanted
        self._in_bf16 = chosen_precision(named, pipeline.device) == "bf16"
        if self._in_bf16:
            speed_up_autocast(pipeline.transformer)
        self.vocabulary = packaged_vocabulary()
        self._nearest = NearestObjects(self.vocabulary, pipeline.encode_instances)

    @property
    def dtype(self) -> str:
        return "bfloat16" if self._in_bf16 else super().dtype

    def _draw(self, *batch: Any) -> list[GeneratedImage]:
        with torch.autocast(self.pipeline.device.type, torch.bfloat16, enabled=self._in_bf16):
            return super()._draw(*batch)

    def _warn(self, requests: Sequence[GenerationRequest]) -> None:
        """An UnknownCaptionWarning says what is drawn for captions without a known word."""
        for line in self.unknown_captions([request.layout for request in requests])[:MOST_WARNINGS]:
            warnings.warn(line, UnknownCaptionWarning, stacklevel=4)

    def unknown_captions(self, layouts: Sequence[Layout]) -> list[str]:
        """A line for every caption that names no object of the vocabulary, with the nearest; each caption once."""
        places: dict[str, int] = {}
        for layout in layouts:
            for place, instance in enumerate(layout.instances):
                if self.vocabulary.object_in(instance.caption) is None:
                    places.setdefault(instance.caption, place)
        return [f"instances[{place}].caption: {self._said_of(caption)}" for caption, place in places.items()]

    def _said_of(self, caption: str) -> str:
        nearest = self._nearest.of(caption)
        found = "none of its words is known" if nearest is None else f"nearest is {nearest.name!r}"
        return f"no object for {caption!r:.100}: {found}"


def load_embedded(argument: str | None, *, precision: ComputedIn = "auto") -> EmbeddedGenerator:
    """Open the model that ships with the package, or the same with the weights of a folder, such as training leaves.

    precision: as `EmbeddedGenerator` has it. Raises ValueError for another one, and for a folder without
    `backbone.safetensors` and `branch.safetensors`, or with those of another model.
    """
    parse_computed_in(precision)
    name, folder = "embedded", None
    if argument is not None:
        name, folder = f"embedded:{argument}", Path(argument)
        trained = (folder / BRANCH_FOLDER).is_dir()
        missing = [file for file in (BACKBONE_FILE, BRANCH_FILE) if not (folder / file).is_file()]
        if missing and not trained:
            raise ValueError(
                f"model: expected embedded:FOLDER with {BACKBONE_FILE} and {BRANCH_FILE}, or with {BRANCH_FOLDER}/ as "
                f"training leaves it, got {argument!r} without {' and '.join(missing)}"
            )
    pipeline = embedded_pipeline(folder)
    pipeline.set_progress_bar_config(disable=True)
    return EmbeddedGenerator(pipeline, model=name, precision=precision)
