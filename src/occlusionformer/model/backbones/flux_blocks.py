"""FLUX's blocks as twins of the stock ones: same layers, and a forward that gives way to a layout method."""

from __future__ import annotations

from typing import Any, Literal

from accelerate.hooks import add_hook_to_module
from diffusers.hooks import HookRegistry
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models.transformers.transformer_flux import (
    FluxSingleTransformerBlock,
    FluxTransformer2DModel,
    FluxTransformerBlock,
)
from torch import Tensor, nn

from occlusionformer.model.backbones.flux import DualBlock, SingleBlock
from occlusionformer.model.backbones.streams import Streams

LAYOUT = "layout"
"""The entry of joint_attention_kwargs: PreparedLayouts for the transformer, one forward's ForwardState for a block."""


class GivesWay(nn.Module):
    """A stock block's forward, to come before it among the bases: a layout method's state, where one comes, runs it.

    index: among its kind; position: among all blocks.
    """

    index, position = 0, 0
    view: type[DualBlock] | type[SingleBlock]
    kind: Literal["dual", "single"]
    """The state's method that runs a view of this kind."""

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        temb: Tensor,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
        joint_attention_kwargs: dict[str, Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As the stock block; returns (text, image)."""
        state, extra = taken(joint_attention_kwargs)
        if state is None:
            stock: tuple[Tensor, Tensor] = super().forward(
                hidden_states, encoder_hidden_states, temb, image_rotary_emb, extra
            )
            return stock
        rotary: Any = image_rotary_emb  # the transformer always gives one
        streams = Streams(
            text_BSD=encoder_hidden_states,
            image_BLD=hidden_states,
            temb_BD=temb,
            rotary=rotary,
            extra=extra or {},
        )
        view = self.view(self.index, self, position=self.position, forward=super().forward)
        after = getattr(state, self.kind)(self.index, view, streams)
        return after.text_BSD, after.image_BLD


class LayoutFluxTransformerBlock(GivesWay, FluxTransformerBlock):
    """A dual-stream block that gives way to a layout method."""

    view, kind = DualBlock, "dual"


class LayoutFluxSingleTransformerBlock(GivesWay, FluxSingleTransformerBlock):
    """A single-stream block that gives way to a layout method."""

    view, kind = SingleBlock, "single"


TWINS = {
    "transformer_blocks": (FluxTransformerBlock, LayoutFluxTransformerBlock),
    "single_transformer_blocks": (FluxSingleTransformerBlock, LayoutFluxSingleTransformerBlock),
}
"""Lists of blocks, and what stands in them before and after."""

for _twin in (LayoutFluxTransformerBlock, LayoutFluxSingleTransformerBlock):
    TransformerBlockRegistry.register(
        model_class=_twin,
        metadata=TransformerBlockMetadata(return_hidden_states_index=1, return_encoder_hidden_states_index=0),
    )


def taken(joint_attention_kwargs: dict[str, Any] | None) -> tuple[Any, dict[str, Any] | None]:
    """The layout entry and a copy of the rest."""
    if joint_attention_kwargs is None:
        return None, None
    return joint_attention_kwargs.get(LAYOUT), {k: v for k, v in joint_attention_kwargs.items() if k != LAYOUT}


def twin(name: str, block: nn.Module, *, index: int, position: int) -> nn.Module:
    """A block for the list `name`, around the same layers; `position` counts through both lists."""
    cls: Any = TWINS[name][1]
    new = cls.__new__(cls)
    new.__dict__ = shared(block)
    new.index, new.position = index, position
    hook_again(block, new)
    assert isinstance(new, nn.Module)
    return new


def shared(module: nn.Module) -> dict[str, Any]:
    """A module's attributes, without what accelerate has put over its forward."""
    return {name: value for name, value in vars(module).items() if name not in ("forward", "_old_forward", "_hf_hook")}


def hook_again(old: nn.Module, new: nn.Module) -> None:
    """Put the hook that accelerate has on one module on another."""
    hook = getattr(old, "_hf_hook", None)
    if hook is not None:
        add_hook_to_module(new, hook)


def check_adoptable(stock: Any) -> None:
    """TypeError for another transformer than FLUX's, ValueError for one with hooks that know their object."""
    if not isinstance(stock, FluxTransformer2DModel) or type(stock).forward is not FluxTransformer2DModel.forward:
        raise TypeError(f"transformer: expected a FluxTransformer2DModel, got {type(stock).__name__}")
    for name, (kind, _) in TWINS.items():
        strangers = {type(block).__name__ for block in getattr(stock, name) if type(block).forward is not kind.forward}
        if strangers:
            raise TypeError(f"transformer.{name}: expected {kind.__name__}, got {', '.join(sorted(strangers))}")
        for module in (stock, *getattr(stock, name)):
            registry = vars(module).get("_diffusers_hook")
            hooked = isinstance(registry, HookRegistry) and registry.hooks
            if hooked or vars(module).get("_compiled_call_impl") is not None:
                raise ValueError(
                    "transformer: expected one without caches, group offloading or compiled blocks, which belong to "
                    "one object: make the pipeline first, then enable them on its transformer"
                )
