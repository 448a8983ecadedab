"""One denoising step's velocity: the transformer with or without the layout, guidance, and the prediction type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from occlusionformer.model import FluxInputs, LayoutCondition, LayoutFlux, LayoutFluxOutput
from occlusionformer.pipelines.inputs import LayoutSettings
from occlusionformer.pipelines.maps import foreground_probability, mean_over_blocks
from occlusionformer.tensors.flow import velocity_from_sample

PredictionType = Literal["velocity", "sample"]
StepEndCallback = Callable[[Any, int, Tensor, dict[str, Tensor]], dict[str, Tensor]]

TRAINING_TIMESTEPS = 1000
"""Scheduler timesteps run from 1000 (noise) to 0; the transformer takes them as 1 to 0."""


@dataclass(frozen=True, kw_only=True)
class TextCondition:
    """What the text encoders made of one side of guidance: one row per picture, ids shared by all."""

    embeds: Tensor
    pooled: Tensor
    ids: Tensor

    def rows(self, pictures: Tensor) -> TextCondition:
        return TextCondition(embeds=self.embeds[pictures], pooled=self.pooled[pictures], ids=self.ids)


@dataclass(frozen=True, kw_only=True)
class PlacedLayouts:
    """The layouts of a batch, ready for the transformer, and the pictures they belong to."""

    condition: LayoutCondition
    pictures: Tensor
    """Indices of the pictures with instances."""
    others: Tensor
    """Indices of the pictures that the backbone draws alone."""
    strength: float


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Everything the transformer is given that stays the same from step to step."""

    text: TextCondition
    negative: TextCondition | None
    """Of true classifier-free guidance, which always runs without the layout."""
    true_cfg_scale: float
    guidance: Tensor | None
    """Of guidance-distilled models, one value for all pictures, (1,)."""
    image_ids: Tensor
    layouts: PlacedLayouts | None
    joint_attention_kwargs: dict[str, Any]


@dataclass(kw_only=True)
class DenoisingState:
    """What changes from step to step; callbacks may read and replace the latents and the prompt embeddings."""

    latents: Tensor
    prompt_embeds: Tensor
    velocity: Tensor | None = None
    """That of the last step, d(latents)/dt; for callbacks to read."""
    mask_probability: Tensor | None = None
    """Of the foreground, per instance and token, (N, L), from the last step with the layout."""
    weights: Tensor | None = None
    """Mean over the layout blocks, (N, L), from the same step."""


@dataclass(frozen=True, kw_only=True)
class StepEnd:
    """The caller's function after each step, and the names of the tensors it is shown."""

    callback: StepEndCallback | None
    tensor_inputs: tuple[str, ...]

    def run(self, pipeline: Any, step: int, timestep: Tensor, state: DenoisingState) -> None:
        if self.callback is None:
            return
        changed = self.callback(pipeline, step, timestep, {name: getattr(state, name) for name in self.tensor_inputs})
        if not isinstance(changed, dict):
            raise TypeError(f"callback_on_step_end: expected a dict of tensors back, got {type(changed).__name__}")
        state.latents = changed.pop("latents", state.latents)
        state.prompt_embeds = changed.pop("prompt_embeds", state.prompt_embeds)


class VelocityPredictor:
    """d(latents)/dt for the scheduler."""

    def __init__(self, flux: LayoutFlux, conditions: Conditions, prediction: PredictionType) -> None:
        self.flux = flux
        self.conditions = conditions
        self.prediction = prediction

    def predict(
        self, state: DenoisingState, timestep: Tensor, *, layout_active: bool, report: LayoutSettings | None
    ) -> Tensor:
        """The velocity (B, L, channels); with `report`, the maps it asks for go into the state."""
        latents, text = state.latents, replace(self.conditions.text, embeds=state.prompt_embeds)
        layouts = self.conditions.layouts if layout_active else None
        with self.flux.backbone.cache_context("cond"):
            if layouts is None:
                prediction = self._run(latents, text, timestep).sample
            else:
                output = self._run_with_layouts(latents, text, timestep, layouts, report)
                prediction = output.sample
                _keep_maps(state, output)
        if self.conditions.negative is not None:
            with self.flux.backbone.cache_context("uncond"):
                negative = self._run(latents, self.conditions.negative, timestep).sample
            prediction = negative + self.conditions.true_cfg_scale * (prediction - negative)
        if self.prediction == "sample":
            time = (timestep / TRAINING_TIMESTEPS).expand(latents.shape[0])
            prediction = velocity_from_sample(latents, prediction, time)
        return prediction

    def _run_with_layouts(
        self,
        latents: Tensor,
        text: TextCondition,
        timestep: Tensor,
        layouts: PlacedLayouts,
        report: LayoutSettings | None,
    ) -> LayoutFluxOutput:
        """Pictures without a layout go through the backbone alone: a branch may touch tokens outside all boxes."""
        chosen, others = layouts.pictures, layouts.others
        alone = len(others) == 0
        output: LayoutFluxOutput = self.flux(
            self._inputs(latents if alone else latents[chosen], text if alone else text.rows(chosen), timestep),
            layouts.condition,
            strength=layouts.strength,
            return_masks=report is not None and report.want_masks,
            return_weights=report is not None and report.want_weights,
        )
        if alone:
            return output
        plain = self._run(latents[others], text.rows(others), timestep)
        joined = torch.empty_like(latents).index_copy(0, chosen, output.sample).index_copy(0, others, plain.sample)
        return replace(output, sample=joined)

    def _run(self, latents: Tensor, text: TextCondition, timestep: Tensor) -> LayoutFluxOutput:
        output: LayoutFluxOutput = self.flux(self._inputs(latents, text, timestep), None)
        return output

    def _inputs(self, latents: Tensor, text: TextCondition, timestep: Tensor) -> FluxInputs:
        """Time in the latents' dtype before the division, in the stock pipeline's order of rounding."""
        pictures, guidance = latents.shape[0], self.conditions.guidance
        return FluxInputs(
            hidden_states=latents,
            encoder_hidden_states=text.embeds,
            pooled_projections=text.pooled,
            timestep=timestep.expand(pictures).to(latents.dtype) / TRAINING_TIMESTEPS,
            img_ids=self.conditions.image_ids,
            txt_ids=text.ids,
            guidance=None if guidance is None else guidance.expand(pictures),
            joint_attention_kwargs=self.conditions.joint_attention_kwargs,
        )


def _keep_maps(state: DenoisingState, output: LayoutFluxOutput) -> None:
    if output.mask_logits is not None:
        state.mask_probability = foreground_probability(output.mask_logits)
    if output.weights is not None:
        state.weights = mean_over_blocks(output.weights)
