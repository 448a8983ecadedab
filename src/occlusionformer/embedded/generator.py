"""The embedded model behind the generation seam."""

from __future__ import annotations

from occlusionformer.embedded.build import embedded_pipeline
from occlusionformer.pipelines import PipelineGenerator


def load_embedded(argument: str | None) -> PipelineGenerator:
    """Open the model that ships with the package; it takes no argument."""
    if argument is not None:
        raise ValueError(f"model: expected embedded, which takes no argument, got embedded:{argument}")
    pipeline = embedded_pipeline()
    pipeline.set_progress_bar_config(disable=True)
    return PipelineGenerator(pipeline, model="embedded")
