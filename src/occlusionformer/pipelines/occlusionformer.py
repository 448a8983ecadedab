"""Z-ordered layouts to pictures: FluxPipeline with a layout branch beside its transformer."""

# Annotations stay values here (no `from __future__ import annotations`, typing.Union instead of `|`) because
# diffusers 0.35 reads those of __init__ that way to recognise components.

from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.pipelines.flux.pipeline_flux import calculate_shift, retrieve_timesteps
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection, PreTrainedModel, PreTrainedTokenizerBase

from occlusionformer.layout import Layout
from occlusionformer.model import (
    LayoutCondition,
    LayoutFlux,
    OcclusionBranch,
    prepare_layouts,
)
from occlusionformer.pipelines.denoising import (
    Conditions,
    DenoisingState,
    PlacedLayouts,
    StepEnd,
    StepEndCallback,
    VelocityPredictor,
)
from occlusionformer.pipelines.encoding import LayoutReader
from occlusionformer.pipelines.fit import check_branch, check_dtype, check_fit, check_group_offload
from occlusionformer.pipelines.inputs import (
    Canvas,
    Layouts,
    LayoutSettings,
    TextInputs,
    check_noise,
    pair_texts_with_layouts,
    shared_canvas,
)
from occlusionformer.pipelines.loading import LoadablePipeline
from occlusionformer.pipelines.maps import maps_per_picture
from occlusionformer.pipelines.output import OcclusionFormerPipelineOutput
from occlusionformer.pipelines.overflow import clip_reading, t5_reading, warn_of_overflow
from occlusionformer.tensors.grid import TokenGrid


class OcclusionFormerPipeline(LoadablePipeline, LayoutReader):
    """Draws layouts with a Flux backbone and a layout branch; without a layout it is FluxPipeline.

    As with every diffusers pipeline, one call at a time: threads share a pipeline through `PipelineGenerator`.
    IP-Adapter images are not among the arguments. Defaults of steps, guidance, grounding ratio, text length and canvas
    belong to the model and are stored with it, as is whether a prompt composed from a layout names its instances.
    """

    # The branch never leaves the accelerator: it runs together with the transformer in every step, so in the sequence
    # the two would push each other out, and it multiplies its own weights ahead of time, which offloading layer by
    # layer does not see. It has 3% of FLUX's parameters.
    model_cpu_offload_seq = "text_encoder->text_encoder_2->image_encoder->transformer->vae"
    _exclude_from_cpu_offload = ("branch",)
    # More than stock: the step's velocity, from which a preview is made.
    _callback_tensor_inputs = ["latents", "prompt_embeds", "velocity"]  # noqa: RUF012

    def __init__(  # noqa: PLR0913 (diffusers learns the components and the stored settings from this signature)
        self,
        scheduler: FlowMatchEulerDiscreteScheduler,
        vae: Union[AutoencoderKL, ModelMixin],  # noqa: UP007
        text_encoder: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder_2: PreTrainedModel,
        tokenizer_2: PreTrainedTokenizerBase,
        transformer: FluxTransformer2DModel,
        branch: OcclusionBranch,
        image_encoder: Optional[CLIPVisionModelWithProjection] = None,  # noqa: UP045
        feature_extractor: Optional[CLIPImageProcessor] = None,  # noqa: UP045
        prediction_type: str = "velocity",
        max_sequence_length: int = 512,
        default_steps: int = 28,
        default_guidance: float = 3.5,
        default_grounding_ratio: float = 0.3,
        default_size: int = 1024,
        captions_in_prompt: bool = True,
    ) -> None:
        if prediction_type not in ("velocity", "sample"):
            raise ValueError(f"prediction_type: expected 'velocity' or 'sample', got {prediction_type!r}")
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

    def prepare_layout(self, layouts: Sequence[Layout], pooled_NP: Tensor, *, grid: TokenGrid) -> LayoutCondition:
        """The layouts as the transformer takes them, built once per call; one row of `pooled_NP` per instance."""
        return prepare_layouts(
            layouts,
            pooled_NP,
            grid=grid,
            config=self.branch.shape,
            device=pooled_NP.device,
            dtype=pooled_NP.dtype,
        )

    def prepare_timesteps(self, steps: int, sigmas: Sequence[float] | None, num_tokens: int) -> Tensor:
        """Noise levels from the scheduler, shifted by the number of image tokens where it asks for that."""
        config = self.scheduler.config
        levels = np.linspace(1.0, 1 / steps, steps) if sigmas is None else sigmas
        shift = calculate_shift(
            num_tokens,
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", 1.15),
        )
        timesteps, _ = retrieve_timesteps(
            self.scheduler,
            steps,
            self._execution_device,
            sigmas=None if config.get("use_flow_sigmas", False) else levels,
            mu=shift,
        )
        self._num_timesteps = len(timesteps)
        self.scheduler.set_begin_index(0)
        return timesteps

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
        strength: float = 1.0,
        output_instance_masks: bool = False,
        output_weights: bool = False,
    ) -> OcclusionFormerPipelineOutput | tuple[Any, ...]:
        """Draw one picture per prompt or layout (times `num_images_per_prompt`).

        Arguments mean what they mean in FluxPipeline; None for steps, guidance, grounding ratio and text length takes
        the model's own default.

        layout: one for all pictures, or one (or None) per picture; gives prompt and canvas where those are left out.
            Its seed is for generators (`PipelineGenerator`): here, as in FluxPipeline, noise comes from `generator`.
        grounding_ratio: share of the steps, from the first, on which the layout is obeyed.
        strength: factor on everything the layout adds; 0 is the backbone, bit for bit.
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
        canvas = shared_canvas(
            layouts,
            height=height,
            width=width,
            default=self.config.default_size,
            pixels_per_token=self.vae_scale_factor * 2,
        )
        settings = LayoutSettings(
            grounding_ratio=_chosen(grounding_ratio, self.config.default_grounding_ratio),
            strength=strength,
            want_masks=output_instance_masks,
            want_weights=output_weights,
        )
        steps = len(sigmas) if sigmas is not None else _chosen(num_inference_steps, self.config.default_steps)
        max_sequence_length = _chosen(max_sequence_length, self.config.max_sequence_length)
        check_branch(self.branch, layouts)
        settings.check(layouts, steps, has_mask_head=self.branch is not None and self.branch.shape.mask_head)
        self._check_texts(texts, unwanted, canvas, callback_on_step_end_tensor_inputs, max_sequence_length)
        self._begin(_chosen(guidance_scale, self.config.default_guidance), joint_attention_kwargs)

        sides = [texts, unwanted] if true_cfg_scale > 1 and unwanted.given else [texts]
        warn_of_overflow(
            [
                clip_reading(self.tokenizer, self.tokenizer_max_length, sides, layouts),
                t5_reading(self.tokenizer_2, max_sequence_length, sides),
            ]
        )
        layouts = tuple(entry for entry in layouts for _ in range(num_images_per_prompt))
        check_noise(latents, len(layouts), canvas, self.transformer.config.in_channels)
        pooled_NP = self._encode_captions(layouts) if settings.active_steps(steps) else None
        encoded = [self._encode_texts(side, num_images_per_prompt, max_sequence_length) for side in sides]
        latents, image_ids = self.prepare_latents(
            len(layouts),
            self.transformer.config.in_channels // 4,
            canvas.height,
            canvas.width,
            encoded[0].embeds.dtype,
            self._execution_device,
            generator,
            latents,
        )
        conditions = Conditions(
            text=encoded[0],
            negative=encoded[1] if len(encoded) > 1 else None,
            true_cfg_scale=true_cfg_scale,
            guidance=self._guidance_embedding(),
            image_ids=image_ids,
            layouts=self._place_layouts(layouts, pooled_NP, canvas.grid, strength),
            joint_attention_kwargs=self._joint_attention_kwargs,
        )
        state = DenoisingState(latents=latents, prompt_embeds=encoded[0].embeds)
        timesteps = self.prepare_timesteps(steps, sigmas, canvas.grid.num_tokens)
        on_step_end = StepEnd(callback=callback_on_step_end, tensor_inputs=tuple(callback_on_step_end_tensor_inputs))
        self._denoise(state, conditions, timesteps, settings, on_step_end)

        images = self._decode(state.latents, canvas, output_type)
        self.maybe_free_model_hooks()
        size = (canvas.height, canvas.width)
        output = OcclusionFormerPipelineOutput(
            images=images,
            instance_masks=maps_per_picture(state.mask_probability, layouts, canvas.grid, size),
            weights=maps_per_picture(state.weights, layouts, canvas.grid),
        )
        return output if return_dict else output.to_tuple()

    def _check_texts(
        self,
        texts: TextInputs,
        unwanted: TextInputs,
        canvas: Canvas,
        callback_tensor_inputs: Sequence[str],
        max_sequence_length: int,
    ) -> None:
        """FluxPipeline's own checks."""
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

    def _begin(self, guidance_scale: float, joint_attention_kwargs: dict[str, Any] | None) -> None:
        """What FluxPipeline's properties report during a call."""
        self._guidance_scale = guidance_scale
        self._joint_attention_kwargs = joint_attention_kwargs or {}
        self._current_timestep = None
        self._interrupt = False

    def _guidance_embedding(self) -> Tensor | None:
        if not self.transformer.config.guidance_embeds:
            return None
        return torch.full([1], self._guidance_scale, device=self._execution_device, dtype=torch.float32)

    def _place_layouts(
        self, layouts: Layouts, pooled_NP: Tensor | None, grid: TokenGrid, strength: float
    ) -> PlacedLayouts | None:
        if pooled_NP is None:
            return None
        check_group_offload(self.transformer, self.branch)
        check_dtype(self.branch, pooled_NP)
        drawn = {index: layout for index, layout in enumerate(layouts) if layout is not None and layout.instances}
        others = [index for index in range(len(layouts)) if index not in drawn]
        device = pooled_NP.device
        return PlacedLayouts(
            condition=self.prepare_layout(list(drawn.values()), pooled_NP, grid=grid),
            pictures=torch.tensor(list(drawn), dtype=torch.long, device=device),
            others=torch.tensor(others, dtype=torch.long, device=device),
            strength=strength,
        )

    def _denoise(
        self,
        state: DenoisingState,
        conditions: Conditions,
        timesteps: Tensor,
        settings: LayoutSettings,
        on_step_end: StepEnd,
    ) -> None:
        """Run the state from noise to picture; the layout acts on the first steps, the plain backbone on the rest."""
        predictor = VelocityPredictor(
            LayoutFlux(self.transformer, self.branch), conditions, self.config.prediction_type
        )
        active_steps = settings.active_steps(len(timesteps))
        with self.progress_bar(total=len(timesteps)) as progress_bar:
            for step, timestep in enumerate(timesteps):
                if self.interrupt:
                    break
                self._current_timestep = timestep
                state.velocity = predictor.predict(
                    state,
                    timestep,
                    layout_active=step < active_steps,
                    report=settings if step == active_steps - 1 else None,
                )
                stepped = self.scheduler.step(state.velocity, timestep, state.latents, return_dict=False)[0]
                state.latents = stepped.to(state.latents.dtype)
                on_step_end.run(self, step, timestep, state)
                progress_bar.update()
        self._current_timestep = None

    def _decode(self, latents: Tensor, canvas: Canvas, output_type: str) -> Any:
        if output_type == "latent":
            return latents
        latents = self._unpack_latents(latents, canvas.height, canvas.width, self.vae_scale_factor)
        latents = latents / self.vae.config.scaling_factor + self.vae.config.shift_factor
        return self.image_processor.postprocess(self.vae.decode(latents, return_dict=False)[0], output_type=output_type)


def _chosen(value: Any, default: Any) -> Any:
    return default if value is None else value
