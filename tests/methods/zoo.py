"""Every method that comes with the package, tiny and with random weights, and what it reads of instances."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from occlusionformer.methods.creatilayout import CreatiLayout
from occlusionformer.methods.eligen import Eligen
from occlusionformer.methods.gligen import Gligen
from occlusionformer.methods.instanceassemble import InstanceAssemble
from occlusionformer.methods.larender import LaRender
from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.model import BackboneShape, instance_assemble, paper, published
from occlusionformer.model.backbones.flux_transformer import LayoutFluxTransformer2DModel
from occlusionformer.model.method import InstanceTexts, Method, PreparedLayouts
from occlusionformer.tensors.grid import TokenGrid
from tests.model.tiny import BACKBONE, GRID, TEXT_TOKENS, Picture, random_inputs, randomise

POOLED, TEXT_WIDTH = BACKBONE["pooled_projection_dim"], BACKBONE["joint_attention_dim"]
SHAPE = BackboneShape(
    num_dual=BACKBONE["num_layers"], num_single=BACKBONE["num_single_layers"], pooled_dim=POOLED,
    num_heads=BACKBONE["num_attention_heads"], head_dim=BACKBONE["attention_head_dim"],
)  # fmt: skip


def builders(shape: BackboneShape) -> dict[str, Callable[[], Method]]:
    """Every method over a backbone of this shape, acting on all its blocks."""
    heads = {"num_heads": shape.num_heads, "head_dim": shape.head_dim}
    blocks = {"dual_blocks": tuple(range(shape.num_dual)), "single_blocks": tuple(range(shape.num_single))}
    lora = {"num_dual": shape.num_dual, "num_single": shape.num_single, "rank": 3}
    ground = {"pooled_dim": shape.pooled_dim, "token_width": 12}
    return {
        "occlusionformer": lambda: OcclusionFormer.build(paper(shape)),
        "occlusionformer, published": lambda: OcclusionFormer.build(published(shape)),
        "instanceassemble": lambda: InstanceAssemble.build(instance_assemble(shape)),
        "creatilayout": lambda: CreatiLayout(**heads, **blocks, instance_tokens=2),
        "creatilayout, published": lambda: CreatiLayout(
            **heads, **blocks, instance_tokens=2, null_slots=4, fixed_ids=False
        ),
        "gligen": lambda: Gligen(**heads, **blocks, **ground),
        "gligen, published": lambda: Gligen(**heads, **blocks, **ground, null_slots=4, rotary=False),
        "eligen": lambda: Eligen(**heads, **lora),
        "eligen, published": lambda: Eligen(**heads, **lora, rasteriser="published", delta_without_layout=True),
        "larender": lambda: LaRender(steps=4),
        "larender, opaque": lambda: LaRender(steps=4, schedule="opaque", map_minimum=0.2),
    }


METHODS = builders(SHAPE)


def method(name: str, dtype: torch.dtype = torch.float64) -> Method:
    """With random weights of ordinary size, so that no part is idle."""
    built = METHODS[name]().to(dtype)
    randomise(built, 7)
    return built.eval()


def transformer(dtype: torch.dtype = torch.float64) -> LayoutFluxTransformer2DModel:
    torch.manual_seed(0)
    built = LayoutFluxTransformer2DModel(**BACKBONE).eval()
    randomise(built, 0)
    return built.to(dtype)


def texts(count: int, dtype: torch.dtype = torch.float64, seed: int = 5) -> InstanceTexts:
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.randn(count, POOLED, generator=generator, dtype=torch.float64)
    sequence = torch.randn(count, TEXT_TOKENS, TEXT_WIDTH, generator=generator, dtype=torch.float64)
    return InstanceTexts(pooled_NP=pooled.to(dtype), sequence_NSE=sequence.to(dtype))


def prepared(
    of: Method,
    pictures: Sequence[Picture | None],
    *,
    words: InstanceTexts | None = None,
    dtype: torch.dtype = torch.float64,
    grid: TokenGrid = GRID,
    **changes,
) -> PreparedLayouts:
    layouts = [None if picture is None else picture.layout(grid) for picture in pictures]
    count = sum(len(picture.boxes) for picture in pictures if picture is not None)
    found = of.prepare(layouts, texts(count) if words is None else words, grid, device="cpu", dtype=dtype)
    return replace(found.to("cpu", dtype), **changes)


def arguments(batch: int, dtype: torch.dtype = torch.float64, grid: TokenGrid = GRID) -> dict[str, Tensor]:
    given = random_inputs(batch, grid)
    names = (
        "hidden_states",
        "encoder_hidden_states",
        "pooled_projections",
        "timestep",
        "guidance",
        "img_ids",
        "txt_ids",
    )
    return {name: getattr(given, name).to(dtype) for name in names}


def run(model: LayoutFluxTransformer2DModel, layout: PreparedLayouts | None, given: dict[str, Tensor]) -> Tensor:
    kwargs = None if layout is None else {"layout": layout}
    output: Tensor = model(**given, joint_attention_kwargs=kwargs, return_dict=False)[0]
    return output


def whole_and_alone(
    model: LayoutFluxTransformer2DModel,
    of: Method,
    pictures: Sequence[Picture | None],
    words: InstanceTexts,
) -> Iterator[tuple[Tensor, Tensor]]:
    """What a batch gives for every picture, and what the picture gives alone."""
    given, batch, first = arguments(len(pictures)), len(pictures), 0
    whole = run(model, prepared(of, pictures, words=words), given)
    for index, picture in enumerate(pictures):
        last = first + (0 if picture is None else len(picture.boxes))
        one = {key: value[index : index + 1] if len(value) == batch else value for key, value in given.items()}
        one |= {key: given[key] for key in ("img_ids", "txt_ids")}
        own = words.rows(torch.arange(first, last))
        yield whole[index : index + 1], run(model, prepared(of, [picture], words=own), one)
        first = last
