"""A layout applied to a model: what is checked and encoded beforehand, and what is added to a copy of the patcher."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP

from occlusionformer.generation import instance_text
from occlusionformer.layout import Layout
from occlusionformer.model import InstanceTexts

from .branch_patcher import BranchWeights
from .flux_model import check_fit
from .layout_patch import KEY, LayoutPatch


def apply_layout(
    model: Any,
    clip: Any,
    weights: BranchWeights,
    layouts: Sequence[Layout],
    *,
    strength: float,
    grounding_ratio: float,
    want_masks: bool = False,
) -> Any:
    """A copy of a model's patcher that draws with the layouts: one for all pictures of a batch, or one for each.

    ValueError lists settings out of range, and in what a branch does not fit the model. A model that has a layout
    already gets both.
    """
    problems = []
    if not layouts:
        problems.append("layout: expected at least one, got none")
    if not math.isfinite(strength) or strength < 0:
        problems.append(f"strength: expected a finite number of at least 0, got {strength}")
    if not 0 <= grounding_ratio <= 1:
        problems.append(f"grounding_ratio: expected a number from 0 to 1, got {grounding_ratio}")
    if want_masks and not weights.method.predicts_masks:
        problems.append(f"masks: expected a branch with a mask head, got {weights.name} without")
    if want_masks and not (strength and grounding_ratio):
        problems.append("masks: expected a layout that acts, got strength or grounding_ratio 0")
    if problems:
        raise ValueError("\n".join(problems))
    check_fit(model.get_model_object("diffusion_model"), weights.method)
    dtype = computing_dtype(model)
    branch = weights.in_format(dtype)
    patch = LayoutPatch(
        branch=branch,
        layouts=tuple(layouts),
        texts=encoded(clip, layouts, dtype),
        strength=strength,
        grounding_ratio=grounding_ratio,
        want_masks=want_masks,
    )
    patched = model.clone()
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, patch.run)
    patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, patch.forward)
    patchers = patched.get_additional_models_with_key(KEY)
    if not any(each.model is branch.patcher.model for each in patchers):
        patched.set_additional_models(KEY, [*patchers, branch.patcher])
    patched.set_attachments(KEY, (*applied(model), patch))
    return patched


def applied(model: Any) -> tuple[LayoutPatch, ...]:
    """The layouts on a model, the first applied first."""
    patches: tuple[LayoutPatch, ...] = model.get_attachment(KEY) or ()
    return patches


def computing_dtype(model: Any) -> torch.dtype:
    """The number format of a model's activations, which fp8 and GGUF weights do not have."""
    cast: torch.dtype | None = model.get_model_object("manual_cast_dtype")
    stored: torch.dtype = model.model.get_dtype()
    return stored if cast is None else cast


def encoded(clip: Any, layouts: Sequence[Layout], dtype: torch.dtype) -> tuple[InstanceTexts, ...]:
    """Pooled CLIP-L texts of each layout's instances; equal texts are encoded once.

    Captions are read as they are: parentheses are no weights here.
    """
    texts = [instance_text(instance) for layout in layouts for instance in layout.instances]
    pooled = {text: pooled_text(clip, text).to(dtype) for text in dict.fromkeys(texts)}
    return tuple(
        InstanceTexts(pooled_NP=torch.cat([pooled[instance_text(instance)] for instance in layout.instances]))
        if layout.instances
        else InstanceTexts()
        for layout in layouts
    )


def pooled_text(clip: Any, text: str) -> torch.Tensor:
    """One text's pooled vector (1, P). ValueError for text encoders that have none."""
    _, pooled = clip.encode_from_tokens(clip.tokenize(text, disable_weights=True), return_pooled=True)
    if pooled is None:
        raise ValueError("clip: expected the text encoders of FLUX, CLIP-L and T5, got some without a pooled text")
    result: torch.Tensor = pooled
    return result
