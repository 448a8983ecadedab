"""The packaged model behind the generation seam."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from occlusionformer.embedded.build import BACKBONE_FILE, BRANCH_FILE, BRANCH_FOLDER, embedded_pipeline
from occlusionformer.embedded.nearest import NearestObjects
from occlusionformer.embedded.vocabulary import packaged_vocabulary
from occlusionformer.generation import GenerationRequest
from occlusionformer.generation.vocabulary import UnknownCaptionWarning
from occlusionformer.layout import Layout
from occlusionformer.pipelines import OcclusionFormerPipeline, PipelineGenerator

MOST_WARNINGS = 100
"""Captions that are warned of in one call."""


class EmbeddedGenerator(PipelineGenerator):
    """Draws with the packaged model, and warns of captions in which it knows no object."""

    def __init__(self, pipeline: OcclusionFormerPipeline, *, model: str) -> None:
        super().__init__(pipeline, model=model)
        self.vocabulary = packaged_vocabulary()
        self._nearest = NearestObjects(self.vocabulary, pipeline.encode_instances)

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


def load_embedded(argument: str | None) -> EmbeddedGenerator:
    """Open the model that ships with the package, or the same with the weights of a folder, such as training leaves.

    Raises ValueError for a folder without `backbone.safetensors` and `branch.safetensors`, or with those of another
    model.
    """
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
    return EmbeddedGenerator(pipeline, model=name)
