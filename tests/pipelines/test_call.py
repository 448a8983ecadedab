"""What a call returns, and that every picture depends on its own prompt, layout and seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from occlusionformer.generation import compose_prompt, instance_text
from occlusionformer.layout import Box, Instance, Layout
from occlusionformer.model import InstanceTexts
from occlusionformer.tensors.flow import velocity_from_sample
from tests.pipelines.tiny import flux_components, seeded, three_apart, tiny_pipeline, two_overlapping

PIXEL_TOLERANCE = 1e-5
"""Batched matrix products round differently from single ones; pixels run from 0 to 1."""


def draw(pipeline, **arguments):
    return pipeline(**{"output_type": "pt", "generator": seeded(0), **arguments}).images


def test_tuple_and_dataclass_hold_the_same(pipeline):
    wanted = {"layout": two_overlapping(), "output_type": "np", "output_instance_masks": True, "output_weights": True}
    output = pipeline(**wanted, generator=seeded(0))
    images, masks, weights = pipeline(**wanted, generator=seeded(0), return_dict=False)
    np.testing.assert_array_equal(output.images, images)
    np.testing.assert_array_equal(output.instance_masks[0], masks[0])
    np.testing.assert_array_equal(output.weights[0], weights[0])


def test_without_maps_the_tuple_is_that_of_flux(pipeline):
    result = pipeline(layout=two_overlapping(), return_dict=False)
    assert len(result) == 1
    assert pipeline(layout=two_overlapping()).instance_masks is None


def test_output_types_show_one_picture(pipeline):
    outputs = {
        kind: pipeline(layout=two_overlapping(), generator=seeded(0), output_type=kind).images
        for kind in ("pil", "np", "pt", "latent")
    }
    assert isinstance(outputs["pil"][0], Image.Image)
    assert outputs["pil"][0].size == (96, 64)
    assert outputs["np"].shape == (1, 64, 96, 3)
    assert outputs["pt"].shape == (1, 3, 64, 96)
    assert outputs["latent"].shape == (1, 24, 16)
    np.testing.assert_array_equal(outputs["np"], outputs["pt"].permute(0, 2, 3, 1).numpy())
    np.testing.assert_array_equal(np.asarray(outputs["pil"][0]), (outputs["np"][0] * 255).round().astype("uint8"))


def test_batch_of_different_layouts_equals_singles(pipeline):
    lonely = Layout(
        prompt="a kitchen", width=96, height=64,
        instances=(Instance(id="v", caption="a vase", box=Box(0.4, 0.1, 0.9, 0.6)),),
    )  # fmt: skip
    layouts = [two_overlapping(), three_apart(), lonely]
    together = pipeline(
        layout=layouts, generator=seeded(3, 4, 5), output_type="pt", output_instance_masks=True, output_weights=True
    )
    for index, (layout, seed) in enumerate(zip(layouts, (3, 4, 5), strict=True)):
        alone = pipeline(
            layout=layout, generator=seeded(seed), output_type="pt", output_instance_masks=True, output_weights=True
        )
        torch.testing.assert_close(together.images[index], alone.images[0], atol=PIXEL_TOLERANCE, rtol=0)
        np.testing.assert_allclose(together.instance_masks[index], alone.instance_masks[0], atol=PIXEL_TOLERANCE)
        np.testing.assert_allclose(together.weights[index], alone.weights[0], atol=PIXEL_TOLERANCE)


def test_pictures_without_layout_beside_pictures_with(pipeline):
    prompts = ["a red cat", "a garden"]
    together = pipeline(
        prompts, layout=[None, two_overlapping()], generator=seeded(1, 2), output_type="pt", output_weights=True
    )
    plain = pipeline(prompts[0], height=64, width=96, generator=seeded(1), output_type="pt").images[0]
    with_layout = pipeline(prompts[1], layout=two_overlapping(), generator=seeded(2), output_type="pt").images[0]
    torch.testing.assert_close(together.images[0], plain, atol=PIXEL_TOLERANCE, rtol=0)
    torch.testing.assert_close(together.images[1], with_layout, atol=PIXEL_TOLERANCE, rtol=0)
    assert [len(weights) for weights in together.weights] == [0, 2]


def test_several_images_per_prompt_are_grouped_by_layout(pipeline):
    layouts = [two_overlapping(), three_apart()]
    seeds = (1, 2, 3, 4)
    together = pipeline(
        layout=layouts,
        num_images_per_prompt=2,
        generator=seeded(*seeds),
        output_type="pt",
        output_weights=True,
    )
    assert [len(weights) for weights in together.weights] == [2, 2, 3, 3]
    for index, seed in enumerate(seeds):
        alone = draw(pipeline, layout=layouts[index // 2], generator=seeded(seed))
        torch.testing.assert_close(together.images[index], alone[0], atol=PIXEL_TOLERANCE, rtol=0)


def test_embeddings_made_earlier_serve_several_images(pipeline):
    layout = two_overlapping()
    embeds, pooled, _ = pipeline.encode_prompt(compose_prompt(layout), max_sequence_length=24)
    given = pipeline(
        layout=layout, prompt_embeds=embeds, pooled_prompt_embeds=pooled, num_images_per_prompt=2,
        generator=seeded(1, 2), output_type="pt",
    ).images  # fmt: skip
    composed = draw(pipeline, layout=layout, num_images_per_prompt=2, generator=seeded(1, 2))
    torch.testing.assert_close(given, composed, atol=PIXEL_TOLERANCE, rtol=0)


@pytest.mark.parametrize("captions", [True, False])
def test_the_model_says_whether_composed_prompts_name_the_instances(captions: bool):
    model = tiny_pipeline(captions_in_prompt=captions)
    prompts = [compose_prompt(two_overlapping(), captions=named) for named in (True, False)]
    composed = draw(model, layout=two_overlapping())
    same = [torch.equal(composed, draw(model, prompt=prompt, layout=two_overlapping())) for prompt in prompts]
    assert same == [captions, not captions]


def test_one_layout_serves_several_prompts(pipeline):
    together = draw(pipeline, prompt=["a kitchen", "a garden"], layout=two_overlapping(), generator=seeded(1, 2))
    for index, prompt in enumerate(("a kitchen", "a garden")):
        alone = draw(pipeline, prompt=prompt, layout=two_overlapping(), generator=seeded(index + 1))
        torch.testing.assert_close(together[index], alone[0], atol=PIXEL_TOLERANCE, rtol=0)


def test_prompt_is_composed_from_the_layout(pipeline):
    layout = two_overlapping()
    composed = draw(pipeline, layout=layout)
    assert torch.equal(composed, draw(pipeline, prompt="a garden, a red cat, a blue dog", layout=layout))
    assert not torch.equal(composed, draw(pipeline, prompt="a garden", layout=layout))


def test_captions_and_categories_reach_the_branch(pipeline):
    layout = two_overlapping()
    cat, dog = layout.instances
    prompt = "a garden"
    renamed = layout.model_copy(update={"instances": (cat.model_copy(update={"caption": "a blue lamp"}), dog)})
    without_category = layout.model_copy(update={"instances": (cat, dog.model_copy(update={"category": None}))})
    reference = draw(pipeline, prompt=prompt, layout=layout)
    assert not torch.equal(reference, draw(pipeline, prompt=prompt, layout=renamed))
    assert not torch.equal(reference, draw(pipeline, prompt=prompt, layout=without_category))


def test_swapping_the_order_changes_the_overlap(pipeline):
    cat_front, dog_front = (
        pipeline(layout=two_overlapping(front), generator=seeded(0), output_type="pt", output_weights=True)
        for front in ("cat", "dog")
    )
    overlap = slice(32, 64)
    assert (cat_front.images - dog_front.images)[..., overlap].abs().max() > 0.01
    cat, dog = cat_front.weights[0][:, :, 2:4]
    assert (cat > dog).all()
    cat, dog = dog_front.weights[0][:, :, 2:4]
    assert (cat < dog).all()


def test_order_of_instances_that_do_not_meet_changes_nothing(pipeline):
    forwards = draw(pipeline, layout=three_apart())
    assert torch.equal(forwards, draw(pipeline, layout=three_apart(("ball", "lamp", "cup"))))


def test_maps_have_the_promised_shapes_and_ranges(pipeline):
    output = pipeline(
        layout=[two_overlapping(), three_apart()], output_type="pt", output_instance_masks=True, output_weights=True
    )
    assert [mask.shape for mask in output.instance_masks] == [(2, 64, 96), (3, 64, 96)]
    assert [weights.shape for weights in output.weights] == [(2, 4, 6), (3, 4, 6)]
    for masks, weights in zip(output.instance_masks, output.weights, strict=True):
        assert masks.dtype == weights.dtype == np.float32
        assert 0 <= masks.min() < masks.max() <= 1
        assert weights.min() >= 0
        assert weights.sum(0).max() <= 1 + 1e-6
    np.testing.assert_allclose(output.weights[0].sum(0), 1, atol=1e-6)


def test_asking_for_maps_does_not_change_the_picture(pipeline):
    plain = draw(pipeline, layout=two_overlapping())
    assert torch.equal(plain, draw(pipeline, layout=two_overlapping(), output_instance_masks=True, output_weights=True))


def test_layout_acts_on_the_first_steps_only(pipeline):
    """Ratio 0.5 and 0.74 both mean two of four steps; 0.75 means three."""
    half, more, three = (
        draw(pipeline, layout=two_overlapping(), num_inference_steps=4, grounding_ratio=ratio)
        for ratio in (0.5, 0.74, 0.75)
    )
    assert torch.equal(half, more)
    assert not torch.equal(half, three)


def test_strength_scales_the_layout(pipeline):
    off, weak, strong = (draw(pipeline, layout=two_overlapping(), strength=value) for value in (0.0, 0.05, 1.0))
    assert (weak - off).abs().mean() < (strong - off).abs().mean()
    assert not torch.equal(weak, off)


def test_canvas_is_the_layouts_unless_given(pipeline):
    assert draw(pipeline, layout=two_overlapping()).shape[-2:] == (64, 96)
    assert draw(pipeline, layout=two_overlapping(), width=48, height=32).shape[-2:] == (32, 48)
    assert draw(pipeline, prompt="a cat").shape[-2:] == (64, 64)


def test_defaults_belong_to_the_model():
    pipeline = tiny_pipeline(default_steps=3, default_guidance=7.0, default_grounding_ratio=0.4, default_size=32)
    layout = two_overlapping()
    default = draw(pipeline, layout=layout)
    explicit = {"num_inference_steps": 3, "guidance_scale": 7.0, "grounding_ratio": 0.4, "max_sequence_length": 24}
    assert torch.equal(default, draw(pipeline, layout=layout, **explicit))
    for name, other in (
        ("num_inference_steps", 2),
        ("guidance_scale", 1.0),
        ("grounding_ratio", 1.0),
        ("max_sequence_length", 20),
    ):
        assert not torch.equal(default, draw(pipeline, layout=layout, **{**explicit, name: other})), name
    assert draw(pipeline, prompt="a cat").shape[-1] == 32


def test_model_without_guidance_ignores_it():
    pipeline = tiny_pipeline(guidance_embeds=False)
    assert torch.equal(
        draw(pipeline, layout=two_overlapping(), guidance_scale=1.0),
        draw(pipeline, layout=two_overlapping(), guidance_scale=9.0),
    )


def test_sample_prediction_follows_the_velocity_it_implies():
    """One step from noise (time 1) to 0 lands on the predicted sample itself; more steps follow the same rule."""
    pipeline = tiny_pipeline(guidance_embeds=False, prediction_type="sample", default_grounding_ratio=1.0)
    noise = torch.randn(1, 24, 16, generator=torch.Generator().manual_seed(0))
    seen = []

    def record(pipe, step, timestep, tensors):
        seen.append((timestep.clone(), tensors["latents"].clone()))
        return tensors

    arguments = {"layout": two_overlapping(), "output_type": "latent", "latents": noise}
    landed = pipeline(**arguments, num_inference_steps=1, sigmas=[1.0]).images
    pipeline.transformer.register_to_config(prediction_type="velocity")
    raw = noise - pipeline(**arguments, num_inference_steps=1, sigmas=[1.0], callback_on_step_end=record).images
    torch.testing.assert_close(landed, raw, atol=1e-5, rtol=1e-5)
    assert seen[0][0] == 1000
    velocity = velocity_from_sample(noise, landed, torch.ones(1))
    torch.testing.assert_close(noise - velocity, landed)


def test_sample_prediction_steps_towards_the_sample():
    pipeline = tiny_pipeline(guidance_embeds=False, prediction_type="sample")
    latents = []

    def record(pipe, step, timestep, tensors):
        latents.append(tensors["latents"])
        return tensors

    final = pipeline(layout=two_overlapping(), output_type="latent", callback_on_step_end=record, generator=seeded(0))
    assert torch.isfinite(final.images).all()
    assert torch.equal(latents[-1], final.images)


def test_true_guidance_runs_its_negative_pass_without_the_layout(pipeline):
    """With the same text on both sides and the layout active, the two passes differ by the layout alone."""
    layout = two_overlapping()
    prompt = compose_prompt(layout)
    once = {"layout": layout, "num_inference_steps": 1, "grounding_ratio": 1.0, "output_type": "latent"}
    noise = torch.randn(1, 24, 16, generator=torch.Generator().manual_seed(0))
    with_layout = pipeline(prompt, latents=noise, **once).images
    without = pipeline(prompt, latents=noise, **{**once, "strength": 0.0}).images
    guided = pipeline(prompt, latents=noise, negative_prompt=prompt, true_cfg_scale=3.0, **once).images
    torch.testing.assert_close(guided, without + 3.0 * (with_layout - without), atol=1e-5, rtol=1e-5)


def test_negative_prompt_without_scale_is_not_used(pipeline):
    assert torch.equal(
        draw(pipeline, layout=two_overlapping()), draw(pipeline, layout=two_overlapping(), negative_prompt="a lamp")
    )


@pytest.mark.parametrize("order", ["cat", "dog"])
def test_same_call_twice_draws_the_same(pipeline, order):
    assert torch.equal(draw(pipeline, layout=two_overlapping(order)), draw(pipeline, layout=two_overlapping(order)))


def test_masks_are_those_of_the_last_step_with_the_layout(pipeline):
    """Steps after the layout's last do not change the maps."""
    arguments = {"layout": two_overlapping(), "output_type": "latent", "output_instance_masks": True}
    sigmas = [1.0, 0.8, 0.6, 0.4]
    whole = pipeline(**arguments, generator=seeded(0), sigmas=sigmas, grounding_ratio=0.5)

    def stop_after_two(pipe, step, timestep, tensors):
        pipe._interrupt = step == 1
        return tensors

    stopped = pipeline(
        **arguments, generator=seeded(0), sigmas=sigmas, grounding_ratio=0.5, callback_on_step_end=stop_after_two
    )
    np.testing.assert_array_equal(whole.instance_masks[0], stopped.instance_masks[0])
    assert not torch.equal(whole.images, stopped.images)


def test_instances_encoded_earlier_need_no_text_encoder():
    pipeline = tiny_pipeline()
    layout = two_overlapping()
    expected = draw(pipeline, layout=layout, num_images_per_prompt=2, generator=seeded(0, 1))
    embeds, pooled, _ = pipeline.encode_prompt(compose_prompt(layout), max_sequence_length=24)
    instances = pipeline.encode_instances([instance_text(instance) for instance in layout.instances])
    pipeline.text_encoder = pipeline.text_encoder_2 = pipeline.tokenizer = pipeline.tokenizer_2 = None
    given = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled, "num_images_per_prompt": 2}
    for instance_embeds in (instances, InstanceTexts(pooled_NP=instances)):
        drawn = draw(pipeline, layout=layout, **given, instance_embeds=instance_embeds, generator=seeded(0, 1))
        torch.testing.assert_close(drawn, expected, atol=PIXEL_TOLERANCE, rtol=0)
    with pytest.raises(ValueError, match=r"pooled text: expected one row per instance, \(2, 32\), got \(1, 32\)"):
        draw(pipeline, layout=layout, **given, instance_embeds=instances[:1])


def test_joint_attention_kwargs_stay_as_they_are(pipeline):
    extra = {"scale": 1.0}
    draw(pipeline, layout=two_overlapping(), joint_attention_kwargs=extra)
    assert extra == {"scale": 1.0}


def test_a_layout_made_ready_earlier_may_be_given_to_the_transformer(pipeline):
    layout = two_overlapping()
    expected = draw(pipeline, prompt="a garden", layout=layout)
    ready = pipeline.prepare(layout, num_inference_steps=4)
    extra = {"layout": ready}
    given = draw(pipeline, prompt="a garden", height=64, width=96, joint_attention_kwargs=extra)
    assert torch.equal(given, expected)
    with pytest.raises(
        ValueError, match=r"joint_attention_kwargs\['layout'\]: expected none beside the layout argument"
    ):
        draw(pipeline, layout=layout, joint_attention_kwargs=extra)


def test_a_stock_transformer_put_in_later_obeys_layouts():
    pipeline, other = tiny_pipeline(), tiny_pipeline()
    expected = draw(pipeline, layout=two_overlapping())
    other.transformer = flux_components()["transformer"]
    assert torch.equal(draw(other, layout=two_overlapping()), expected)
