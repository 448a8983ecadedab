"""A user's own LoRA on the backbone, beside the branch."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from occlusionformer.pipelines import OcclusionFormerPipeline
from tests.pipelines.tiny import flux_components, seeded, stock_pipeline, tiny_pipeline, two_overlapping

PLAIN = {"prompt": "a red cat", "height": 64, "width": 96, "num_inference_steps": 3, "output_type": "pt"}


def lora_state(seed: int) -> dict[str, torch.Tensor]:
    """A LoRA in the format of diffusers' training scripts, on attention and on the layers the branch borrows."""
    transformer = flux_components()["transformer"]
    targets = ["attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "norm1.linear", "ff.net.2", "proj_out"]
    transformer.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=targets))
    noise = torch.Generator().manual_seed(seed)
    state = get_peft_model_state_dict(transformer)
    return {f"transformer.{key}": torch.randn(value.shape, generator=noise) * 0.5 for key, value in state.items()}


@pytest.fixture
def styled() -> OcclusionFormerPipeline:
    pipeline = tiny_pipeline()
    pipeline.load_lora_weights(lora_state(0), adapter_name="style")
    return pipeline


def layout_picture(pipeline, **arguments):
    return pipeline(layout=two_overlapping(), generator=seeded(0), output_type="pt", **arguments).images


def plain_picture(pipeline, **arguments):
    return pipeline(**PLAIN, generator=seeded(0), **arguments).images


def test_lora_acts_with_and_without_layout(pipeline, styled):
    assert not torch.equal(plain_picture(styled), plain_picture(pipeline))
    assert not torch.equal(layout_picture(styled), layout_picture(pipeline))


def test_plain_picture_with_lora_is_flux_pipelines(styled):
    expected = stock_pipeline(styled)(**PLAIN, max_sequence_length=24, generator=seeded(0)).images
    assert torch.equal(plain_picture(styled), expected)


def test_lora_does_not_touch_the_branch(pipeline, styled):
    before, after = pipeline.branch.state_dict(), styled.branch.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_unloading_restores_every_picture(pipeline, styled):
    styled.unload_lora_weights()
    assert torch.equal(plain_picture(styled), plain_picture(pipeline))
    assert torch.equal(layout_picture(styled), layout_picture(pipeline))


def test_disabled_lora_is_absent(pipeline, styled):
    """Up to rounding: the branch reads a wrapped layer's weights through the layer's own forward."""
    styled.disable_lora()
    torch.testing.assert_close(layout_picture(styled), layout_picture(pipeline), atol=1e-5, rtol=0)
    styled.enable_lora()
    assert not torch.equal(layout_picture(styled), layout_picture(pipeline))


def test_scale_of_the_call_is_scale_of_the_adapter(styled):
    """Steps with and without the layout both follow it, and the adapter's own weight comes back afterwards."""
    full = layout_picture(styled)
    half = layout_picture(styled, joint_attention_kwargs={"scale": 0.5})
    assert torch.equal(layout_picture(styled), full)
    styled.set_adapters(["style"], [0.5])
    torch.testing.assert_close(layout_picture(styled), half, atol=1e-5, rtol=0)
    assert not torch.equal(full, half)


def test_two_adapters_are_weighted_by_name(styled):
    styled.load_lora_weights(lora_state(1), adapter_name="character")
    pictures = []
    for weights in ([1.0, 0.0], [0.0, 1.0], [0.7, 0.3]):
        styled.set_adapters(["style", "character"], weights)
        pictures.append(layout_picture(styled))
    assert styled.get_active_adapters() == ["style", "character"]
    assert not torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])
    styled.delete_adapters("character")
    styled.set_adapters(["style"], [1.0])
    torch.testing.assert_close(layout_picture(styled), pictures[0], atol=1e-5, rtol=0)


def test_fused_lora_draws_as_the_loaded_one(styled):
    loaded = layout_picture(styled)
    styled.fuse_lora()
    torch.testing.assert_close(layout_picture(styled), loaded, atol=1e-4, rtol=0)
    styled.unfuse_lora()
    torch.testing.assert_close(layout_picture(styled), loaded, atol=1e-4, rtol=0)


def test_saved_lora_loads_again(styled, tmp_path):
    state = lora_state(0)
    layers = {key.removeprefix("transformer."): value for key, value in state.items()}
    type(styled).save_lora_weights(tmp_path, transformer_lora_layers=layers)
    other = tiny_pipeline()
    other.load_lora_weights(tmp_path, weight_name="pytorch_lora_weights.safetensors", adapter_name="style")
    assert torch.equal(layout_picture(other), layout_picture(styled))


def test_a_lora_of_a_text_encoder(pipeline):
    """transformers asks for a release of peft here, which has to be one that pip finds."""
    donor = tiny_pipeline().text_encoder
    donor.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["q_proj", "k_proj", "v_proj", "out_proj"]))
    noise = torch.Generator().manual_seed(4)
    state = get_peft_model_state_dict(donor)
    styled = tiny_pipeline()
    styled.load_lora_weights(
        {f"text_encoder.{key}": torch.randn(value.shape, generator=noise) for key, value in state.items()},
        adapter_name="words",
    )
    assert styled.get_list_adapters() == {"text_encoder": ["words"]}
    assert not torch.equal(layout_picture(styled), layout_picture(pipeline))
    styled.unload_lora_weights()
    assert torch.equal(layout_picture(styled), layout_picture(pipeline))
