"""Scenes and records on disk share one path: the same samples, the same tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("pyarrow")

from occlusionformer.data.held_out import is_held_out_image
from occlusionformer.data.records import RecordWriter, scene_items
from occlusionformer.data.world.scenes import WorldDataset

from .runs import tiny_config, tiny_trainer


def written(folder: Path, count: int) -> None:
    scenes = WorldDataset(seed=1, length=count, spec=tiny_config().data.world)
    with RecordWriter(folder, "train") as writer:
        for record, image in scene_items(scenes):
            writer.add(record, image)


def test_a_record_is_trained_on_as_its_scene_is(tmp_path: Path):
    written(tmp_path / "set", 10)
    records = tiny_trainer(
        tmp_path / "a", "data.source=records", f"data.path={tmp_path / 'set'}", "data.count=10",
        "data.instance_buckets=[3]",
    )  # fmt: skip
    scenes = tiny_trainer(tmp_path / "b", "data.count=10")
    draws = records.data.draws[:4]
    assert {draw.canvas for draw in draws} == {(16, 16)}
    one, other = (trainer.examples.collate([trainer.examples[draw] for draw in draws]) for trainer in (records, scenes))
    assert one.captions == other.captions
    assert one.prompts == other.prompts
    assert torch.equal(one.pixels_BCHW, other.pixels_BCHW)
    assert torch.equal(one.mask_NL, other.mask_NL)
    # A record relates instances of which one hides part of the other; a scene relates all that it holds.
    assert (one.condition.packed.depth_TM <= other.condition.packed.depth_TM + 1e-6).all()
    assert one.condition.packed.depth_TM[:, :-1].any()
    kept = {draw.index for draw in records.data.probe_draws}
    shown = {draw.index for step in range(10) for draw in records.data.plan.draws(step)}
    assert kept
    assert not kept & shown
    assert kept | shown == set(range(10))


@pytest.mark.parametrize("dataset", ["SA-Z", "scenes"])
def test_pictures_of_sa_z_that_are_for_evaluation_are_never_drawn(tmp_path: Path, dataset: str):
    held_out = [f"sa_{number}" for number in range(2000) if is_held_out_image(f"sa_{number}")][:3]
    ids = [*held_out, *(f"sa_{number}" for number in range(9) if not is_held_out_image(f"sa_{number}"))]
    scenes = WorldDataset(seed=1, length=len(ids), spec=tiny_config().data.world)
    with RecordWriter(tmp_path / "set", "train") as writer:
        for image_id, (record, image) in zip(ids, scene_items(scenes), strict=True):
            writer.add(
                replace(record, image_id=image_id, provenance=replace(record.provenance, dataset=dataset)), image
            )
    material = tiny_trainer(
        tmp_path / "run", "data.source=records", f"data.path={tmp_path / 'set'}", "data.count=9"
    ).data
    drawn = {material.source.records[draw.index].image_id for draw in material.draws}
    assert len(drawn) == 9
    assert bool(drawn & set(held_out)) == (dataset != "SA-Z")
    shown = {draw.index for step in range(10) for draw in material.plan.draws(step)}
    assert shown | {draw.index for draw in material.probe_draws} == {draw.index for draw in material.draws}


@pytest.mark.parametrize("extent", ["amodal", "visible"])
def test_pictures_that_nobody_described_are_trained_on(tmp_path: Path, extent: str):
    scenes = WorldDataset(seed=1, length=4, spec=tiny_config().data.world)
    with RecordWriter(tmp_path / "set", "train") as writer:
        for record, image in scene_items(scenes):
            bare = tuple(replace(instance, caption="") for instance in record.instances)
            writer.add(replace(record, prompt="", instances=bare), image)
    trainer = tiny_trainer(
        tmp_path / "run", "data.source=records", f"data.path={tmp_path / 'set'}", f"data.extent={extent}"
    )
    example = trainer.examples[trainer.data.draws[0]]
    assert set(example.prompt.split(", ")) == set(example.captions) == {"-"}


@pytest.mark.parametrize("named", [True, False])
def test_prompts_are_composed_as_the_pipeline_says(tmp_path: Path, named: bool):
    trainer = tiny_trainer(tmp_path, "data.count=10", "data.background=false")
    assert trainer.examples.captions_in_prompt is trainer.pipeline.config.captions_in_prompt is True
    draw = trainer.data.draws[0]
    sample, item = trainer.data.source[draw.index], replace(trainer.examples, captions_in_prompt=named)[draw]
    assert item.prompt == (", ".join([sample.prompt, *sample.captions]) if named else sample.prompt)


def test_the_embedded_model_is_trained_with_backgrounds_alone_as_prompts(tmp_path: Path):
    trainer = tiny_trainer(tmp_path, "data.count=10", "data.background=false", "model.family=embedded")
    draw = trainer.data.draws[0]
    assert trainer.examples[draw].prompt == trainer.data.source[draw.index].prompt
