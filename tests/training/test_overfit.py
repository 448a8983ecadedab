"""Training visibly learns: the paper's recipe learns eight scenes by heart over a frozen backbone of random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from occlusionformer.training import override, recipe
from occlusionformer.training.probe import mask_iou
from occlusionformer.training.trainer import Trainer

from .runs import QUIET


def everything(trainer: Trainer) -> tuple[float, float]:
    """Loss and mask IoU on all eight scenes, each at its fixed time and noise; IoU of objects alone."""
    draws = trainer.data.draws
    part = trainer.examples.collate([trainer.examples[draw] for draw in draws])
    inputs = trainer.inputs(part)
    with torch.no_grad():
        flow_B, align_N = trainer.objective(inputs)
        noisy = torch.lerp(inputs.clean_BLC, inputs.noise_BLC, inputs.time_B[:, None, None])
        output = trainer.objective.predict(noisy, inputs.time_B, inputs.conditions, masks=True)
    objects = (part.condition.packed.box_N4 != torch.tensor([0.0, 0.0, 1.0, 1.0])).any(1)
    iou = mask_iou(tuple(logits[objects] for logits in output.mask_logits), part.mask_NL[objects])
    loss = flow_B.mean() + trainer.config.objective.align_weight * align_N.mean()
    return float(loss), float(iou.mean())


@pytest.mark.slow
def test_eight_scenes_are_learned_by_heart(tmp_path: Path):
    trainer = Trainer(override(recipe("overfit"), QUIET), tmp_path)
    frozen = {name: p.clone() for name, p in trainer.objective.backbone.named_parameters()}
    first_loss, first_iou = everything(trainer)
    trainer.run()
    loss, iou = everything(trainer)
    assert all(torch.equal(p, frozen[name]) for name, p in trainer.objective.backbone.named_parameters())
    assert first_iou < 0.5
    assert loss < first_loss / 10, (first_loss, loss)
    assert iou > 0.9, (first_iou, iou)
