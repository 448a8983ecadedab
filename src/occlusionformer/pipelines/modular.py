"""The layout as an input of diffusers' modular Flux pipeline: one leaf block in front of diffusers' own."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxAutoBlocks
from diffusers.modular_pipelines import (
    ComponentSpec,
    ConfigSpec,
    InputParam,
    ModularPipelineBlocks,
    OutputParam,
    SequentialPipelineBlocks,
)
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

from occlusionformer.layout import Layout
from occlusionformer.model import LayoutFluxTransformer2DModel, Method
from occlusionformer.pipelines.folder import SETTINGS
from occlusionformer.pipelines.inputs import TextInputs, pair_texts_with_layouts
from occlusionformer.pipelines.occlusionformer import OcclusionFormerPipeline

COMPONENTS = {
    "scheduler": FlowMatchEulerDiscreteScheduler,
    "text_encoder": CLIPTextModel,
    "tokenizer": CLIPTokenizer,
    "text_encoder_2": T5EncoderModel,
    "tokenizer_2": T5TokenizerFast,
    "transformer": LayoutFluxTransformer2DModel,
    "branch": Method,
}
"""What the block works with; a folder's index may name other classes."""

DENOISING_STRENGTH = 0.6
"""Diffusers' default share of the steps that are run on a given picture."""

INPUTS = (
    InputParam("layout", type_hint=Layout, description="One for all pictures, or one (or None) for each prompt."),
    InputParam("prompt", description="Composed from the layout where it is left out."),
    InputParam("height", type_hint=int, description="In pixels; the layout's where it is left out."),
    InputParam("width", type_hint=int, description="In pixels; the layout's where it is left out."),
    InputParam("num_inference_steps", type_hint=int, description="The model's own number where it is left out."),
    InputParam("guidance_scale", type_hint=float, description="The model's own where it is left out."),
    InputParam("max_sequence_length", type_hint=int, description="Tokens of the prompt; the model's own number."),
    InputParam("grounding_ratio", type_hint=float, description="Share of the steps on which the layout is obeyed."),
    InputParam("layout_strength", type_hint=float, default=1.0, description="Factor on what the layout adds."),
    InputParam("num_images_per_prompt", type_hint=int, default=1),
    InputParam("sigmas"),
    InputParam("image", description="A picture to start from, as in FluxImg2ImgPipeline."),
    InputParam("strength", default=DENOISING_STRENGTH, description="Share of the steps run on `image`."),
    InputParam("joint_attention_kwargs"),
)

OUTPUTS = (
    OutputParam("prompt", description="One for each picture."),
    OutputParam("height", type_hint=int),
    OutputParam("width", type_hint=int),
    OutputParam("num_inference_steps", type_hint=int),
    OutputParam("guidance_scale", type_hint=float),
    OutputParam("max_sequence_length", type_hint=int),
    OutputParam("joint_attention_kwargs", description="With the layout as the transformer takes it."),
)


class LayoutStep(ModularPipelineBlocks):  # type: ignore[misc]
    """Layout to prompt, canvas and what the transformer is told of it; without a layout all inputs stay as given."""

    model_name = "flux"

    @property
    def description(self) -> str:
        return "Makes a z-ordered layout ready for the transformer, and composes prompt and canvas from it."

    @property
    def expected_components(self) -> list[ComponentSpec]:
        return [ComponentSpec(name, kind) for name, kind in COMPONENTS.items()]

    @property
    def expected_configs(self) -> list[ConfigSpec]:
        """The settings that a pipeline stores beside its components, with FLUX.1-dev's values."""
        given = inspect.signature(OcclusionFormerPipeline.__init__).parameters
        return [ConfigSpec(name, default=given[name].default) for name in SETTINGS]

    @property
    def inputs(self) -> list[InputParam]:
        return list(INPUTS)

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        return list(OUTPUTS)

    @torch.no_grad()
    def __call__(self, components: Any, state: Any) -> tuple[Any, Any]:
        """Raises ValueError for arguments that contradict each other, as OcclusionFormerPipeline does."""
        given = self.get_block_state(state)
        pipeline = _pipeline_over(components)
        texts, layouts = pair_texts_with_layouts(
            TextInputs(prompt=given.prompt, prompt_2=None, prompt_embeds=None, pooled_prompt_embeds=None),
            given.layout,
            captions_in_prompt=pipeline.config.captions_in_prompt,
        )
        given.prompt = texts.prompt
        canvas = pipeline.canvas(layouts, given.height, given.width)
        given.height, given.width = canvas.height, canvas.width
        for name, own in (
            ("num_inference_steps", pipeline.config.default_steps if given.sigmas is None else None),
            ("guidance_scale", pipeline.config.default_guidance),
            ("max_sequence_length", pipeline.config.max_sequence_length),
        ):
            setattr(given, name, own if getattr(given, name) is None else getattr(given, name))
        if given.layout is not None:
            ready = pipeline.prepare(
                layouts,
                height=given.height,
                width=given.width,
                num_inference_steps=given.num_inference_steps,
                sigmas=given.sigmas,
                denoising_strength=1.0 if given.image is None else given.strength,
                num_images_per_prompt=given.num_images_per_prompt,
                max_sequence_length=given.max_sequence_length,
                lora_scale=(given.joint_attention_kwargs or {}).get("scale"),
                grounding_ratio=given.grounding_ratio,
                strength=given.layout_strength,
            )
            given.joint_attention_kwargs = {**(given.joint_attention_kwargs or {}), "layout": ready}
        self.set_block_state(state, given)
        return components, state


def _pipeline_over(components: Any) -> OcclusionFormerPipeline:
    """A pipeline over the components of a modular one, which gets the drop-in in the place of a stock transformer."""
    pipeline = OcclusionFormerPipeline(
        **{name: getattr(components, name) for name in COMPONENTS},
        vae=components.vae,
        **{name: components.config[name] for name in SETTINGS},
    )
    if components.transformer is not pipeline.transformer:
        components.register_components(transformer=pipeline.transformer)
    return pipeline


class LayoutBlocks(SequentialPipelineBlocks):  # type: ignore[misc]
    """Diffusers' Flux blocks for text to image and image to image, with a layout as a further input."""

    model_name = "flux"
    block_classes = (LayoutStep, *FluxAutoBlocks.block_classes)
    block_names = ("layout", *FluxAutoBlocks.block_names)

    @property
    def description(self) -> str:
        return "Draws z-ordered layouts with Flux, from text or from a picture."

    @property
    def outputs(self) -> list[OutputParam]:
        return [OutputParam("images", description="The pictures.")]
