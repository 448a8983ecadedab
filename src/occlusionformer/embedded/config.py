"""The numbers of the model that ships with the package: a Flux-shaped transformer over pixels, and its branch."""

from __future__ import annotations

from typing import Any

from occlusionformer.model.config import BackboneShape, BranchConfig

PIXELS_PER_TOKEN = 16
"""The codec keeps 8 x 8 pixels in one latent position and Flux packs 2 x 2 positions into a token."""
CANVAS = 128
"""Side of the pictures it was trained on, in pixels: 64 tokens."""
TEXT_TOKENS = 16
"""Tokens of the prompt that are read; it describes the background alone, objects are read from their captions."""
TEXT_WIDTH = 256
STEPS = 2
SHIFT = 9.0
"""Static timestep shift of the sampler: both steps are near noise, where the layout decides the picture.

Measured on 2 x 60 complex scenes, 1 to 6 steps and shifts of 3.5 to 50: experiments/embedded/README.md. A token's 768
values do not fit the 256 channels of the model, so that later steps, which should keep what is there already, lose
some of it."""

SHAPE = BackboneShape(num_dual=1, num_single=4, num_heads=4, head_dim=64, pooled_dim=TEXT_WIDTH)

BACKBONE: dict[str, Any] = {
    "patch_size": 1,
    "in_channels": 3 * PIXELS_PER_TOKEN**2,
    "num_layers": SHAPE.num_dual,
    "num_single_layers": SHAPE.num_single,
    "attention_head_dim": SHAPE.head_dim,
    "num_attention_heads": SHAPE.num_heads,
    "joint_attention_dim": TEXT_WIDTH,
    "pooled_projection_dim": TEXT_WIDTH,
    "guidance_embeds": False,
    "axes_dims_rope": (8, 28, 28),
}
"""Arguments of the stock transformer. No guidance: it is not distilled from anything."""


def embedded_branch() -> BranchConfig:
    """A branch that carries most of the work: own modulation, box coordinates and MLP for every instance.

    The last block of the backbone has no layout block after it, so that object edges inside a token are drawn by a
    layer that sees all instances. Measured choices: without own modulation and coordinates a model this small does
    not learn what its objects look like.
    """
    return BranchConfig(
        num_heads=SHAPE.num_heads,
        head_dim=SHAPE.head_dim,
        pooled_dim=SHAPE.pooled_dim,
        dual_blocks=(0,),
        single_blocks=(0, 2),
        lora_rank=16,
        second_feed_forward="none",
        instance_modulation=True,
        box_coordinates=True,
        instance_mlp_ratio=4,
    )
