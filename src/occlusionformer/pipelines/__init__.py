"""From layouts to pictures with diffusers components: FLUX.1-dev and the embedded model alike."""

import occlusionformer.model  # noqa: F401 - before anything else imports diffusers
from occlusionformer.pipelines.generator import PipelineGenerator, load_flux_dev, load_pipeline
from occlusionformer.pipelines.occlusionformer import OcclusionFormerPipeline
from occlusionformer.pipelines.output import OcclusionFormerPipelineOutput
from occlusionformer.pipelines.overflow import TextOverflowWarning

__all__ = [
    "OcclusionFormerPipeline",
    "OcclusionFormerPipelineOutput",
    "PipelineGenerator",
    "TextOverflowWarning",
    "load_flux_dev",
    "load_pipeline",
]
