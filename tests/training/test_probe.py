"""The figures that tell whether the control is alive, and the pictures that show it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from occlusionformer.training.pictures import reversed_layout
from occlusionformer.training.probe import mask_iou, order_wins

from .runs import tiny_trainer
from .test_objective import awake, part_of


def test_iou_counts_tokens_that_a_mask_decides():
    mask = torch.tensor([[1.0, 0.9, 0.5, 0.0], [0.5, 0.2, 0.1, 0.0]])
    foreground = torch.tensor([[4.0, -4.0, -4.0, 4.0], [4.0, 4.0, 4.0, 4.0]])
    logits = torch.stack([torch.zeros_like(foreground), foreground], -1)
    assert mask_iou((logits,), mask).tolist() == [pytest.approx(1 / 3)]
    assert len(mask_iou(None, mask)) == 0


def test_a_pair_is_won_where_the_declared_order_explains_the_overlap_better(tmp_path: Path):
    part = part_of(tiny_trainer(tmp_path), 1)
    count = len(part.mask_NL)
    mask = torch.zeros(count, 64)
    mask[0, :10], mask[1, 5:15] = 1, 1
    part = replace(part, mask_NL=mask)
    better, worse = torch.ones(1, 64), torch.ones(1, 64)
    worse[0, 7] = 2
    assert order_wins(part, better, worse).tolist() == [True]
    assert order_wins(part, worse, better).tolist() == [False]
    worse[0, 7], worse[0, 20] = 1, 9
    assert order_wins(part, better, worse).tolist() == [False]


def test_the_lora_norm_is_that_of_the_products(tmp_path: Path):
    branch = tiny_trainer(tmp_path).pipeline.branch
    assert branch.figures()["lora_norm"] == 0
    torch.manual_seed(0)
    for parameter in branch.parameters():
        torch.nn.init.normal_(parameter)
    products = [
        module.up.weight @ module.down.weight * module.scale for module in branch.modules() if hasattr(module, "down")
    ]
    expected = torch.cat([product.flatten() for product in products]).norm()
    assert branch.figures()["lora_norm"] == pytest.approx(float(expected), rel=1e-4)


def test_a_run_writes_figures_pictures_and_weights_that_load(tmp_path: Path):
    pytest.importorskip("tensorboard")
    settings = ("batch=2", "steps=2", "logging.probe_every=2", "logging.pictures=2", "logging.picture_steps=2")
    trainer = tiny_trainer(tmp_path, *settings, 'logging.trackers=["tensorboard"]')
    awake(trainer)
    trainer.run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses, probe = lines
    assert {"step", "images", "flow", "align", "gradient_norm", "learning_rate", "images_per_second"} <= set(losses)
    assert {"probe_error", "mask_iou", "lora_norm", "density_mean", "density_min", "density_max"} <= set(probe)
    with Image.open(tmp_path / "samples" / "probe-000000002.png") as image:
        pixels = np.array(image)
    assert pixels.shape == (5 * 192, 2 * 192, 3)
    assert list((tmp_path / "tracking").glob("events*"))
    loaded = type(trainer.pipeline.branch).from_pretrained(tmp_path / "branch")
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, trainer.average.values[f"branch.{name}"]), name


def test_reversing_a_layout_turns_every_relation_round(tmp_path: Path):
    trainer = tiny_trainer(tmp_path)
    from occlusionformer.data.samples import sample_layout

    layout = sample_layout(trainer.data.source[0])
    turned = reversed_layout(layout)
    assert turned.zorder.edges == {(behind, front) for front, behind in layout.zorder.edges}
    assert reversed_layout(turned).zorder == layout.zorder


def test_a_run_in_bf16_over_a_bf16_backbone_learns_looks_and_draws(tmp_path: Path):
    trainer = tiny_trainer(
        tmp_path, "batch=2", "steps=2", "logging.probe_every=2", "logging.pictures=1", "logging.picture_steps=2",
        "execution.precision=bf16", "model.frozen_dtype=bfloat16", "execution.device=cpu",
    )  # fmt: skip
    awake(trainer)
    trainer.run()
    assert trainer.pipeline.transformer.dtype == torch.bfloat16
    assert all(p.dtype == torch.float32 for p in trainer.parameters.values())
    losses, probe = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert all(np.isfinite([losses["flow"], losses["align"], probe["probe_error"], probe["mask_iou"]]))
