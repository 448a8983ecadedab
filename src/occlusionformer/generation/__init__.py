"""The seam between what is asked for and what draws it: requests, pictures, generators by name. No torch, no numpy."""

from occlusionformer.generation.canvas import CanvasError, drawn_size, nearest_size
from occlusionformer.generation.prompt import compose_prompt, instance_text
from occlusionformer.generation.protocol import (
    FormingPictures,
    GenerationDefaults,
    GenerationInterruptedError,
    Generator,
    NamingGenerator,
    PreviewCallback,
    PreviewingGenerator,
    StepCallback,
)
from occlusionformer.generation.provenance import (
    Provenance,
    ProvenanceError,
    Versions,
    parse_provenance,
    read_provenance,
    request_to_repeat,
)
from occlusionformer.generation.registry import UnknownGeneratorError, check_generator, generator_names, load_generator
from occlusionformer.generation.request import GenerationRequest, RequestError, choose_seed
from occlusionformer.generation.result import GeneratedImage

__all__ = [
    "CanvasError",
    "FormingPictures",
    "GeneratedImage",
    "GenerationDefaults",
    "GenerationInterruptedError",
    "GenerationRequest",
    "Generator",
    "NamingGenerator",
    "PreviewCallback",
    "PreviewingGenerator",
    "Provenance",
    "ProvenanceError",
    "RequestError",
    "StepCallback",
    "UnknownGeneratorError",
    "Versions",
    "check_generator",
    "choose_seed",
    "compose_prompt",
    "drawn_size",
    "generator_names",
    "instance_text",
    "load_generator",
    "nearest_size",
    "parse_provenance",
    "read_provenance",
    "request_to_repeat",
]
