"""InstanceAssemble (arXiv 2509.16691), the parent of OcclusionFormer: overlapping instances are averaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from occlusionformer.model.branch import OcclusionBranch
from occlusionformer.model.checkpoint import branch_from_published, lora_rank, read_published, with_alphas
from occlusionformer.model.config import FLUX_DEV, BackboneShape, instance_assemble


class InstanceAssemble(OcclusionBranch):
    """The branch without density, masks and order: `strength` is the published layout_scale."""

    name = "instanceassemble"

    @classmethod
    def load(
        cls, source: str | Path, *, lora: str | Path | None = None, shape: BackboneShape = FLUX_DEV
    ) -> InstanceAssemble:
        """The released weights, as the released code runs them: a LoRA's scale is alpha / rank where alphas are given.

        source: a folder with `layout.pth` (or `layout.safetensors`) and `pytorch_lora_weights.safetensors`, or the
        layout file with `lora` beside it. FileNotFoundError names what was looked for; CheckpointError lists every key
        that does not fit.
        """
        state = with_alphas(read_published(Path(source), None if lora is None else Path(lora)))
        config = replace(instance_assemble(shape), lora_rank=lora_rank(state))
        branch = branch_from_published(state, config, source=str(source), cls=cls)
        assert isinstance(branch, cls)
        return branch
