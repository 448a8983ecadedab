"""A tiny backbone with a branch, every weight random, and the same scene as seen by the package and by the loop twin.

N instances of the batch, P pooled text width, D channels, L image tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from occlusionformer.layout import Box, Instance, Layout, Pair, Pairs
from occlusionformer.model import (
    BranchConfig,
    InstanceTexts,
    LayoutFluxTransformer2DModel,
    LayoutReport,
    OcclusionBranch,
    PreparedLayouts,
    backbone_shape,
    instance_assemble,
    paper,
    published,
)
from occlusionformer.model.branch import BranchState
from occlusionformer.model.checkpoint import key_map
from occlusionformer.model.method import StepInputs
from occlusionformer.tensors.grid import TokenGrid
from tests.reference.model import Inputs, LayoutInputs
from tests.reference.rules import INSTANCE_ASSEMBLE, PAPER, PUBLISHED, Rules
from tests.reference.weights import Weights

BACKBONE = {
    "patch_size": 1,
    "in_channels": 4,
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 10,
    "pooled_projection_dim": 6,
    "guidance_embeds": True,
    "axes_dims_rope": (2, 2, 4),
}
TEXT_TOKENS = 3
GRID = TokenGrid(4, 6)

BOXES = ((0.03, 0.05, 0.62, 0.71), (0.31, 0.27, 0.93, 0.96), (0.22, 0.4, 0.55, 0.9))
"""Three boxes of different sizes, all overlapping, off the token edges."""
CHAIN = ((), (0,), (0, 1))
LOOP = ((2,), (0,), (1,))


def presets() -> dict[str, tuple[BranchConfig, Rules]]:
    """Every preset and the options of the small model, on the tiny backbone, with the twin's rules for each."""
    shape = backbone_shape(tiny_backbone())
    extras = {"instance_modulation": True, "box_coordinates": True}
    sizes = {"instance_mlp_ratio": 2, "appearance_side": 5, "appearance_hidden": 7}
    return {
        "published": (published(shape), PUBLISHED),
        "paper": (replace(paper(shape), cosine_eps=1e-12), PAPER),
        "instance_assemble": (instance_assemble(shape), INSTANCE_ASSEMBLE),
        "small": (
            replace(paper(shape), cosine_eps=1e-12, second_feed_forward="none", **extras, **sizes),
            replace(PAPER, instance_mlp=True, second_feed_forward="none", appearance_side=5, **extras),
        ),
    }


def randomise(module: nn.Module, seed: int) -> None:
    """Random values of ordinary size for every parameter, gains around 1 included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            fan_in = parameter.shape[1:].numel() if parameter.dim() > 1 else 4
            is_gain = "norm" in name and parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(noise / fan_in**0.5 + float(is_gain))


@dataclass(frozen=True, kw_only=True, slots=True)
class FluxInputs:
    """The arguments of the transformer's forward, under its own names; timestep 0..1, ids (tokens, 3)."""

    hidden_states: Tensor
    encoder_hidden_states: Tensor
    pooled_projections: Tensor
    timestep: Tensor
    img_ids: Tensor
    txt_ids: Tensor
    guidance: Tensor | None = None
    joint_attention_kwargs: dict | None = None
    controlnet_block_samples: tuple[Tensor, ...] | None = None
    controlnet_single_block_samples: tuple[Tensor, ...] | None = None


def run_backbone(backbone: FluxTransformer2DModel, inputs: FluxInputs) -> Tensor:
    """The transformer as it is called."""
    return backbone(**{name: getattr(inputs, name) for name in inputs.__slots__}, return_dict=False)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """A forward's prediction, and the masks and weights it leaves in the report; None where not asked for."""

    sample: Tensor
    mask_logits: tuple[Tensor, ...] | None = None
    weights: tuple[Tensor, ...] | None = None


class Model(nn.Module):
    """A transformer and a branch, called together."""

    def __init__(self, backbone: FluxTransformer2DModel, adapter: OcclusionBranch) -> None:
        super().__init__()
        self.backbone = LayoutFluxTransformer2DModel.adopt(backbone)
        self.adapter = adapter

    def forward(
        self,
        inputs: FluxInputs,
        layout: PreparedLayouts | None,
        *,
        strength: float = 1.0,
        return_masks: bool = False,
        return_weights: bool = False,
    ) -> Output:
        if layout is not None:
            layout = replace(
                layout,
                method=self.adapter,
                strength=strength,
                want_masks=return_masks,
                want_weights=return_weights,
                report=LayoutReport(),
            )
        extra = {**(inputs.joint_attention_kwargs or {}), "layout": layout}
        sample = run_backbone(self.backbone, replace(inputs, joint_attention_kwargs=extra))
        return Output(
            sample=sample,
            mask_logits=layout.report.mask_logits if layout is not None and return_masks else None,
            weights=layout.report.weights if layout is not None and return_weights else None,
        )


def tiny_backbone(seed: int = 0, **changes) -> FluxTransformer2DModel:
    backbone = FluxTransformer2DModel(**{**BACKBONE, **changes}).eval()
    randomise(backbone, seed)
    return backbone


def tiny_branch(config: BranchConfig, seed: int = 1) -> OcclusionBranch:
    branch = OcclusionBranch.build(config).eval()
    randomise(branch, seed)
    return branch


@dataclass(frozen=True)
class Picture:
    """Boxes on the tiny canvas, the instances in front of each (None: no order), opacities (empty: opaque)."""

    boxes: tuple[tuple[float, float, float, float], ...] = BOXES
    occluders: tuple[tuple[int, ...], ...] | None = CHAIN
    opacities: tuple[float, ...] = ()

    def layout(self, grid: TokenGrid = GRID) -> Layout:
        names = [f"thing {index}" for index in range(len(self.boxes))]
        opacities = self.opacities or (1.0,) * len(names)
        order = None
        if self.occluders is not None:
            relations = [(front, behind) for behind, fronts in enumerate(self.occluders) for front in fronts]
            order = Pairs(pairs=tuple(Pair(front=names[front], behind=names[behind]) for front, behind in relations))
        instances = [
            Instance(id=name, caption=name, box=Box(*box), opacity=opacity)
            for name, box, opacity in zip(names, self.boxes, opacities, strict=True)
        ]
        return Layout(
            prompt="things",
            width=grid.width * 16,
            height=grid.height * 16,
            instances=tuple(instances),
            order=order,
            cycles="allow",
        )


EMPTY = Picture(boxes=(), occluders=None)


def random_inputs(batch: int, grid: TokenGrid = GRID, *, seed: int = 2, guidance: bool = True) -> FluxInputs:
    """fp64 inputs of the backbone; another time and text for every sample."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rows, columns = torch.meshgrid(torch.arange(grid.height), torch.arange(grid.width), indexing="ij")
    ids = torch.stack([torch.zeros_like(rows), rows, columns], -1).reshape(-1, 3)
    return FluxInputs(
        hidden_states=noise(batch, grid.num_tokens, BACKBONE["in_channels"]),
        encoder_hidden_states=noise(batch, TEXT_TOKENS, BACKBONE["joint_attention_dim"]),
        pooled_projections=noise(batch, BACKBONE["pooled_projection_dim"]),
        timestep=torch.linspace(0.3, 0.9, batch, dtype=torch.float64),
        guidance=torch.linspace(3.5, 2.0, batch, dtype=torch.float64) if guidance else None,
        img_ids=ids.double(),
        txt_ids=torch.zeros(TEXT_TOKENS, 3, dtype=torch.float64),
    )


def cast(inputs: FluxInputs, dtype: torch.dtype) -> FluxInputs:
    tensors = {name: getattr(inputs, name) for name in inputs.__slots__}
    return replace(inputs, **{name: value.to(dtype) for name, value in tensors.items() if isinstance(value, Tensor)})


def only(inputs: FluxInputs, sample: int) -> FluxInputs:
    """One sample of a batch; position ids have no batch dimension."""
    per_sample = ("hidden_states", "encoder_hidden_states", "pooled_projections", "timestep", "guidance")
    given = {name: getattr(inputs, name) for name in per_sample}
    return replace(
        inputs, **{name: value[sample : sample + 1] for name, value in given.items() if isinstance(value, Tensor)}
    )


def random_texts(pictures: Sequence[Picture], seed: int = 3) -> Tensor:
    """(N, P) pooled text of all instances of a batch."""
    count = sum(len(picture.boxes) for picture in pictures)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, BACKBONE["pooled_projection_dim"], generator=generator, dtype=torch.float64)


@cache
def without_weights(config: BranchConfig) -> OcclusionBranch:
    """A branch for what needs its settings alone."""
    with torch.device("meta"):
        return OcclusionBranch.build(config)


def prepare(
    pictures: Sequence[Picture],
    texts_NP: Tensor,
    config: BranchConfig,
    *,
    grid: TokenGrid = GRID,
    dtype: torch.dtype = torch.float64,
) -> PreparedLayouts:
    layouts = [picture.layout(grid) for picture in pictures]
    return without_weights(config).prepare(layouts, InstanceTexts(pooled_NP=texts_NP), grid, device="cpu", dtype=dtype)


def begin(model: Model, inputs: FluxInputs, layout: PreparedLayouts, strength: float = 1.0) -> BranchState:
    """The branch's state before the first block, all outputs asked for."""
    backbone = model.backbone
    return model.adapter.open(
        replace(layout, strength=strength, want_masks=True, want_weights=True),
        StepInputs(
            hidden_states=inputs.hidden_states,
            encoder_hidden_states=inputs.encoder_hidden_states,
            pooled_BP=inputs.pooled_projections,
            timestep_B=inputs.timestep,
            guidance_B=inputs.guidance,
            text_ids=inputs.txt_ids,
            image_ids=inputs.img_ids,
            side="cond",
            time_embedding=backbone.time_embedding,
            text_embedding=backbone.context_embedder,
            rotary=lambda ids: backbone.pos_embed(ids.float()),
        ),
    )


EXTRA_KEYS = {
    "ff_gate": "ff_gate",
    "coordinates.weight": "coordinates.weight",
    "coordinates.bias": "coordinates.bias",
    "instance_mlp.0.weight": "instance_mlp.0.weight",
    "instance_mlp.0.bias": "instance_mlp.0.bias",
    "instance_mlp.2.weight": "instance_mlp.2.weight",
    "instance_mlp.2.bias": "instance_mlp.2.bias",
    "appearance.weight": "appearance.weight",
    "appearance_out.weight": "appearance_out.weight",
}
"""Parameters of a block without a published name, by the package's name and by the twin's."""


def twin_weights(backbone: FluxTransformer2DModel, branch: OcclusionBranch) -> Weights:
    """The very parameters of both, under the names the twin knows: gradients reach them."""
    names = key_map(branch)
    layout, lora = {}, {}
    for ours, parameter in branch.named_parameters():
        theirs = names.get(ours)
        if theirs is None and ours.startswith("appearance."):
            theirs = ours
        elif theirs is None:
            stream, index, rest = ours.split(".", 2)
            prefix = {"dual": "transformer_blocks", "single": "single_transformer_blocks"}[stream]
            theirs = f"{prefix}.{index}.{EXTRA_KEYS[rest]}"
        (lora if theirs.startswith("transformer.") else layout)[theirs] = parameter
    return Weights(dict(backbone.named_parameters()), layout, lora, lora_scale=branch.shape.lora_scale)


def twin_inputs(inputs: FluxInputs) -> Inputs:
    return Inputs(**{name: getattr(inputs, name) for name in Inputs.__dataclass_fields__})


def twin_layout(picture: Picture, texts_NP: Tensor, rules: Rules, grid: TokenGrid = GRID) -> LayoutInputs:
    occluders = None if picture.occluders is None else [list(front) for front in picture.occluders]
    return LayoutInputs(
        grid.height, grid.width, list(picture.boxes), occluders, texts_NP, rules, list(picture.opacities)
    )
