"""The embedded model in the trainer: canvases of several shapes, and layouts that are dropped for the prompt."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from occlusionformer.data.samples import WorldSamples
from occlusionformer.data.world.scenes import CANVASES, WorldSpec
from occlusionformer.embedded.autoencoder import SceneAutoencoder
from occlusionformer.embedded.build import embedded_pipeline
from occlusionformer.embedded.config import look_places
from occlusionformer.training import recipe
from occlusionformer.training.data_plan import data_plan
from occlusionformer.training.encoder import Encoder
from occlusionformer.training.method_settings import NoMethodSettings
from occlusionformer.training.overrides import SettingsError, override
from occlusionformer.training.sampler import Draw
from occlusionformer.training.trainer import Trainer


def small(codec, **data):
    config = recipe("embedded")
    world = WorldSpec(width=None, height=None, max_instances=3)
    return config.model_copy(
        update={
            "steps": 2,
            "batch": 2,
            "model": config.model.model_copy(update={"codec": codec}),
            "data": config.data.model_copy(update={"world": world, **data}),
            "execution": config.execution.model_copy(update={"workers": 0}),
            "saving": config.saving.model_copy(update={"every": 2}),
            "logging": config.logging.model_copy(
                update={"every": 1, "probe_every": 2, "probe_count": 2, "pictures": 1, "picture_steps": 1}
            ),
        }
    )


@pytest.fixture
def codec(tmp_path):
    torch.manual_seed(0)
    SceneAutoencoder().save_pretrained(tmp_path / "codec")
    return tmp_path / "codec"


def test_a_batch_has_one_canvas_and_batches_have_many():
    samples = WorldSamples(3, 64, WorldSpec(width=None, height=None, max_instances=2), group=4)
    shapes = [samples.canvas(index) for index in range(64)]
    assert all(len(set(shapes[start : start + 4])) == 1 for start in range(0, 64, 4))
    assert len(set(shapes)) > 3
    assert {(width, height) for height, width in shapes} <= set(CANVASES)
    sample = samples[5]
    assert sample.image.shape[:2] == shapes[5]
    assert np.array_equal(sample.image, samples[5].image)
    with pytest.raises(IndexError, match="expected 0 to 63, got 64"):
        samples[64]


def test_the_plan_draws_what_the_source_has(codec):
    config = small(codec)
    plan = data_plan(config)
    for step in range(4):
        draws = plan.plan.draws(step)
        assert {draw.canvas for draw in draws} == {plan.source.canvas(draws[0].index)}
        assert plan.source[draws[1].index].image.shape[:2] == draws[1].canvas
    assert {draw.canvas for draw in plan.probe_draws} <= {(h, w) for w, h in CANVASES}
    finite = data_plan(small(codec, count=6))
    assert sorted(draw.index for step in range(3) for draw in finite.plan.draws(step)) >= list(range(6))


@pytest.mark.slow
def test_it_trains_with_layouts_and_without(codec, tmp_path):
    trainer = Trainer(small(codec, dropped_layout=0.5), tmp_path / "run")
    reports = []
    assert trainer.run(lambda step, figures: reports.append(figures)).reason == "finished"
    assert all(np.isfinite(value) for figures in reports for value in figures.values())
    examples = trainer.examples
    bare, kept = [], []
    for index in range(24):
        item = examples[Draw(index, index, trainer.data.source.canvas(index))]
        (kept if item.layout.instances else bare).append(item)
    assert 4 < len(bare) < 20
    for item in bare:
        sample = trainer.data.source[item.draw.index]
        assert item.prompt == ", ".join([sample.prompt, *sample.captions])
        assert item.mask_KL.shape[0] == 0
    assert {item.prompt for item in kept} == {trainer.data.source[item.draw.index].prompt for item in kept}


def test_more_objects_than_the_prompt_holds_keep_their_layout(codec, tmp_path):
    config = small(codec, dropped_layout=1.0, dropped_most=2)
    trainer = Trainer(config, tmp_path / "run")
    counts = {True: set(), False: set()}
    for index in range(16):
        draw = Draw(index, index, trainer.data.source.canvas(index))
        sample, item = trainer.data.source[index], trainer.examples[draw]
        counts[bool(item.layout.instances)].add(len(sample.captions))
    assert counts == {True: {3}, False: {1, 2}}


def test_composed_scenes_lose_their_layout_and_name_their_objects_in_the_order_of_their_places(codec, tmp_path):
    world = WorldSpec(width=None, height=None, max_instances=3, composed=0.5)
    trainer = Trainer(small(codec, world=world, dropped_layout=0.0), tmp_path / "run")
    composed = set()
    for index in range(12):
        draw = Draw(index, index, trainer.data.source.canvas(index))
        sample, item = trainer.data.source[index], trainer.examples[draw]
        composed.add(sample.composed)
        assert bool(item.layout.instances) != sample.composed
        assert item.prompt == ", ".join([sample.prompt, *sample.captions[: len(sample.captions) * sample.composed]])
    assert composed == {True, False}


def test_prompts_may_name_the_background_alone_but_for_those_of_composed_scenes(codec, tmp_path):
    world = WorldSpec(width=None, height=None, max_instances=3, composed=0.3)
    config = small(codec, world=world, dropped_layout=0.0, dropped_captions=0.5)
    model = config.model.model_copy(update={"method": NoMethodSettings()})
    trainer = Trainer(config.model_copy(update={"model": model}), tmp_path / "run")
    found = {"composed": set(), "other": set()}
    for index in range(24):
        draw = Draw(index, index, trainer.data.source.canvas(index))
        sample, item = trainer.data.source[index], trainer.examples[draw]
        full = ", ".join([sample.prompt, *sample.captions])
        assert item.prompt in (full, sample.prompt)
        found["composed" if sample.composed else "other"].add(item.prompt == full)
    assert found == {"composed": {True}, "other": {True, False}}


@pytest.mark.parametrize("name", ["dropped_layout", "dropped_captions"])
def test_a_cache_of_prompts_is_refused_where_they_change_by_chance(tmp_path, name):
    with pytest.raises(SettingsError, match="cache: expected null where layouts or captions are dropped"):
        override(
            recipe("embedded"), ["data.count=4", f"data.cache={tmp_path}", "data.dropped_layout=0", f"data.{name}=0.1"]
        )


def test_a_backbone_that_learnt_where_looks_lie_is_known_by_its_weights(codec, tmp_path):
    config = small(codec)
    model = config.model.model_copy(update={"looks_placed": True})
    logging = config.logging.model_copy(update={"pictures": 0})
    trainer = Trainer(config.model_copy(update={"model": model, "logging": logging}), tmp_path / "run")
    trainer.run()
    assert embedded_pipeline(tmp_path / "run").transformer.config.text_places == look_places()
    assert embedded_pipeline().transformer.config.text_places == look_places()
    forgetful = model.model_copy(update={"looks_placed": False, "init_from": str(tmp_path / "run")})
    with pytest.raises(SettingsError, match=r"model\.init_from: looks_placed: expected true"):
        Trainer(config.model_copy(update={"model": forgetful}), tmp_path / "other")


def test_the_backbone_recipe_reads_the_prompt_alone():
    config = recipe("embedded-backbone")
    assert (config.model.method.name, config.model.looks_placed, config.data.world.composed) == ("none", True, 1.0)
    assert replace(config.data.world, max_instances=12, composed=0.0) == recipe("embedded").data.world


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_pictures_are_read_in_the_precision_of_the_training(precision, tmp_path):
    """By the packaged autoencoder: twice the rounding of bf16 in all, and latents in float32 either way."""
    config = small(None)
    execution = config.execution.model_copy(update={"precision": precision, "device": "cpu"})
    trainer = Trainer(config.model_copy(update={"execution": execution}), tmp_path / "run")
    pixels = torch.from_numpy(np.stack([trainer.data.source[0].image.transpose(2, 0, 1)]))
    found = trainer.encoder.tokens(pixels)
    exact = Encoder(trainer.pipeline, None, torch.device("cpu")).tokens(pixels)
    assert found.dtype == torch.float32
    assert torch.equal(found, exact) == (precision == "no")
    assert (found - exact).norm() < 2**-7 * exact.norm()


def test_prompts_that_recur_are_read_once_and_the_last_are_kept(codec, tmp_path, monkeypatch):
    trainer = Trainer(small(codec), tmp_path / "run")
    encoder, pipeline = trainer.encoder, trainer.pipeline
    texts = ["a beach", "a meadow", "a street", "a beach, a red cup"]
    plain, _, _ = pipeline.encode_prompt(texts, None, max_sequence_length=pipeline.config.max_sequence_length)
    read, encode = [], pipeline.encode_prompt
    monkeypatch.setattr(
        pipeline, "encode_prompt", lambda prompt, **others: read.append(prompt) or encode(prompt, **others)
    )
    sequence, pooled = encoder.prompts(texts[:2])
    monkeypatch.setattr("occlusionformer.training.encoder.KNOWN_PROMPT_NUMBERS", 3 * (sequence[0].numel() + 256))
    assert pooled.shape == (2, 256)
    for asked, unknown in [([1, 0, 1], []), ([2, 0], [2]), ([3], [3]), ([0, 2, 3], []), ([1], [1]), ([3, 0], [0])]:
        read.clear()
        found, _ = encoder.prompts([texts[number] for number in asked])
        assert torch.equal(found, plain[asked])
        assert read == ([[texts[number] for number in unknown]] if unknown else [])


def test_a_run_without_layouts_has_a_held_out_curve_and_no_figure_that_is_no_number(codec, tmp_path):
    config = recipe("embedded-backbone")
    shared = small(codec)
    config = config.model_copy(
        update={
            **{name: getattr(shared, name) for name in ("steps", "batch", "execution", "saving", "logging")},
            "model": config.model.model_copy(update={"codec": codec}),
        }
    )
    config = config.model_copy(update={"execution": config.execution.model_copy(update={"precision": "bf16"})})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        Trainer(config, tmp_path / "run").run()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(value) for line in lines for value in line.values())
    assert "half_error" in lines[-1]
    assert "probe_error" not in lines[-1]
