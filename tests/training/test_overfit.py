"""Training visibly learns: every method learns eight scenes by heart over a frozen backbone of random weights."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from occlusionformer.tensors.packing import layout_geometry
from occlusionformer.training import override, recipe
from occlusionformer.training.examples import Batch
from occlusionformer.training.pictures import reversed_layout
from occlusionformer.training.probe import mask_iou
from occlusionformer.training.trainer import Trainer

from .runs import QUIET

LEARNING = ("occlusionformer", "instanceassemble", "creatilayout", "eligen", "gligen")
"""All that have something to train beside the backbone."""
ALLOWED_SECONDS = 180.0
"""Of one core, for the whole run."""
WHOLE = torch.tensor([0.0, 0.0, 1.0, 1.0])


def overfitting(name: str, folder: Path, *assignments: str) -> Trainer:
    return Trainer(override(recipe("overfit"), (f"model.method={name}", *QUIET, *assignments)), folder)


def eight_scenes(trainer: Trainer, *, turned: int = 0) -> Batch:
    """All scenes as one batch; with `turned`, each with the layout of the scene so many places on."""
    items = [trainer.examples[draw] for draw in trainer.data.draws]
    others = items[turned:] + items[:turned]
    return trainer.examples.collate(
        [
            replace(item, layout=other.layout, mask_KL=other.mask_KL, seen_KL=other.seen_KL)
            for item, other in zip(items, others, strict=True)
        ]
    )


@torch.no_grad()
def losses(trainer: Trainer, part: Batch) -> tuple[float, float]:
    """Flow loss, and flow and weighed mask loss together, each scene at its fixed time and noise."""
    flow_B, align_N = trainer.objective(trainer.inputs(part))
    flow = float(flow_B.mean())
    return flow, flow + trainer.config.objective.align_weight * float(align_N.mean())


@torch.no_grad()
def masks_of_objects(trainer: Trainer) -> float:
    """Mean IoU of predicted masks, backgrounds left out."""
    part = eight_scenes(trainer)
    inputs = trainer.inputs(part)
    noisy = torch.lerp(inputs.clean_BLC, inputs.noise_BLC, inputs.time_B[:, None, None])
    output = trainer.objective.predict(noisy, inputs.time_B, inputs.conditions, masks=True)
    objects = (part.condition.packed.box_N4 != WHOLE).any(1)
    found = mask_iou(tuple(logits[objects] for logits in output.mask_logits), part.mask_NL[objects])
    return float(found.mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNING)
def test_eight_scenes_are_learned_by_heart(name, tmp_path):
    trainer = overfitting(name, tmp_path)
    frozen = {key: p.clone() for key, p in trainer.objective.backbone.named_parameters()}
    _, first = losses(trainer, eight_scenes(trainer))
    first_iou = masks_of_objects(trainer) if name == "occlusionformer" else None
    started = time.process_time()
    trainer.run()
    assert time.process_time() - started < ALLOWED_SECONDS * torch.get_num_threads()
    flow, last = losses(trainer, eight_scenes(trainer))
    assert last < first / 10, (first, last)
    assert all(torch.equal(p, frozen[key]) for key, p in trainer.objective.backbone.named_parameters())
    # What was learned hangs on the layout: the same noisy pictures with the layouts of others are far off.
    assert losses(trainer, eight_scenes(trainer, turned=1))[0] > 3 * flow
    if first_iou is not None:
        assert first_iou < 0.5
        assert masks_of_objects(trainer) > 0.9


def shares_in_overlaps(weights_NL: Tensor, part: Batch) -> Tensor:
    """Mean weights of both instances of every declared pair, where both fill a token: front and behind, (pairs, 2)."""
    found, start = [], 0
    for layout in part.layouts:
        geometry = layout_geometry(layout, part.grid, "area")
        own = weights_NL[start : start + len(layout.instances)]
        start += len(layout.instances)
        behind, front = (row[:, None] for row in geometry.in_front_KK.nonzero().T)
        full_KL = (geometry.coverage_KL >= 1 - 1e-6).float()
        both = full_KL[behind[:, 0]] * full_KL[front[:, 0]]
        pairs = torch.cat([front, behind], 1)
        share = (own[pairs] * both[:, None]).sum(2) / both.sum(1, keepdim=True)
        found.append(share[both.any(1)])
    return torch.cat(found)


def composed_weights(trainer: Trainer, *, turned_round: bool) -> list[Tensor]:
    """shares_in_overlaps of every block, of the declared order or of the reversed one."""
    items = [trainer.examples[draw] for draw in trainer.data.draws]
    if turned_round:
        items = [replace(item, layout=reversed_layout(item.layout)) for item in items]
    part = trainer.examples.collate(items)
    inputs = trainer.inputs(part)
    noisy = torch.lerp(inputs.clean_BLC, inputs.noise_BLC, inputs.time_B[:, None, None])
    output = trainer.objective.predict(noisy, inputs.time_B, inputs.conditions, weights=True)
    return [shares_in_overlaps(weights_NL, part) for weights_NL in output.weights]


@pytest.mark.parametrize("maps", [True, False], ids=["weighed by maps", "boxes alone"])
@torch.no_grad()
def test_larender_has_nothing_to_train_and_composes_the_eight_scenes_in_their_order(maps, tmp_path):
    """In every block; with the order turned round, the other one is seen.

    Over random weights attention maps are noise, by which a plane may be faint where it is in front: there nearly all
    pairs obey. With boxes alone all do.
    """
    trainer = overfitting("larender", tmp_path, "model.train_backbone=true", f"model.method.maps={str(maps).lower()}")
    blocks = [composed_weights(trainer, turned_round=turned_round) for turned_round in (False, True)]
    assert len(blocks[0]) == len(blocks[1]) == 2
    shares = torch.cat([share for order in blocks for share in order])
    assert len(shares) > 80
    obeyed = (shares[:, 0] > shares[:, 1]).float().mean()
    assert obeyed == 1 if not maps else obeyed > 0.95, obeyed
