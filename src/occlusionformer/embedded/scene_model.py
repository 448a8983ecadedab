"""The numbers of the second embedded model: a Flux-shaped transformer over latents of scenes, and its branch.

The geometry is FLUX.1's: 8 x 8 pixels become 16 numbers, a token is 16 x 16 pixels and 64 numbers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from occlusionformer.embedded import config
from occlusionformer.model.config import BackboneShape, BranchConfig

AUTOENCODER = Path(__file__).with_name("scene_autoencoder")
TEXT = Path(__file__).with_name("scene_text")
CANVAS = 256
"""Usual side in pixels; it is trained on canvases of 192 to 320 a side."""
TEXT_TOKENS = 32
"""Tokens of the prompt that are read: a background and up to four objects, or the background alone."""
TEXT_WIDTH = 256
STEPS = 4
SHIFT = 3.0

SHAPE = BackboneShape(num_dual=1, num_single=4, num_heads=6, head_dim=64, pooled_dim=TEXT_WIDTH)

BACKBONE: dict[str, Any] = {
    **config.BACKBONE,
    "in_channels": 64,
    "num_layers": SHAPE.num_dual,
    "num_single_layers": SHAPE.num_single,
    "num_attention_heads": SHAPE.num_heads,
}
"""Arguments of the stock transformer; the rest is as in the first embedded model."""


def scene_branch() -> BranchConfig:
    """As that of the first embedded model, at this width."""
    return replace(config.embedded_branch(), num_heads=SHAPE.num_heads)
