"""What flows through a backbone's blocks, and how a method may act inside one.

Legend: B samples, S text tokens, L image tokens, J = S + L, D channels, H heads, E channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

Linear = Callable[[str, nn.Module, Tensor], Tensor]
"""(path in the block, as "attn.to_q"; the layer; its input) -> its output. A method may add a delta of its own."""

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Joint queries, keys and values (B, J, H, E), normalised and rotated, text first -> outputs (B, J, H, E)."""


def call(path: str, layer: nn.Module, x: Tensor) -> Tensor:
    """The layer as it is."""
    output: Tensor = layer(x)
    return output


@dataclass(frozen=True, kw_only=True, slots=True)
class Streams:
    """What goes into a block and comes out of it.

    text_BSD, image_BLD; temb_BD embeds time, guidance and pooled text; rotary: cos and sin (J, E) of [text; image],
    or (B, J, E), with which a block runs in pieces alone; extra: the caller's other joint_attention_kwargs.
    """

    text_BSD: Tensor
    image_BLD: Tensor
    temb_BD: Tensor
    rotary: tuple[Tensor, Tensor]
    extra: dict[str, Any] = field(default_factory=dict)

    def canvas(self, tokens: int) -> Tensor:
        """The first `tokens` image tokens: a host may append those of a reference picture."""
        return self.image_BLD if self.image_BLD.shape[1] == tokens else self.image_BLD[:, :tokens]

    def with_canvas(self, canvas_BLD: Tensor) -> Streams:
        """The same with the first image tokens replaced."""
        rest = self.image_BLD[:, canvas_BLD.shape[1] :]
        return replace(self, image_BLD=torch.cat([canvas_BLD, rest], 1) if rest.shape[1] else canvas_BLD)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attended:
    """Attention outputs behind the output layers, before the gates; prompt_BLD: that of an IP-adapter, if any."""

    text_BSD: Tensor
    image_BLD: Tensor
    prompt_BLD: Tensor | None = None
