"""Z-ordered layouts to pictures: FluxPipeline with a layout branch beside its transformer."""

# Annotations stay values here (no `from __future__ import annotations`, typing.Union instead of `|`) because
# diffusers 0.35 reads those of __init__ that way to recognise components.

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional, Union

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from occlusionformer.layout import Layout
from occlusionformer.model import InstanceTexts, LayoutFluxTransformer2DModel, Method, PreparedLayouts
from occlusionformer.model.backbones.libraries import libraries_standing_in
from occlusionformer.pipelines.callbacks import StepEndCallback, shown_tensors, step_end
from occlusionformer.pipelines.encoding import LayoutReader
from occlusionformer.pipelines.fit import check_dtype, check_fit
from occlusionformer.pipelines.inputs import (
    CallCanvas,
    Layouts,
    LayoutSettings,
    TextInputs,
    check_noise,
    pair_texts_with_layouts,
    shared_canvas,
)
from occlusionformer.pipelines.loading import LoadablePipeline
from occlusionformer.pipelines.maps import maps_of_report
from occlusionformer.pipelines.output import OcclusionFormerPipelineOutput
from occlusionformer.pipelines.overflow import EncoderTexts, clip_reading, t5_reading, warn_of_overflow
from occlusionformer.pipelines.schedule import last_steps, level_between, level_of_step, noise_levels
from occlusionformer.pipelines.tokenizer import PlainTokenizer
from occlusionformer.tensors.grid import TokenGrid

with libraries_standing_in():
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection, PreTrainedModel, PreTrainedTokenizerBase


class OcclusionFormerPipeline(LoadablePipeline, LayoutReader):
    """FluxPipeline with a layout: composes the prompt, prepares the layout, and reads masks and weights back.

    `transformer` becomes a drop-in that takes the layout as an argument of its call; `branch` is the layout method,
    None draws without layouts. As with every diffusers pipeline, one call at a time: threads share a pipeline through
    `PipelineGenerator`. Defaults of steps, guidance, grounding ratio, text length and canvas belong to the model and
    are stored with it, as is whether a prompt composed from a layout names its instances.
    """

    # The branch never leaves the accelerator: it runs inside the transformer's forward, so in the sequence the two
    # would push each other out. It has 3% of FLUX's parameters.
    model_cpu_offload_seq = "text_encoder->text_encoder_2->image_encoder->transformer->vae"
    _exclude_from_cpu_offload = ("branch",)
    # More than stock: the step's velocity, from which a preview is made, under its own and FluxPipeline's name.
    _callback_tensor_inputs = ["latents", "prompt_embeds", "velocity", "noise_pred"]  # noqa: RUF012

    def __init__(  # noqa: PLR0913 (diffusers learns the components and the stored settings from this signature)
        self,
        scheduler: FlowMatchEulerDiscreteScheduler,
        vae: Union[AutoencoderKL, ModelMixin],  # noqa: UP007
        text_encoder: Union[PreTrainedModel, ModelMixin],  # noqa: UP007
        tokenizer: Union[PreTrainedTokenizerBase, PlainTokenizer],  # noqa: UP007
        text_encoder_2: Union[PreTrainedModel, ModelMixin],  # noqa: UP007
        tokenizer_2: Union[PreTrainedTokenizerBase, PlainTokenizer],  # noqa: UP007
        transformer: FluxTransformer2DModel,
        branch: Method,
        image_encoder: Optional[CLIPVisionModelWithProjection] = None,  # noqa: UP045
        feature_extractor: Optional[CLIPImageProcessor] = None,  # noqa: UP045
        prediction_type: Optional[str] = None,  # noqa: UP045
        max_sequence_length: int = 512,
        default_steps: int = 28,
        default_guidance: float = 3.5,
        default_grounding_ratio: float = 0.3,
        default_size: int = 1024,
        captions_in_prompt: bool = True,
    ) -> None:
        if transformer is not None:
            transformer = LayoutFluxTransformer2DModel.adopt(transformer, prediction_type=prediction_type)
            prediction_type = transformer.config.prediction_type
        if transformer is not None and branch is not None:
            check_fit(transformer, branch)
        super().__init__(
            scheduler, vae, text_encoder, tokenizer, text_encoder_2, tokenizer_2, transformer, image_encoder,
            feature_extractor,
        )  # fmt: skip
        self.register_modules(branch=branch)
        self.register_to_config(
            prediction_type=prediction_type,
            max_sequence_length=max_sequence_length,
            default_steps=default_steps,
            default_guidance=default_guidance,
            default_grounding_ratio=default_grounding_ratio,
            default_size=default_size,
            captions_in_prompt=captions_in_prompt,
        )

    def register_modules(self, **components: Any) -> None:
        """As diffusers'. A transformer that predicts a velocity is recorded as the stock one, which loads it too."""
        super().register_modules(**components)
        transformer = components.get("transformer")
        if isinstance(transformer, LayoutFluxTransformer2DModel) and transformer.config.prediction_type == "velocity":
            self.register_to_config(transformer=("diffusers", FluxTransformer2DModel.__name__))

    @torch.no_grad()
    def __call__(  # noqa: PLR0913 (FluxPipeline's argument names)
        self,
        prompt: str | list[str] | None = None,
        prompt_2: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        negative_prompt_2: str | list[str] | None = None,
        true_cfg_scale: float = 1.0,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float | None = None,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: list[Tensor] | None = None,
        negative_ip_adapter_image: Any = None,
        negative_ip_adapter_image_embeds: list[Tensor] | None = None,
        negative_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        joint_attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: StepEndCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int | None = None,
        *,
        layout: Layout | Sequence[Layout | None] | None = None,
        grounding_ratio: float | None = None,
        truncate_grounding: bool = False,
        strength: float = 1.0,
        instance_embeds: InstanceTexts | Tensor | None = None,
        output_instance_masks: bool = False,
        output_weights: bool = False,
    ) -> OcclusionFormerPipelineOutput | tuple[Any, ...]:
        """Draw one picture per prompt or layout (times `num_images_per_prompt`).

        Arguments mean what they mean in FluxPipeline; None for steps, guidance, grounding ratio and text length takes
        the model's own default.

        layout: one for all pictures, or one (or None) per picture; gives prompt and canvas where those are left out.
            Its seed is for generators (`PipelineGenerator`): here, as in FluxPipeline, noise comes from `generator`.
        grounding_ratio: share of the steps, from the first, on which the layout is obeyed: at least one of any share
            above 0. truncate_grounding: int(ratio * steps) instead, as the released code has it.
        strength: factor on what the layout adds; 0 is the backbone, bit for bit.
        instance_embeds: what the branch reads of the instances, encoded earlier: pooled texts (instances of all layouts
            in order, pooled width), or InstanceTexts for a branch that reads sequences.
        """
        texts, layouts = pair_texts_with_layouts(
            TextInputs(
                prompt=prompt,
                prompt_2=prompt_2,
                prompt_embeds=prompt_embeds,
                pooled_prompt_embeds=pooled_prompt_embeds,
            ),
            layout,
            captions_in_prompt=self.config.captions_in_prompt,
        )
        unwanted = TextInputs(
            prompt=negative_prompt,
            prompt_2=negative_prompt_2,
            prompt_embeds=negative_prompt_embeds,
            pooled_prompt_embeds=negative_pooled_prompt_embeds,
        ).spread(len(layouts), "negative_prompt")
        canvas = self.canvas(layouts, height, width)
        settings = LayoutSettings(
            grounding_ratio=_chosen(grounding_ratio, self.config.default_grounding_ratio),
            truncated=truncate_grounding,
            strength=strength,
            want_masks=output_instance_masks,
            want_weights=output_weights,
        )
        steps = len(sigmas) if sigmas is not None else _chosen(num_inference_steps, self.config.default_steps)
        max_sequence_length = _chosen(max_sequence_length, self.config.max_sequence_length)
        settings.check(layouts, steps, self.branch)
        self._check_texts(texts, unwanted, canvas, callback_on_step_end_tensor_inputs, max_sequence_length)
        warn_of_overflow(self._readings(texts, unwanted if true_cfg_scale > 1 else None, layouts, max_sequence_length))
        check_noise(latents, len(layouts) * num_images_per_prompt, canvas, self.transformer.config.in_channels)
        if texts.prompt_embeds is not None:  # FluxPipeline repeats texts, but not embeddings
            texts, unwanted = texts.repeat(num_images_per_prompt), unwanted.repeat(num_images_per_prompt)
        extra = dict(joint_attention_kwargs or {})
        prepared = None
        if settings.acts(layouts, steps):
            if extra.get("layout") is not None:
                raise ValueError("joint_attention_kwargs['layout']: expected none beside the layout argument")
            levels = noise_levels(self.scheduler, steps, sigmas, canvas.grid.num_tokens)
            prepared = self._prepared(
                layouts, canvas.grid, settings, instance_embeds, (max_sequence_length, extra.get("scale"))
            ).repeat(num_images_per_prompt)
            active = settings.active_steps(len(levels))
            prepared = replace(
                prepared,
                until=level_between(levels, active),
                level=level_of_step(self.scheduler, levels),
                report_from=levels[active - 1],
            )
            extra["layout"] = prepared
        result = super().__call__(
            prompt=texts.prompt,
            prompt_2=texts.prompt_2,
            negative_prompt=unwanted.prompt,
            negative_prompt_2=unwanted.prompt_2,
            true_cfg_scale=true_cfg_scale,
            height=canvas.height,
            width=canvas.width,
            num_inference_steps=steps,
            sigmas=sigmas,
            guidance_scale=_chosen(guidance_scale, self.config.default_guidance),
            num_images_per_prompt=1 if texts.prompt_embeds is not None else num_images_per_prompt,
            generator=generator,
            latents=latents,
            prompt_embeds=texts.prompt_embeds,
            pooled_prompt_embeds=texts.pooled_prompt_embeds,
            ip_adapter_image=ip_adapter_image,
            ip_adapter_image_embeds=ip_adapter_image_embeds,
            negative_ip_adapter_image=negative_ip_adapter_image,
            negative_ip_adapter_image_embeds=negative_ip_adapter_image_embeds,
            negative_prompt_embeds=unwanted.prompt_embeds,
            negative_pooled_prompt_embeds=unwanted.pooled_prompt_embeds,
            output_type=output_type,
            return_dict=False,
            joint_attention_kwargs=extra,
            callback_on_step_end=step_end(callback_on_step_end, callback_on_step_end_tensor_inputs),
            callback_on_step_end_tensor_inputs=shown_tensors(callback_on_step_end_tensor_inputs),
            max_sequence_length=max_sequence_length,
        )
        masks, weights = (None, None) if prepared is None else maps_of_report(prepared, canvas)
        output = OcclusionFormerPipelineOutput(images=result[0], instance_masks=masks, weights=weights)
        return output if return_dict else output.to_tuple()

    @torch.no_grad()
    def prepare(  # noqa: PLR0913 (what a host's call is told of its canvas and steps, once more)
        self,
        layout: Layout | Sequence[Layout | None],
        *,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        denoising_strength: float = 1.0,
        num_images_per_prompt: int = 1,
        max_sequence_length: int | None = None,
        lora_scale: float | None = None,
        grounding_ratio: float | None = None,
        truncate_grounding: bool = False,
        strength: float = 1.0,
        instance_embeds: InstanceTexts | Tensor | None = None,
        output_instance_masks: bool = False,
        output_weights: bool = False,
    ) -> PreparedLayouts:
        """A layout for another Flux pipeline over the same components: its joint_attention_kwargs["layout"].

        layout: one per prompt of that call. height, width, num_inference_steps, sigmas, num_images_per_prompt and
        max_sequence_length as in that call, lora_scale the `scale` of its joint_attention_kwargs, denoising_strength
        its `strength` (img2img, inpaint): the layout acts on the first share of the steps that are run. The rest as in
        a call of this pipeline; masks and weights are left in the result's `report`.
        """
        layouts = (layout,) if isinstance(layout, Layout) else tuple(layout)
        canvas = self.canvas(layouts, height, width)
        settings = LayoutSettings(
            grounding_ratio=_chosen(grounding_ratio, self.config.default_grounding_ratio),
            truncated=truncate_grounding,
            strength=strength,
            want_masks=output_instance_masks,
            want_weights=output_weights,
        )
        steps = len(sigmas) if sigmas is not None else _chosen(num_inference_steps, self.config.default_steps)
        settings.check(layouts, steps, self.branch)
        if self.branch is None:
            raise ValueError("layout: expected a pipeline with a branch, got one with branch=None")
        levels = noise_levels(self.scheduler, steps, sigmas, canvas.grid.num_tokens)
        levels = last_steps(levels, steps, denoising_strength, self.scheduler.order)
        reading = (_chosen(max_sequence_length, self.config.max_sequence_length), lora_scale)
        prepared = self._prepared(layouts, canvas.grid, settings, instance_embeds, reading).repeat(
            num_images_per_prompt
        )
        until = level_between(levels, settings.active_steps(len(levels)))
        return replace(prepared, until=until, check_ids=True)

    def _prepared(
        self,
        layouts: Layouts,
        grid: TokenGrid,
        settings: LayoutSettings,
        instance_embeds: InstanceTexts | Tensor | None,
        reading: tuple[int, float | None],
    ) -> PreparedLayouts:
        """The layouts with their texts; `reading`: the prompt's tokens and the scale of the user's LoRAs."""
        self._adopt_transformer()
        if isinstance(instance_embeds, Tensor):
            instance_embeds = InstanceTexts(pooled_NP=instance_embeds)
        if instance_embeds is None:
            instance_embeds = self.encode_layouts(
                layouts, self.branch.texts, prompt_tokens=reading[0], lora_scale=reading[1]
            )
        read = [x for x in (instance_embeds.pooled_NP, instance_embeds.sequence_NSE) if x is not None]
        dtype = read[0].dtype if read else self.transformer.dtype
        if read:
            check_dtype(self.branch, read[0])
        prepared = self.branch.prepare(layouts, instance_embeds, grid, device=self._execution_device, dtype=dtype)
        return replace(
            prepared,
            strength=settings.strength,
            want_masks=settings.want_masks,
            want_weights=settings.want_weights,
        )

    def _adopt_transformer(self) -> None:
        """Take in a stock transformer that was put in the place of ours."""
        transformer: Any = self.components["transformer"]
        inner = getattr(transformer, "_orig_mod", transformer)  # what torch.compile wraps
        if not isinstance(inner, LayoutFluxTransformer2DModel):
            prediction_type = self.config.prediction_type
            adopted = LayoutFluxTransformer2DModel.adopt(inner, prediction_type=prediction_type)
            self.register_modules(transformer=adopted)

    def canvas(self, layouts: Layouts, height: int | None, width: int | None) -> CallCanvas:
        return shared_canvas(
            layouts,
            height=height,
            width=width,
            default=self.config.default_size,
            pixels_per_token=self.vae_scale_factor * 2,
        )

    def _readings(
        self, texts: TextInputs, unwanted: TextInputs | None, layouts: Layouts, max_sequence_length: int
    ) -> list[EncoderTexts]:
        sides = [texts, unwanted] if unwanted is not None and unwanted.given else [texts]
        return [
            clip_reading(self.tokenizer, self.tokenizer_max_length, sides, layouts),
            t5_reading(self.tokenizer_2, max_sequence_length, sides),
        ]

    def _check_texts(
        self,
        texts: TextInputs,
        unwanted: TextInputs,
        canvas: CallCanvas,
        callback_tensor_inputs: Sequence[str],
        max_sequence_length: int,
    ) -> None:
        """FluxPipeline's own checks, before anything is encoded."""
        self.check_inputs(
            texts.prompt,
            texts.prompt_2,
            canvas.height,
            canvas.width,
            negative_prompt=unwanted.prompt,
            negative_prompt_2=unwanted.prompt_2,
            prompt_embeds=texts.prompt_embeds,
            negative_prompt_embeds=unwanted.prompt_embeds,
            pooled_prompt_embeds=texts.pooled_prompt_embeds,
            negative_pooled_prompt_embeds=unwanted.pooled_prompt_embeds,
            callback_on_step_end_tensor_inputs=callback_tensor_inputs,
            max_sequence_length=max_sequence_length,
        )


def _chosen(value: Any, default: Any) -> Any:
    return default if value is None else value
