"""Is the control alive? Figures on a fixed set of samples that tell whether boxes, masks and order are obeyed.

Legend: B samples, L tokens, N instances, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from occlusionformer.model import OcclusionBranch
from occlusionformer.model.density import Density
from occlusionformer.tensors import flow
from occlusionformer.training.encoder import Encoder
from occlusionformer.training.examples import Batch, Example, Examples
from occlusionformer.training.objective import Conditions, Objective
from occlusionformer.training.pictures import reversed_layout

SEED = 7
SEEN = 0.99
"""Share of a token from which it counts as filled by one instance."""
HALF_NOISE = 0.5
"""Time at which masks are predicted: shapes can be seen, pixels not yet."""
AT_ONCE = 16


@dataclass(frozen=True)
class Probe:
    """A fixed set of examples, and how to join some of them."""

    batches: tuple[Batch, ...]
    reversed_batches: tuple[Batch, ...]
    encoder: Encoder

    @classmethod
    def of(cls, examples: Examples, items: Sequence[Example], encoder: Encoder) -> Probe:
        """Samples of several canvases are taken apart; encodings of a cache are not used."""
        plain = [replace(item, encoded=None) for item in items]
        groups: dict[tuple[int, int], list[Example]] = {}
        for item in plain:
            groups.setdefault(item.draw.canvas, []).append(item)
        parts = [group[start : start + AT_ONCE] for group in groups.values() for start in range(0, len(group), AT_ONCE)]
        return cls(
            batches=tuple(examples.collate(part) for part in parts),
            reversed_batches=tuple(examples.collate([reversed_order(item) for item in part]) for part in parts),
            encoder=encoder,
        )

    @torch.no_grad()
    def figures(self, objective: Objective) -> dict[str, float]:
        """error: mean squared error of the pictures predicted from pure noise, where an instance fills a token;
        half_error: of those predicted at half noise, over the whole picture, which needs no layout;
        mask_iou: of masks predicted at half noise, mean over instances; order_accuracy: share of overlapping pairs
        whose overlap is nearer to the picture when predicted with its order than with every order reversed (one half:
        order means nothing); density: far from its first values, or not? The method's own figures follow.
        """
        generator = torch.Generator().manual_seed(SEED)
        errors, halves, ious, wins, densities = [], [], [], [], []
        for batch, reversed_batch in zip(self.batches, self.reversed_batches, strict=True):
            clean = self.encoder.clean(batch)
            noise = torch.randn(clean.shape, generator=generator).to(clean.device)
            conditions, swapped = self.encoder.conditions(batch), self.encoder.conditions(reversed_batch)
            drawn, other = (predicted_sample(objective, noise, 1.0, given) for given in (conditions, swapped))
            error_BL = (drawn - clean).square().mean(-1)
            errors.append(error_BL[filled(batch).to(clean.device)])
            wins.append(order_wins(batch, error_BL, (other - clean).square().mean(-1)))
            densities.append(densities_of(objective, conditions))
            time_B = clean.new_full((len(clean),), HALF_NOISE)
            half = predicted_sample(objective, flow.interpolate(clean, noise, time_B), HALF_NOISE, conditions)
            halves.append((half - clean).square().mean((1, 2)))
            ious.append(predicted_iou(objective, clean, noise, conditions, batch.mask_NL.to(clean.device)))
        error, density, iou, won = torch.cat(errors), torch.cat(densities), torch.cat(ious), torch.cat(wins)
        figures: dict[str, Tensor | float] = {"half_error": torch.cat(halves).mean(), **objective.branch.figures()}
        if len(error):
            figures["probe_error"] = error.mean()
        if len(density):
            figures |= {"density_mean": density.mean(), "density_min": density.min(), "density_max": density.max()}
        if len(iou):
            figures["mask_iou"] = iou.mean()
        if len(won):
            figures["order_accuracy"] = won.float().mean()
        return {name: float(value) for name, value in figures.items()}


def reversed_order(item: Example) -> Example:
    """The same example with every relation turned round."""
    return replace(item, layout=reversed_layout(item.layout))


def filled(batch: Batch) -> Tensor:
    """Tokens that one instance fills by itself, (B, L)."""
    sample_N = batch.sample_N
    best = batch.seen_NL.new_zeros(len(batch.draws), batch.seen_NL.shape[1])
    return best.scatter_reduce(0, sample_N[:, None].expand_as(batch.seen_NL), batch.seen_NL, "amax") > SEEN


def predicted_sample(objective: Objective, noisy_BLC: Tensor, time: float, conditions: Conditions) -> Tensor:
    """The picture predicted in one step, (B, L, C)."""
    time_B = noisy_BLC.new_full((len(noisy_BLC),), time)
    velocity = objective.predict(noisy_BLC, time_B, conditions).velocity_BLC.float()
    return flow.sample_from_velocity(noisy_BLC, velocity, time_B)


def predicted_iou(
    objective: Objective, clean_BLC: Tensor, noise_BLC: Tensor, conditions: Conditions, mask_NL: Tensor
) -> Tensor:
    """Intersection over union of each instance's predicted and true tokens, (N,); none without a mask head."""
    time_B = clean_BLC.new_full((len(clean_BLC),), HALF_NOISE)
    noisy = flow.interpolate(clean_BLC, noise_BLC, time_B)
    return mask_iou(objective.predict(noisy, time_B, conditions, masks=True).mask_logits, mask_NL)


def mask_iou(logits: tuple[Tensor, ...] | None, mask_NL: Tensor) -> Tensor:
    """IoU at one half of the mean probability over layout blocks, (N,).

    Tokens that a mask fills by exactly half decide nothing and are left out, as are masks that fill none by more.
    """
    if not logits:
        return mask_NL.new_zeros(0)
    decided = mask_NL != 0.5
    true = (mask_NL > 0.5) & decided
    predicted = (torch.stack([block.float().softmax(-1)[..., 1] for block in logits]).mean(0) > 0.5) & decided
    union = (predicted | true).sum(1)
    return ((predicted & true).sum(1) / union.clamp_min(1))[true.any(1)]


def order_wins(batch: Batch, declared_BL: Tensor, reversed_BL: Tensor) -> Tensor:
    """For each pair whose masks share a token: is the error there less with the declared order? (pairs,)"""
    true_NL = (batch.mask_NL >= 0.5).to(declared_BL.device)
    sample_N = batch.sample_N.to(declared_BL.device)
    first, second = torch.triu_indices(len(sample_N), len(sample_N), 1, device=declared_BL.device)
    same = sample_N[first] == sample_N[second]
    first, second = first[same], second[same]
    shared = true_NL[first] & true_NL[second]
    first, shared = first[shared.any(1)], shared[shared.any(1)]
    sample = sample_N[first]
    return (declared_BL[sample] * shared).sum(1) < (reversed_BL[sample] * shared).sum(1)


def densities_of(objective: Objective, conditions: Conditions) -> Tensor:
    """Mean density of every instance in every layout block at half noise, flat."""
    branch, text_NP = objective.branch, conditions.layout.texts.pooled_NP
    if not isinstance(branch, OcclusionBranch) or text_NP is None:
        return torch.zeros(0)
    guidance = conditions.guidance_B
    if guidance is not None:
        layout_guidance = branch.shape.layout_guidance
        guidance = guidance[conditions.layout.condition.packed.sample_N]
        guidance = guidance if layout_guidance is None else torch.full_like(guidance, layout_guidance)
    time_N = text_NP.new_full((len(text_NP),), HALF_NOISE)
    embedding = objective.backbone.time_embedding(time_N, guidance, text_NP)
    found = [module(embedding).mean(1) for module in branch.modules() if isinstance(module, Density)]
    return torch.cat(found) if found else embedding.new_zeros(0)
