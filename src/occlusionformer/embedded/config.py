"""The shapes of the packaged model: a Flux-shaped transformer over latents, and its branch."""

from __future__ import annotations

from typing import Any

from occlusionformer.embedded.packaged import EMBEDDED, LOOK_PATCHES, TEXT_WIDTH
from occlusionformer.layout.composed import PLACES
from occlusionformer.model.config import BranchConfig

HEAD_DIM, NUM_DUAL, NUM_SINGLE = 64, 1, 4


LOOKS_PLACED = {"looks": "placed"}
"""Beside the weights of a backbone that learnt `look_places`."""


def look_places() -> list[tuple[float, ...]]:
    """Where what a prompt's objects look like lies in the picture, as `model.backbones.text_places` has it."""
    size = LOOK_PATCHES**2
    return [(EMBEDDED.look_start + number * size, LOOK_PATCHES, *place) for number, place in enumerate(PLACES)]


def backbone_settings(*, looks_placed: bool = False) -> dict[str, Any]:
    """Arguments of the stock transformer. No guidance: it is not distilled from anything.

    looks_placed: its text has `look_places`.
    """
    return {
        "patch_size": 1,
        "in_channels": EMBEDDED.token_channels,
        "num_layers": NUM_DUAL,
        "num_single_layers": NUM_SINGLE,
        "attention_head_dim": HEAD_DIM,
        "num_attention_heads": EMBEDDED.num_heads,
        "joint_attention_dim": TEXT_WIDTH,
        "pooled_projection_dim": TEXT_WIDTH,
        "guidance_embeds": False,
        "axes_dims_rope": (8, 28, 28),
    } | ({"text_places": look_places()} if looks_placed else {})


def branch_config() -> BranchConfig:
    """A branch that carries most of the work: own modulation, box coordinates and MLP for every instance.

    The last block of the backbone has no layout block after it, so that object edges inside a token are drawn by a
    layer that sees all instances. Measured choices: without own modulation and coordinates a model this small does
    not learn what its objects look like. It also looks them up, see model.appearance.
    """
    return BranchConfig(
        num_heads=EMBEDDED.num_heads,
        head_dim=HEAD_DIM,
        pooled_dim=TEXT_WIDTH,
        dual_blocks=(0,),
        single_blocks=(0, 2),
        lora_rank=16,
        second_feed_forward="none",
        instance_modulation=True,
        box_coordinates=True,
        instance_mlp_ratio=4,
        appearance_side=32,
    )
