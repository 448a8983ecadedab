"""FLUX's transformer with a layout as an argument of its call: a drop-in for every Flux pipeline of diffusers.

The forward loop stays diffusers' own. The transformer opens a method's state and passes it where the blocks look for
it; a block hands itself, as a view, to the state. Caches, offloading and hooks that wrap a block thus wrap its layout
part with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from diffusers.configuration_utils import FrozenDict, register_to_config
from diffusers.loaders import peft
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401 (diffusers looks for it beside a class it loads)
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.utils.peft_utils import scale_lora_layers, unscale_lora_layers
from torch import Tensor, nn

from occlusionformer.model.backbones.flux import with_mask
from occlusionformer.model.backbones.flux_blocks import (
    LAYOUT,
    TWINS,
    check_adoptable,
    hook_again,
    shared,
    taken,
    twin,
)
from occlusionformer.model.backbones.text_places import PlacedPatches, placed_ids
from occlusionformer.model.config import BackboneShape
from occlusionformer.model.method import PreparedLayouts, Side, StepInputs
from occlusionformer.tensors.flow import velocity_from_sample

PREDICTIONS = ("velocity", "sample")

# diffusers 0.35 weighs adapters by a table of class names.
_adapter_scales = getattr(peft, "_SET_ADAPTER_SCALE_FN_MAPPING", {})
_adapter_scales["LayoutFluxTransformer2DModel"] = _adapter_scales.get(
    "FluxTransformer2DModel", lambda _, scales: scales
)


class _DropIn(type(FluxTransformer2DModel)):  # type: ignore[misc]
    """Lets the class pass for the one it extends where classes are compared.

    `from_pipe` of diffusers' pipelines takes a transformer over only if its type equals the annotated one.
    """

    def __eq__(cls, other: object) -> bool:
        return cls is other or other is FluxTransformer2DModel

    __hash__ = type.__hash__


class LayoutFluxTransformer2DModel(FluxTransformer2DModel, metaclass=_DropIn):
    """FluxTransformer2DModel whose joint_attention_kwargs may hold a `layout`, as a pipeline's `prepare` makes it.

    Without one (None, no instances, strength 0, a noise level below its range) it is the stock forward, bit for bit.
    prediction_type "sample": the weights predict the clean picture, which leaves the transformer as a velocity.
    text_places: which rows of the text lie in the picture, see `placed_ids`; none of FLUX's do.
    """

    _no_split_modules = ("LayoutFluxTransformerBlock", "LayoutFluxSingleTransformerBlock")
    _repeated_blocks = ("LayoutFluxTransformerBlock", "LayoutFluxSingleTransformerBlock")
    _context_name: str | None = None

    @register_to_config
    def __init__(  # noqa: PLR0913 (FluxTransformer2DModel's arguments)
        self,
        patch_size: int = 1,
        in_channels: int = 64,
        out_channels: int | None = None,
        num_layers: int = 19,
        num_single_layers: int = 38,
        attention_head_dim: int = 128,
        num_attention_heads: int = 24,
        joint_attention_dim: int = 4096,
        pooled_projection_dim: int = 768,
        guidance_embeds: bool = False,
        axes_dims_rope: tuple[int, int, int] = (16, 56, 56),
        prediction_type: str = "velocity",
        text_places: Sequence[PlacedPatches] = (),
    ) -> None:
        if prediction_type not in PREDICTIONS:
            raise ValueError(f"prediction_type: expected 'velocity' or 'sample', got {prediction_type!r}")
        super().__init__(
            patch_size=patch_size,
            in_channels=in_channels,
            out_channels=out_channels,
            num_layers=num_layers,
            num_single_layers=num_single_layers,
            attention_head_dim=attention_head_dim,
            num_attention_heads=num_attention_heads,
            joint_attention_dim=joint_attention_dim,
            pooled_projection_dim=pooled_projection_dim,
            guidance_embeds=guidance_embeds,
            axes_dims_rope=axes_dims_rope,
        )
        self._take_blocks(self)

    @classmethod
    def adopt(
        cls, stock: FluxTransformer2DModel, *, prediction_type: str | None = None
    ) -> LayoutFluxTransformer2DModel:
        """A drop-in that shares every weight, layer and setting with a stock transformer, which stays as it is.

        What acts on a layer inside a block (LoRA, quantisation, `to`) acts on both; what replaces an outer layer, such
        as `proj_out`, acts on the one it is done to. Raises TypeError for another class, ValueError for a transformer
        with caches, group offloading or compiled blocks: those belong to one object, so they come after adoption.
        A drop-in is returned as it is, unless another prediction_type is asked of it; None is "velocity".
        """
        if prediction_type not in (None, *PREDICTIONS):
            raise ValueError(f"prediction_type: expected 'velocity' or 'sample', got {prediction_type!r}")
        if isinstance(stock, cls):
            has = stock.config.prediction_type
            if prediction_type not in (None, has):
                raise ValueError(
                    f"prediction_type: expected {has!r} as the transformer has it, got {prediction_type!r}"
                )
            return stock
        check_adoptable(stock)
        adopted = cls.__new__(cls)
        adopted.__dict__ = shared(stock)
        adopted.__dict__["_modules"] = dict(stock._modules)
        adopted._take_blocks(stock)
        config = {**stock.config, "prediction_type": prediction_type or "velocity", "_class_name": cls.__name__}
        adopted._internal_dict = FrozenDict(config)
        hook_again(stock, adopted)
        return adopted

    def _take_blocks(self, stock: FluxTransformer2DModel) -> None:
        """Put twins in the place of the stock blocks."""
        position = 0
        for name in TWINS:
            blocks = []
            for index, block in enumerate(getattr(stock, name)):
                blocks.append(twin(name, block, index=index, position=position))
                position += 1
            self._modules[name] = nn.ModuleList(blocks)

    def forward(  # noqa: PLR0913 (FluxTransformer2DModel's arguments)
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        pooled_projections: Tensor | None = None,
        timestep: Tensor | None = None,
        img_ids: Tensor | None = None,
        txt_ids: Tensor | None = None,
        guidance: Tensor | None = None,
        joint_attention_kwargs: dict[str, Any] | None = None,
        controlnet_block_samples: tuple[Tensor, ...] | None = None,
        controlnet_single_block_samples: tuple[Tensor, ...] | None = None,
        return_dict: bool = True,
        controlnet_blocks_repeat: bool = False,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """As FluxTransformer2DModel, which says what the arguments are; timestep 0..1.

        joint_attention_kwargs["layout"]: PreparedLayouts of as many pictures as the batch has. TypeError for anything
        else there; ValueError where batch, canvas or noise levels do not fit it.
        """
        prepared, extra = taken(joint_attention_kwargs)
        if prepared is not None and not isinstance(prepared, PreparedLayouts):
            raise TypeError(
                "joint_attention_kwargs['layout']: expected PreparedLayouts, as a pipeline's prepare() makes it, "
                f"got {type(prepared).__name__}"
            )
        call = _Call(
            hidden_states=hidden_states,
            encoder_hidden_states=encoder_hidden_states,
            pooled_projections=pooled_projections,
            timestep=timestep,
            img_ids=img_ids,
            txt_ids=self._placed(txt_ids, img_ids),
            guidance=guidance,
            controlnet_block_samples=controlnet_block_samples,
            controlnet_single_block_samples=controlnet_single_block_samples,
            controlnet_blocks_repeat=controlnet_blocks_repeat,
        )
        if prepared is not None and _acts(prepared, call, side := self._side(prepared, call)):
            sample = self._with_layout(prepared, call, side, extra)
        else:
            sample = super().forward(**vars(call), joint_attention_kwargs=extra, return_dict=False)[0]
        if self.config.prediction_type == "sample":
            noisy = hidden_states[..., : sample.shape[-1]]
            sample = velocity_from_sample(noisy, sample, call.timestep)
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

    def _placed(self, text_ids: Tensor | None, image_ids: Tensor | None) -> Tensor | None:
        places = self.config.get("text_places", ())
        if not places or text_ids is None or image_ids is None:
            return text_ids
        return placed_ids(_flat(text_ids), _flat(image_ids), places)

    def _with_layout(self, prepared: PreparedLayouts, call: _Call, side: Side, extra: dict[str, Any] | None) -> Tensor:
        onload(prepared.method)
        reports = side == "cond" and prepared.reports
        if not reports:
            prepared = replace(prepared, want_masks=False, want_weights=False)
        with _lora_scaled(self, extra) as rest:
            state = prepared.method.open(prepared, self._step_inputs(call, side))
            if state.encoder_hidden_states is not None:
                call.encoder_hidden_states = state.encoder_hidden_states
            if state.text_ids is not None:
                call.txt_ids = state.text_ids
            if state.attention_mask is not None:
                rest = with_mask(rest, state.attention_mask)
            sample: Tensor = super().forward(
                **vars(call), joint_attention_kwargs={**rest, LAYOUT: state}, return_dict=False
            )[0]
        if reports:
            state.tell(prepared.report)
        return sample

    def _step_inputs(self, call: _Call, side: Side) -> StepInputs:
        assert call.encoder_hidden_states is not None
        return StepInputs(
            hidden_states=call.hidden_states,
            encoder_hidden_states=call.encoder_hidden_states,
            pooled_BP=call.pooled_projections,
            timestep_B=_for_every_picture(call.timestep, call),
            guidance_B=None if call.guidance is None else _for_every_picture(call.guidance, call),
            text_ids=_flat(call.txt_ids),
            image_ids=_flat(call.img_ids),
            side=side,
            time_embedding=self.time_embedding,
            text_embedding=self.context_embedder,
            rotary=lambda ids: self.pos_embed(ids.float()),
            text_places=tuple(self.config.get("text_places", ())),
        )

    def time_embedding(self, timestep: Tensor, guidance: Tensor | None, pooled: Tensor) -> Tensor:
        """Embedding (N, D) of time, guidance and pooled text; guidance is dropped by a backbone without it.

        Time and guidance are multiplied by 1000 in pooled's number format, as the stock forward does.
        """
        timestep = timestep.to(pooled.dtype) * 1000
        if guidance is None or not self.config.guidance_embeds:
            embedding: Tensor = self.time_text_embed(timestep, pooled)
        else:
            embedding = self.time_text_embed(timestep, guidance.to(pooled.dtype) * 1000, pooled)
        return embedding

    @contextmanager
    def cache_context(self, name: str, **details: Any) -> Iterator[None]:
        """As diffusers' own, and how the transformer learns which half of guidance a call is."""
        before, self._context_name = self._context_name, name
        try:
            with super().cache_context(name, **details):
                yield
        finally:
            self._context_name = before

    def _side(self, prepared: PreparedLayouts, call: _Call) -> Side:
        """The half of guidance: as the pipeline says, else from the order of its calls."""
        if self._context_name is not None:
            return "uncond" if self._context_name == "uncond" else "cond"
        assert call.encoder_hidden_states is not None
        return prepared.report.side(call.hidden_states, call.encoder_hidden_states)


@dataclass(kw_only=True)
class _Call:
    """The arguments of one forward, under the stock transformer's names."""

    hidden_states: Tensor
    encoder_hidden_states: Tensor | None
    pooled_projections: Any
    timestep: Any
    img_ids: Any
    txt_ids: Any
    guidance: Tensor | None
    controlnet_block_samples: tuple[Tensor, ...] | None
    controlnet_single_block_samples: tuple[Tensor, ...] | None
    controlnet_blocks_repeat: bool


def _acts(prepared: PreparedLayouts, call: _Call, side: Side) -> bool:
    """Whether the method has a part in this forward; ValueError where the layouts belong to another one."""
    method = prepared.method
    if prepared.strength == 0 or not method.acts_on(prepared) or (side == "uncond" and method.negative == "none"):
        return False
    if not prepared.acts_at(call.timestep):
        return False
    _check_fits(prepared, call)
    return True


def _check_fits(prepared: PreparedLayouts, call: _Call) -> None:
    pictures, tokens = call.hidden_states.shape[:2]
    grid = prepared.grid
    problems = []
    if pictures != prepared.num_pictures:
        problems.append(
            f"layout: expected one for each of the batch's {pictures} pictures, got {prepared.num_pictures}"
        )
    if tokens < grid.num_tokens:
        problems.append(f"layout: expected a grid of {tokens} tokens, got {grid.height} x {grid.width}")
    elif prepared.check_ids and not prepared.report.ids_checked:
        last = _flat(call.img_ids)[grid.num_tokens - 1].tolist()
        if last[-2:] != [grid.height - 1, grid.width - 1]:
            problems.append(
                f"layout: expected the canvas of the picture, whose token {grid.num_tokens} lies at {last[-2:]}, "
                f"got a grid of {grid.height} x {grid.width} tokens"
            )
        prepared.report.ids_checked = True
    if problems:
        raise ValueError("\n".join(problems))


def _for_every_picture(number: Tensor, call: _Call) -> Tensor:
    """(B,) of a number that a host tells once for the whole batch, as diffusers' modular pipelines do."""
    return number.expand(call.hidden_states.shape[0])


def _flat(ids: Tensor) -> Tensor:
    """Position ids without the deprecated batch dimension."""
    return ids[0] if ids.ndim == 3 else ids


@contextmanager
def _lora_scaled(transformer: nn.Module, extra: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Weigh the user's LoRAs by the `scale` entry, as the stock forward does, for the method too; yields the rest."""
    rest = dict(extra or {})
    scale = rest.pop("scale", 1.0)
    scale_lora_layers(transformer, scale)
    try:
        yield rest
    finally:
        unscale_lora_layers(transformer, scale)


def backbone_shape(transformer: FluxTransformer2DModel) -> BackboneShape:
    """The sizes a method has to fit."""
    config = transformer.config
    return BackboneShape(
        num_dual=config.num_layers,
        num_single=config.num_single_layers,
        num_heads=config.num_attention_heads,
        head_dim=config.attention_head_dim,
        pooled_dim=config.pooled_projection_dim,
    )


def onload(module: nn.Module) -> None:
    """Let accelerate bring an offloaded module in, as it does before a forward."""
    hook = getattr(module, "_hf_hook", None)
    if hook is not None:
        hook.pre_forward(module)
