"""Layout methods of any size with random weights, and layouts to try them with: what the benchmarks of cost share."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import nn

from occlusionformer.layout import Box, FrontToBack, Instance, Layout
from occlusionformer.methods.creatilayout import CreatiLayout
from occlusionformer.methods.eligen import Eligen
from occlusionformer.methods.gligen import Gligen
from occlusionformer.methods.instanceassemble import InstanceAssemble
from occlusionformer.methods.larender import LaRender
from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.model import InstanceTexts, Method, instance_assemble, published
from occlusionformer.model.config import BackboneShape
from occlusionformer.tensors.grid import TokenGrid

METHODS = ("occlusionformer", "instanceassemble", "creatilayout", "eligen", "gligen", "larender")
WEIGHT_STD = 0.02


def new_method(name: str, shape: BackboneShape) -> Method:
    """On every block that the published model acts on, at the published sizes, with nothing idle."""
    heads = {"num_heads": shape.num_heads, "head_dim": shape.head_dim}
    blocks = {"dual_blocks": tuple(range(shape.num_dual)), "single_blocks": tuple(range(shape.num_single))}
    built: dict[str, Callable[[], Method]] = {
        "occlusionformer": lambda: OcclusionFormer.build(published(shape)),
        "instanceassemble": lambda: InstanceAssemble.build(instance_assemble(shape)),
        "creatilayout": lambda: CreatiLayout(**heads, **blocks),
        "gligen": lambda: Gligen(**heads, **blocks, pooled_dim=shape.pooled_dim, token_width=shape.pooled_dim),
        "eligen": lambda: Eligen(**heads, num_dual=shape.num_dual, num_single=shape.num_single, rank=32),
        "larender": LaRender,
    }
    return built[name]().eval().requires_grad_(False)


def fill(method: Method) -> None:
    """Small random weights everywhere."""
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=WEIGHT_STD)


def random_texts(method: Method, count: int, *, prompt_tokens: int, width: int, pooled: int) -> InstanceTexts:
    """What the method reads of so many instances."""
    needs = method.texts
    tokens = prompt_tokens if needs.sequence_tokens == "prompt" else needs.sequence_tokens
    return InstanceTexts(
        pooled_NP=torch.randn(count, pooled) if needs.pooled else None,
        sequence_NSE=torch.randn(count, tokens, width) if tokens else None,
    )


def half_boxes(count: int, grid: TokenGrid, seed: int = 0) -> Layout:
    """Boxes half the canvas wide and high at random places, totally ordered."""
    rng = random.Random(seed)
    corners = [(rng.uniform(0, 0.5), rng.uniform(0, 0.5)) for _ in range(count)]
    ids = [f"box{index}" for index in range(count)]
    return Layout(
        prompt="boxes",
        width=grid.width * 16,
        height=grid.height * 16,
        instances=tuple(
            Instance(id=name, caption=name, box=Box(x, y, x + 0.5, y + 0.5))
            for name, (x, y) in zip(ids, corners, strict=True)
        ),
        order=FrontToBack(front_to_back=tuple(rng.sample(ids, count))) if count else None,
    )
