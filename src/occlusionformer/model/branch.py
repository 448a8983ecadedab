"""The OcclusionFormer branch: every parameter that is not the backbone's, saved and loaded without it.

Legend: B samples, N instances, R rows, P pooled text, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from occlusionformer.layout import Layout
from occlusionformer.model.adapter import AdapterState, LayoutCondition, StepInputs
from occlusionformer.model.attention import rotation
from occlusionformer.model.backbone import DualLayers, SingleLayers
from occlusionformer.model.block import BranchStep, DualLayoutBlock, LayoutBlockOutput, SingleLayoutBlock
from occlusionformer.model.config import BranchConfig
from occlusionformer.model.embed import LayoutEmbedder, box_features, fourier, layout_token_ids
from occlusionformer.tensors.files import CheckpointError, shown, unfit
from occlusionformer.tensors.grid import TokenGrid
from occlusionformer.tensors.packing import InstanceGeometry, PackedInstances, layout_geometry, pack


class OcclusionBranch(ModelMixin, ConfigMixin):
    """A LayoutAdapter: instances attend alone, become layers, and are composited in the declared order.

    branch: the fields of a BranchConfig as plain values.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ("DualLayoutBlock", "SingleLayoutBlock")
    _skip_layerwise_casting_patterns = ("embedder", "density", "mask_head")

    @register_to_config
    def __init__(self, branch: dict[str, Any]) -> None:
        super().__init__()
        self.shape = config = BranchConfig.from_json(branch)
        self.embedder = LayoutEmbedder(config)
        self.dual = nn.ModuleDict({str(index): DualLayoutBlock(config) for index in config.dual_blocks})
        self.single = nn.ModuleDict({str(index): SingleLayoutBlock(config) for index in config.single_blocks})

    @classmethod
    def build(cls, config: BranchConfig) -> OcclusionBranch:
        """A new branch; with `second_feed_forward` other than "all" it starts as the identity."""
        return cls(branch=config.to_json())

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[str], **arguments: Any) -> Any:
        """As diffusers', from safetensors alone. CheckpointError for a folder whose weights are damaged or do not fit.

        diffusers itself only logs that weights are missing, and fills them with random numbers.
        """
        source, wants_info = Path(pretrained_model_name_or_path), arguments.pop("output_loading_info", False)
        arguments |= {"use_safetensors": True, "output_loading_info": True}
        try:
            branch, info = super().from_pretrained(pretrained_model_name_or_path, **arguments)
        except (ImportError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # what a damaged configuration raises depends on where it is damaged
            if not source.is_dir():
                raise
            raise CheckpointError(source, [shown(line) for line in str(error).splitlines()] or [repr(error)]) from error
        reasons = [f"{key}: missing" for key in info["missing_keys"]]
        reasons += [f"{shown(key)}: unexpected" for key in info["unexpected_keys"]]
        weights = branch.named_parameters()
        reasons += [f"{key}: {why}" for key, value in weights if not value.is_meta and (why := unfit(value))]
        if reasons:
            raise CheckpointError(source, reasons)
        return (branch, info) if wants_info else branch

    def acts_after_dual(self, index: int) -> bool:
        return str(index) in self.dual

    def acts_after_single(self, index: int) -> bool:
        return str(index) in self.single

    def begin(self, inputs: StepInputs) -> AdapterState:
        """Layout tokens and time embeddings of one step."""
        config, packed = self.shape, inputs.condition.packed
        text_NP = inputs.condition.text_NP
        guidance_B = inputs.guidance_B
        if config.layout_guidance is not None and guidance_B is not None:
            guidance_B = torch.full_like(guidance_B, config.layout_guidance)
        guidance_N = None if guidance_B is None else guidance_B[packed.sample_N]
        time_BD = inputs.embed(inputs.timestep_B, guidance_B, inputs.pooled_BP)
        time_ND = inputs.embed(inputs.timestep_B[packed.sample_N], guidance_N, text_NP)
        features_NF = box_features(packed.box_N4, config).to(text_NP.dtype)
        grid = packed.grid
        token_ids = layout_token_ids(packed.box_N4, grid.height, grid.width)
        token_rotary = inputs.rotary(token_ids)
        token_R = packed.pixel_R % grid.num_tokens
        own = config.instance_modulation
        one_sample = packed.num_samples == 1
        step = BranchStep(
            packed=packed,
            products=inputs.condition.products,
            time_BD=time_BD,
            time_ND=time_ND,
            condition_CD=time_ND if own else time_BD,
            token_index=None if own or one_sample else packed.sample_N,
            row_index=packed.owner_R if own else (None if one_sample else packed.sample_R),
            rotation_JC=rotation(
                *(torch.cat([of, table[token_R]]) for of, table in zip(token_rotary, inputs.image_rotary, strict=True))
            ),
            coordinates_RF=_box_coordinates(packed, config, text_NP.dtype) if config.box_coordinates else None,
            strength=inputs.strength,
            return_masks=inputs.return_masks,
            return_weights=inputs.return_weights,
        )
        return AdapterState(step=step, tokens=self.embedder(text_NP, features_NF))

    def after_dual(
        self, index: int, layers: DualLayers, image_BLD: Tensor, state: AdapterState
    ) -> tuple[Tensor, AdapterState]:
        return _advanced(state, self.dual[str(index)](layers, image_BLD, state.tokens, state.step))

    def after_single(
        self, index: int, layers: SingleLayers, image_BLD: Tensor, state: AdapterState
    ) -> tuple[Tensor, AdapterState]:
        return _advanced(state, self.single[str(index)](layers, image_BLD, state.tokens, state.step))


def _advanced(state: AdapterState, output: LayoutBlockOutput) -> tuple[Tensor, AdapterState]:
    masks = state.mask_logits if output.mask_logits is None else (*state.mask_logits, output.mask_logits)
    weights = state.weights if output.weights is None else (*state.weights, output.weights)
    return output.image, replace(state, tokens=output.tokens, mask_logits=masks, weights=weights)


def _box_coordinates(packed: PackedInstances, config: BranchConfig, dtype: torch.dtype) -> Tensor:
    """Fourier features of where each row's token centre lies in its own box (0..1 inside) and of the box's size."""
    grid = packed.grid
    assert packed.owner_R is not None
    box = packed.box_N4[packed.owner_R]
    token_R = packed.pixel_R % grid.num_tokens
    x = ((token_R % grid.width).to(box.dtype) + 0.5) / grid.width
    y = ((token_R // grid.width).to(box.dtype) + 0.5) / grid.height
    wide, high = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
    inside = torch.stack([(x - box[:, 0]) / wide, (y - box[:, 1]) / high, wide, high], -1)
    return fourier(inside, config).to(dtype)


def prepare_layouts(
    layouts: Sequence[Layout],
    pooled_text_NP: Tensor,
    *,
    grid: TokenGrid,
    config: BranchConfig,
    device: torch.device | str,
    dtype: torch.dtype,
) -> LayoutCondition:
    """Layouts and one pooled text row per instance (all samples in order), ready for the model."""
    samples = [layout_geometry(layout, grid, config.rasteriser) for layout in layouts]
    return condition(samples, pooled_text_NP, grid=grid, config=config, device=device, dtype=dtype)


def condition(
    samples: Sequence[InstanceGeometry],
    pooled_text_NP: Tensor,
    *,
    grid: TokenGrid,
    config: BranchConfig,
    device: torch.device | str,
    dtype: torch.dtype,
) -> LayoutCondition:
    """As prepare_layouts, from geometry that is already rasterised. ValueError if the text rows do not fit."""
    packed = pack(samples, grid, hybrid=config.hybrid, share_rows=not config.instance_modulation)
    if tuple(pooled_text_NP.shape) != (packed.num_instances, config.pooled_dim):
        raise ValueError(
            f"pooled text: expected one row per instance, {(packed.num_instances, config.pooled_dim)}, "
            f"got {tuple(pooled_text_NP.shape)}"
        )
    return LayoutCondition(packed=packed.to(device, dtype), text_NP=pooled_text_NP.to(device, dtype))
