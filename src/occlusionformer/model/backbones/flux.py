"""Views of FLUX's transformer blocks: the only file that knows their layer names.

A view runs a block whole, as the backbone would, or in the pieces between which a layout method acts; the pieces run
one after the other give the block's own numbers bit for bit.

Legend: B samples, S text tokens, L image tokens, J = S + L, D channels, H heads, E channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor

from occlusionformer.model.attention import rotate_batch, rotation
from occlusionformer.model.backbones.borrowed import BorrowedDual, BorrowedSingle
from occlusionformer.model.backbones.flux_training import is_quick, quick_attention, quick_query_key_value
from occlusionformer.model.backbones.streams import Attended, Attention, Linear, Streams, call

BlockForward = Callable[..., tuple[Tensor, Tensor]]
"""A block's forward under diffusers' argument names, to (text, image)."""

HALF_LIMIT = 65504
"""The greatest float16: the backbone's blocks cut their outputs at it."""

DUAL_PATHS = {
    "modulation": "norm1.linear",
    "context_modulation": "norm1_context.linear",
    "q": "attn.to_q",
    "k": "attn.to_k",
    "v": "attn.to_v",
    "context_q": "attn.add_q_proj",
    "context_k": "attn.add_k_proj",
    "context_v": "attn.add_v_proj",
    "out": "attn.to_out.0",
    "context_out": "attn.to_add_out",
    "ff_in": "ff.net.0.proj",
    "ff_out": "ff.net.2",
    "context_ff_in": "ff_context.net.0.proj",
    "context_ff_out": "ff_context.net.2",
}
"""Linear layers of a dual-stream block, by our name and by diffusers'."""

SINGLE_PATHS = {
    "modulation": "norm.linear",
    "mlp": "proj_mlp",
    "q": "attn.to_q",
    "k": "attn.to_k",
    "v": "attn.to_v",
    "out": "proj_out",
}
"""Linear layers of a single-stream block."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DualModulated:
    """Normalised and modulated streams, and the modulations (B, D) of what follows: attention gates, feed-forwards."""

    text_BSD: Tensor
    image_BLD: Tensor
    gate: Tensor
    ff_shift: Tensor
    ff_scale: Tensor
    ff_gate: Tensor
    context_gate: Tensor
    context_ff_shift: Tensor
    context_ff_scale: Tensor
    context_ff_gate: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleModulated:
    """The joint sequence, text first, normalised and modulated; gate (B, D)."""

    joint_BJD: Tensor
    gate: Tensor


class DualBlock:
    """A view of one dual-stream block: `index` among its kind, `position` among all blocks.

    run is the block's own forward; a block that overrides it gives the stock one as `forward`.
    """

    def __init__(self, index: int, block: Any, *, position: int = 0, forward: BlockForward | None = None) -> None:
        self.index, self.position = index, position
        self._block = block
        self._forward = block if forward is None else forward

    @property
    def borrowed(self) -> BorrowedDual:
        block, attn = self._block, self._block.attn
        ff, context_ff = block.ff.net, block.ff_context.net
        return BorrowedDual(
            norm=block.norm1.norm, modulation=block.norm1.linear,
            context_norm=block.norm1_context.norm, context_modulation=block.norm1_context.linear,
            q=attn.to_q, k=attn.to_k, v=attn.to_v,
            context_q=attn.add_q_proj, context_k=attn.add_k_proj, context_v=attn.add_v_proj,
            norm_q=attn.norm_q, norm_k=attn.norm_k,
            context_norm_q=attn.norm_added_q, context_norm_k=attn.norm_added_k,
            out=attn.to_out[0], context_out=attn.to_add_out,
            ff_norm=block.norm2, ff_in=ff[0], ff_out=ff[2],
            context_ff_norm=block.norm2_context, context_ff_in=context_ff[0], context_ff_out=context_ff[2],
        )  # fmt: skip

    def run(self, streams: Streams) -> Streams:
        """The whole block."""
        return _run(self._forward, streams)

    def modulate(self, streams: Streams, linear: Linear = call) -> DualModulated:
        block = self._block
        image_BLD, *image = _modulated(block.norm1, "norm1", streams.image_BLD, streams.temb_BD, linear)
        text_BSD, *text = _modulated(block.norm1_context, "norm1_context", streams.text_BSD, streams.temb_BD, linear)
        return DualModulated(
            text_BSD=text_BSD, image_BLD=image_BLD, gate=image[0], ff_shift=image[1], ff_scale=image[2],
            ff_gate=image[3], context_gate=text[0], context_ff_shift=text[1], context_ff_scale=text[2],
            context_ff_gate=text[3],
        )  # fmt: skip

    def query_key_value(
        self, modulated: DualModulated, streams: Streams, linear: Linear = call
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of [text; image], (B, J, H, E), normalised and rotated."""
        attn = self._block.attn
        if is_quick(attn, modulated.image_BLD):
            return quick_query_key_value(attn, modulated.image_BLD, modulated.text_BSD, streams.rotary, linear)
        query, key, value = _projected(attn, ("to_q", "to_k", "to_v"), modulated.image_BLD, linear)
        names = ("add_q_proj", "add_k_proj", "add_v_proj")
        text_query, text_key, text_value = _projected(attn, names, modulated.text_BSD, linear)
        query = torch.cat([attn.norm_added_q(text_query), attn.norm_q(query)], 1)
        key = torch.cat([attn.norm_added_k(text_key), attn.norm_k(key)], 1)
        return turned(query, streams.rotary), turned(key, streams.rotary), torch.cat([text_value, value], 1)

    def attend(
        self,
        modulated: DualModulated,
        streams: Streams,
        *,
        attention: Attention | None = None,
        mask: Tensor | None = None,
        linear: Linear = call,
    ) -> Attended:
        """Joint attention with its output layers.

        attention replaces the core; mask (broadcast to (B, H, J, J), True or 0 where a token attends) goes to the
        block's own. An IP-adapter acts in every case.
        """
        attn = self._block.attn
        if attention is None and linear is call and streams.rotary[0].ndim == 2:
            outputs = attn(
                hidden_states=modulated.image_BLD,
                encoder_hidden_states=modulated.text_BSD,
                image_rotary_emb=streams.rotary,
                **with_mask(streams.extra, mask),
            )
            image_BLD, text_BSD, *prompts = outputs
            return Attended(text_BSD=text_BSD, image_BLD=image_BLD, prompt_BLD=prompts[0] if prompts else None)
        joint_BJD = _attended(attn, self.query_key_value(modulated, streams, linear), attention, mask, streams.extra)
        prompt_BLD = _prompted(attn, modulated.image_BLD, streams.extra, linear)
        text_BSD, image_BLD = joint_BJD.tensor_split([streams.text_BSD.shape[1]], 1)
        if prompt_BLD is None:  # as diffusers' processors do it: in half formats a copy takes another kernel
            text_BSD, image_BLD = text_BSD.contiguous(), image_BLD.contiguous()
        return Attended(
            text_BSD=linear("attn.to_add_out", attn.to_add_out, text_BSD),
            image_BLD=attn.to_out[1](linear("attn.to_out.0", attn.to_out[0], image_BLD)),
            prompt_BLD=prompt_BLD,
        )

    def finish(
        self,
        streams: Streams,
        modulated: DualModulated,
        attended: Attended,
        *,
        before_feed_forward: Callable[[Tensor], Tensor] | None = None,
        linear: Linear = call,
    ) -> Streams:
        """Residuals and feed-forwards; before_feed_forward maps the image tokens (B, L, D) after the attention's."""
        block = self._block
        image_BLD = streams.image_BLD + modulated.gate.unsqueeze(1) * attended.image_BLD
        if before_feed_forward is not None:
            image_BLD = before_feed_forward(image_BLD)
        normed = block.norm2(image_BLD) * (1 + modulated.ff_scale[:, None]) + modulated.ff_shift[:, None]
        image_BLD = image_BLD + modulated.ff_gate.unsqueeze(1) * _fed_forward(block.ff, "ff", normed, linear)
        if attended.prompt_BLD is not None:
            image_BLD = image_BLD + attended.prompt_BLD
        text_BSD = streams.text_BSD + modulated.context_gate.unsqueeze(1) * attended.text_BSD
        normed = block.norm2_context(text_BSD) * (1 + modulated.context_ff_scale[:, None])
        normed = normed + modulated.context_ff_shift[:, None]
        update = _fed_forward(block.ff_context, "ff_context", normed, linear)
        text_BSD = text_BSD + modulated.context_ff_gate.unsqueeze(1) * update
        return replace(streams, text_BSD=_within_half(text_BSD), image_BLD=image_BLD)


class SingleBlock:
    """A view of one single-stream block; see DualBlock."""

    def __init__(self, index: int, block: Any, *, position: int = 0, forward: BlockForward | None = None) -> None:
        self.index, self.position = index, position
        self._block = block
        self._forward = block if forward is None else forward

    @property
    def borrowed(self) -> BorrowedSingle:
        block, attn = self._block, self._block.attn
        return BorrowedSingle(
            norm=block.norm.norm, modulation=block.norm.linear, q=attn.to_q, k=attn.to_k, v=attn.to_v,
            norm_q=attn.norm_q, norm_k=attn.norm_k, mlp=block.proj_mlp, mlp_act=block.act_mlp, out=block.proj_out,
        )  # fmt: skip

    def run(self, streams: Streams) -> Streams:
        """The whole block."""
        return _run(self._forward, streams)

    def modulate(self, streams: Streams, linear: Linear = call) -> SingleModulated:
        joint_BJD = torch.cat([streams.text_BSD, streams.image_BLD], 1)
        joint_BJD, gate = _modulated(self._block.norm, "norm", joint_BJD, streams.temb_BD, linear)
        return SingleModulated(joint_BJD=joint_BJD, gate=gate)

    def query_key_value(
        self, modulated: SingleModulated, streams: Streams, linear: Linear = call
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of [text; image], (B, J, H, E), normalised and rotated."""
        attn = self._block.attn
        if is_quick(attn, modulated.joint_BJD):
            return quick_query_key_value(attn, modulated.joint_BJD, None, streams.rotary, linear)
        query, key, value = _projected(attn, ("to_q", "to_k", "to_v"), modulated.joint_BJD, linear)
        return turned(attn.norm_q(query), streams.rotary), turned(attn.norm_k(key), streams.rotary), value

    def attend(
        self,
        modulated: SingleModulated,
        streams: Streams,
        *,
        attention: Attention | None = None,
        mask: Tensor | None = None,
        linear: Linear = call,
    ) -> Tensor:
        """Joint attention (B, J, D); attention and mask as in a dual block."""
        attn = self._block.attn
        if attention is None and linear is call and streams.rotary[0].ndim == 2:
            output: Tensor = attn(
                hidden_states=modulated.joint_BJD,
                image_rotary_emb=streams.rotary,
                **with_mask(streams.extra, mask),
            )
            return output
        return _attended(attn, self.query_key_value(modulated, streams, linear), attention, mask, streams.extra)

    def finish(
        self,
        streams: Streams,
        modulated: SingleModulated,
        attended_BJD: Tensor,
        *,
        extra_BLD: Tensor | None = None,
        linear: Linear = call,
    ) -> Streams:
        """MLP, output layer and residual; extra_BLD is added to the image tokens with it."""
        block = self._block
        mlp = block.act_mlp(linear("proj_mlp", block.proj_mlp, modulated.joint_BJD))
        update = modulated.gate.unsqueeze(1) * linear("proj_out", block.proj_out, torch.cat([attended_BJD, mlp], 2))
        texts = streams.text_BSD.shape[1]
        text_BSD = streams.text_BSD + update[:, :texts]
        image_BLD = streams.image_BLD + update[:, texts:]
        if extra_BLD is not None:
            image_BLD = image_BLD + extra_BLD
        return replace(streams, text_BSD=_within_half(text_BSD), image_BLD=_within_half(image_BLD))


def turned(x_BJHE: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding by tables (J, E), the same for all of the batch, or (B, J, E)."""
    if rotary[0].ndim == 2:
        output: Tensor = apply_rotary_emb(x_BJHE, rotary, sequence_dim=1)
        return output
    return rotate_batch(x_BJHE, rotation(*rotary))


def _run(forward: BlockForward, streams: Streams) -> Streams:
    text_BSD, image_BLD = forward(
        hidden_states=streams.image_BLD,
        encoder_hidden_states=streams.text_BSD,
        temb=streams.temb_BD,
        image_rotary_emb=streams.rotary,
        joint_attention_kwargs=dict(streams.extra),
    )
    return replace(streams, text_BSD=text_BSD, image_BLD=image_BLD)


def _modulated(norm: Any, name: str, x: Tensor, temb_BD: Tensor, linear: Linear) -> tuple[Tensor, ...]:
    """Normalised by the first shift and scale; the other modulations follow."""
    modulation = linear(f"{name}.linear", norm.linear, norm.silu(temb_BD))
    shift, scale, *rest = modulation.chunk(modulation.shape[1] // temb_BD.shape[1], dim=1)
    return norm.norm(x) * (1 + scale[:, None]) + shift[:, None], *rest


def _projected(attn: Any, names: tuple[str, ...], x: Tensor, linear: Linear) -> list[Tensor]:
    return [linear(f"attn.{name}", getattr(attn, name), x).unflatten(-1, (-1, attn.head_dim)) for name in names]


def _attended(
    attn: Any,
    joint: tuple[Tensor, Tensor, Tensor],
    attention: Attention | None,
    mask: Tensor | None,
    extra: dict[str, Any],
) -> Tensor:
    """The core of joint attention: (B, J, D)."""
    query, key, value = joint
    if attention is not None:
        output = attention(query, key, value)
    else:
        mask = with_mask(extra, mask).get("attention_mask")
        if is_quick(attn, query):
            return quick_attention(query, key, value, mask).flatten(2, 3)
        output = dispatch_attention_fn(query, key, value, attn_mask=mask, **_kernel(attn.processor))
    return output.flatten(2, 3).to(query.dtype)


def _prompted(attn: Any, image_BLD: Tensor, extra: dict[str, Any], linear: Linear) -> Tensor | None:
    """What the picture prompts of an IP-adapter add to the image tokens; None without one."""
    processor, prompts = attn.processor, extra.get("ip_hidden_states")
    if prompts is None or not hasattr(processor, "to_k_ip"):
        return None
    query = attn.norm_q(_projected(attn, ("to_q",), image_BLD, linear)[0])
    added = torch.zeros_like(image_BLD)
    for prompt, scale, to_key, to_value in zip(
        prompts, processor.scale, processor.to_k_ip, processor.to_v_ip, strict=True
    ):
        shape = (query.shape[0], -1, *query.shape[2:])
        key, value = to_key(prompt).view(shape), to_value(prompt).view(shape)
        output = dispatch_attention_fn(query, key, value, **_kernel(processor))
        added = added + scale * output.flatten(2, 3).to(query.dtype)
    return added


def _kernel(processor: Any) -> dict[str, Any]:
    """Which attention kernel the user has chosen, under the names that this diffusers release takes."""
    chosen = {"backend": getattr(processor, "_attention_backend", None)}
    parallel = getattr(processor, "_parallel_config", None)
    return chosen if parallel is None else {**chosen, "parallel_config": parallel}


def _fed_forward(feed_forward: Any, name: str, x: Tensor, linear: Linear) -> Tensor:
    if linear is call:
        output: Tensor = feed_forward(x)
        return output
    entry, dropout, last = feed_forward.net
    return linear(f"{name}.net.2", last, dropout(entry.gelu(linear(f"{name}.net.0.proj", entry.proj, x))))


def with_mask(extra: dict[str, Any], mask: Tensor | None) -> dict[str, Any]:
    """joint_attention_kwargs with a mask of the joint attention."""
    if mask is None:
        return extra
    if extra.get("attention_mask") is not None:
        raise ValueError("joint_attention_kwargs['attention_mask']: expected none beside a layout that gives one")
    return {**extra, "attention_mask": mask}


def _within_half(x: Tensor) -> Tensor:
    return x.clip(-HALF_LIMIT, HALF_LIMIT) if x.dtype == torch.float16 else x
