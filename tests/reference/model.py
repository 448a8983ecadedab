"""The whole forward for one picture: stock blocks of the backbone in order, the layout branch after some of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor, nn

from tests.reference.blocks import Angles, Scene, dual_block, single_block
from tests.reference.embedding import layout_token, time_embedding
from tests.reference.regions import Box
from tests.reference.rules import PUBLISHED, Rules
from tests.reference.weights import Weights


@dataclass(frozen=True)
class Inputs:
    """What the backbone is given, for a batch of one, with the names of its forward."""

    hidden_states: Tensor
    encoder_hidden_states: Tensor
    pooled_projections: Tensor
    timestep: Tensor
    guidance: Tensor | None
    img_ids: Tensor
    txt_ids: Tensor


@dataclass(frozen=True)
class LayoutInputs:
    """What the branch is given: boxes, instances in front of each (None: no order), one text row an instance."""

    height: int
    width: int
    boxes: list[Box]
    occluders: list[list[int]] | None
    text_NP: Tensor
    rules: Rules = PUBLISHED
    opacities: list[float] = field(default_factory=list)


def rotary_angles(transformer: nn.Module) -> Angles:
    """The backbone's rotary table, looked up one position at a time."""

    @cache
    def angles(position: tuple[float, float, float]) -> tuple[Tensor, Tensor]:
        cosine, sine = transformer.pos_embed(torch.tensor([position], dtype=torch.float64))
        return cosine[0].double(), sine[0].double()

    return angles


def build_scene(transformer: nn.Module, inputs: Inputs, layout: LayoutInputs) -> Scene:
    """Time embeddings of the branch (picture's text) and of the instances (their own text), at the layout guidance."""
    guidance = layout.rules.layout_guidance
    if guidance is None and inputs.guidance is not None:
        guidance = float(inputs.guidance)
    instance_times = [time_embedding(transformer, inputs.timestep, guidance, text_P) for text_P in layout.text_NP]
    return Scene(
        height=layout.height,
        width=layout.width,
        boxes=layout.boxes,
        occluders=layout.occluders,
        branch_time_D=time_embedding(transformer, inputs.timestep, guidance, inputs.pooled_projections[0]),
        instance_time_ND=torch.stack(instance_times),
        angles=rotary_angles(transformer),
        text_NP=layout.text_NP,
        rules=layout.rules,
        opacities=layout.opacities,
    )


def backbone_time(transformer: nn.Module, inputs: Inputs) -> Tensor:
    """The time embedding of the backbone's own blocks, at the user's guidance. (1, D)"""
    time, text = inputs.timestep * 1000, inputs.pooled_projections
    if inputs.guidance is None:
        return transformer.time_text_embed(time, text)
    return transformer.time_text_embed(time, inputs.guidance * 1000, text)


def forward(
    transformer: nn.Module, weights: Weights, inputs: Inputs, layout: LayoutInputs | None
) -> tuple[Tensor, list[Tensor]]:
    """(sample (1, L, C), mask logits of every layout block, dual blocks first); layout None is the backbone."""
    time_D = backbone_time(transformer, inputs)
    rotary = transformer.pos_embed(torch.cat([inputs.txt_ids, inputs.img_ids]))
    image = transformer.x_embedder(inputs.hidden_states)
    text = transformer.context_embedder(inputs.encoder_hidden_states)
    scene = layout_ND = None
    if layout is not None:
        scene = build_scene(transformer, inputs, layout)
        tokens = [layout_token(weights, row, box) for row, box in zip(layout.text_NP, layout.boxes, strict=True)]
        layout_ND = torch.stack(tokens)
    logits: list[Tensor] = []
    streams: list[tuple[str, Callable]] = [
        ("transformer_blocks", dual_block),
        ("single_transformer_blocks", single_block),
    ]
    for stream, branch_block in streams:
        for index, block in enumerate(getattr(transformer, stream)):
            text, image = block(image, text, time_D, rotary)
            name = f"{stream}.{index}"
            if scene is not None and f"{name}.layout_forward.weight" in weights.layout:
                image_LD, layout_ND, block_logits = branch_block(weights, name, image[0], layout_ND, scene)
                image = image_LD[None]
                logits += [] if block_logits is None else [block_logits]
    return transformer.proj_out(transformer.norm_out(image, time_D)), logits
