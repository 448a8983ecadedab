"""Callbacks, interruption, noise, and the methods of one call's life."""

from __future__ import annotations

import pytest
import torch

from occlusionformer.generation import instance_text
from tests.pipelines.tiny import seeded, three_apart, two_overlapping


def test_callback_sees_every_step_and_the_tensors_it_names(pipeline):
    seen = []

    def on_step_end(pipe, step, timestep, tensors):
        assert pipe is pipeline
        assert pipe.current_timestep == timestep
        seen.append((step, sorted(tensors), tensors["latents"].shape))
        return tensors

    pipeline(
        layout=two_overlapping(),
        num_inference_steps=3,
        output_type="latent",
        callback_on_step_end=on_step_end,
        callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"],
    )
    assert seen == [(step, ["latents", "prompt_embeds"], (1, 24, 16)) for step in range(3)]
    assert pipeline.num_timesteps == 3
    assert pipeline.current_timestep is None


def test_callback_replaces_latents_and_prompt(pipeline):
    def silence(pipe, step, timestep, tensors):
        return {"latents": torch.zeros_like(tensors["latents"])}

    arguments = {"layout": two_overlapping(), "output_type": "latent", "generator": seeded(0)}
    assert (pipeline(**arguments, callback_on_step_end=silence).images == 0).all()

    def blank_prompt(pipe, step, timestep, tensors):
        return {"prompt_embeds": torch.zeros_like(tensors["prompt_embeds"])}

    changed = pipeline(
        layout=two_overlapping(), output_type="latent", generator=seeded(0), callback_on_step_end=blank_prompt,
        callback_on_step_end_tensor_inputs=["prompt_embeds"],
    ).images  # fmt: skip
    unchanged = pipeline(layout=two_overlapping(), output_type="latent", generator=seeded(0)).images
    assert not torch.equal(changed, unchanged)


@pytest.mark.parametrize("last", [0, 2])
def test_interrupt_stops_after_the_present_step(pipeline, last):
    steps = []

    def stop(pipe, step, timestep, tensors):
        steps.append(step)
        pipe._interrupt = step == last
        return tensors

    output = pipeline(layout=two_overlapping(), num_inference_steps=4, callback_on_step_end=stop)
    assert steps == list(range(last + 1))
    assert output.images[0].size == (96, 64)
    pipeline(layout=two_overlapping(), num_inference_steps=2)
    assert not pipeline.interrupt


def test_list_of_generators_seeds_each_picture(pipeline):
    layouts = [two_overlapping(), two_overlapping()]
    same = pipeline(layout=layouts, generator=seeded(7, 7), output_type="latent").images
    torch.testing.assert_close(same[0], same[1], atol=1e-6, rtol=0)
    different = pipeline(layout=layouts, generator=seeded(7, 8), output_type="latent").images
    assert (different[0] - different[1]).abs().max() > 0.1


def test_one_generator_seeds_the_batch(pipeline):
    layouts = [two_overlapping(), three_apart()]
    first = pipeline(layout=layouts, generator=seeded(7)[0], output_type="latent").images
    assert torch.equal(first, pipeline(layout=layouts, generator=seeded(7)[0], output_type="latent").images)


def test_given_latents_are_the_noise(pipeline):
    layout = two_overlapping()
    noise, _ = pipeline.prepare_latents(1, 4, 64, 96, torch.float32, torch.device("cpu"), seeded(5))
    given = pipeline(layout=layout, latents=noise, output_type="latent").images
    assert torch.equal(given, pipeline(layout=layout, generator=seeded(5), output_type="latent").images)


def test_progress_bar_counts_steps(pipeline, capsys):
    pipeline.set_progress_bar_config(disable=False)
    try:
        pipeline(layout=two_overlapping(), num_inference_steps=3)
    finally:
        pipeline.set_progress_bar_config(disable=True)
    assert "3/3" in capsys.readouterr().err


def test_encode_instances_gives_one_row_per_text(pipeline):
    texts = [instance_text(instance) for instance in three_apart().instances]
    rows = pipeline.encode_instances(texts)
    assert rows.shape == (3, 32)
    torch.testing.assert_close(rows[1:2], pipeline.encode_instances(texts[1:2]), atol=1e-6, rtol=1e-5)


def test_many_captions_are_encoded_in_parts(pipeline, monkeypatch):
    texts = ["a red cat", "a dog", "a blue lamp", "a vase", "a cup"]
    whole = pipeline.encode_instances(texts)
    monkeypatch.setattr("occlusionformer.pipelines.encoding.INSTANCE_TEXTS_AT_ONCE", 2)
    torch.testing.assert_close(pipeline.encode_instances(texts), whole, atol=1e-6, rtol=1e-5)


def test_layout_is_prepared_once_a_call(pipeline, monkeypatch):
    calls = []
    prepare = type(pipeline.branch).prepare

    def counted(self, layouts, *arguments, **keywords):
        calls.append(len(layouts))
        return prepare(self, layouts, *arguments, **keywords)

    monkeypatch.setattr(type(pipeline.branch), "prepare", counted)
    pipeline(layout=[two_overlapping(), three_apart()], num_inference_steps=4, grounding_ratio=1.0)
    assert calls == [2]


def test_mask_heads_run_in_one_step_only(pipeline, monkeypatch):
    from occlusionformer.model.align import MaskHead

    calls = []
    forward = MaskHead.forward

    def counted(self, *arguments):
        calls.append(self)
        return forward(self, *arguments)

    monkeypatch.setattr(MaskHead, "forward", counted)
    pipeline(layout=two_overlapping(), grounding_ratio=1.0)
    assert calls == []
    pipeline(layout=two_overlapping(), grounding_ratio=1.0, output_instance_masks=True)
    assert len(calls) == len(set(calls)) == 2
