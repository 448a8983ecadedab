"""OcclusionFormer (arXiv 2605.21343): instances attend alone and become layers, composited by density and order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from occlusionformer.model.branch import OcclusionBranch
from occlusionformer.model.checkpoint import branch_from_published, lora_rank, read_published
from occlusionformer.model.config import FLUX_DEV, BackboneShape, published


class OcclusionFormer(OcclusionBranch):
    """The branch whose layers are rendered; `paper()` is what is trained here, `published()` the released code."""

    name = "occlusionformer"

    @classmethod
    def load(
        cls, source: str | Path, *, lora: str | Path | None = None, shape: BackboneShape = FLUX_DEV
    ) -> OcclusionFormer:
        """The released weights, as the released code runs them.

        source: a folder with `occ.pth` (or `layout.safetensors`) and `lora.safetensors`, a bundle, or the layout file
        with `lora` beside it. FileNotFoundError names what was looked for; CheckpointError lists every key that does
        not fit.
        """
        state = read_published(Path(source), None if lora is None else Path(lora))
        config = replace(published(shape), lora_rank=lora_rank(state))
        branch = branch_from_published(state, config, source=str(source), cls=cls)
        assert isinstance(branch, cls)
        return branch
