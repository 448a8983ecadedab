"""A user's own LoRA on the backbone, beside the branch."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from occlusionformer.pipelines import OcclusionFormerPipeline
from occlusionformer.tensors.files import CheckpointError, read_tensors
from tests.pipelines.tiny import flux_components, seeded, stock_pipeline, tiny_pipeline, two_overlapping

PLAIN = {"prompt": "a red cat", "height": 64, "width": 96, "num_inference_steps": 3, "output_type": "pt"}

STYLE = ("adapters", "style")


def lora_state(seed: int) -> dict[str, torch.Tensor]:
    """A LoRA in the format of diffusers' training scripts, on attention and on the layers the branch borrows."""
    return {key: value.clone() for key, value in _lora_state(seed).items()}


@functools.cache
def _lora_state(seed: int) -> dict[str, torch.Tensor]:
    transformer = flux_components()["transformer"]
    targets = ["attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "norm1.linear", "ff.net.2", "proj_out"]
    transformer.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=targets))
    noise = torch.Generator().manual_seed(seed)
    state = get_peft_model_state_dict(transformer)
    return {f"transformer.{key}": torch.randn(value.shape, generator=noise) * 0.5 for key, value in state.items()}


def styled_pipeline() -> OcclusionFormerPipeline:
    pipeline = tiny_pipeline()
    pipeline.load_lora_weights(lora_state(0), adapter_name="style")
    return pipeline


@pytest.fixture
def styled() -> OcclusionFormerPipeline:
    return styled_pipeline()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of it that nobody may change."""
    folder = tmp_path_factory.mktemp("styled") / "saved"
    styled_pipeline().save_pretrained(folder)
    return folder


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


class TestSavedWithThePipeline:
    """Folders hold LoRAs beside the weights, with their strengths and which of them act."""

    @pytest.fixture
    def two(self, styled) -> OcclusionFormerPipeline:
        styled.load_lora_weights(lora_state(1), adapter_name="other")
        targets = ["q_proj", "v_proj"]
        styled.text_encoder.add_adapter(LoraConfig(r=4, target_modules=targets, init_lora_weights=False), "words")
        return styled

    @pytest.mark.parametrize(
        ("names", "weights"), [(["style", "other"], [0.5, 1.5]), (["other"], [1.0]), ([], [])], ids=str
    )
    def test_loaded_again_it_draws_the_same(self, two, names, weights, tmp_path):
        if names:
            two.set_adapters(names, weights)
            two.text_encoder.set_adapter("words")
        else:
            two.disable_lora()
        two.save_pretrained(tmp_path)
        loaded = OcclusionFormerPipeline.from_pretrained(tmp_path)
        loaded.set_progress_bar_config(disable=True)
        assert set(loaded.transformer.peft_config) == {"style", "other"}
        assert set(loaded.text_encoder.peft_config) == {"words"}
        torch.testing.assert_close(layout_picture(loaded), layout_picture(two), rtol=0, atol=1e-5)
        torch.testing.assert_close(plain_picture(loaded), plain_picture(two), rtol=0, atol=1e-5)
        loaded.unload_lora_weights()
        two.unload_lora_weights()
        torch.testing.assert_close(plain_picture(loaded), plain_picture(two), rtol=0, atol=1e-5)

    def test_the_weights_are_those_without_loras(self, two, pipeline, tmp_path):
        pipeline.save_pretrained(tmp_path / "plain")
        two.save_pretrained(tmp_path / "two")
        for path in (tmp_path / "plain").rglob("*.safetensors"):
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "plain")).read_bytes()
        two.unload_lora_weights()
        two.save_pretrained(tmp_path / "two")
        assert not list((tmp_path / "two").rglob("lora"))

    def test_what_cannot_be_stored_is_refused(self, pipeline, tmp_path):
        unusual = tiny_pipeline()
        unusual.transformer.add_adapter(LoraConfig(r=2, target_modules=".*to_q", init_lora_weights=False), "a b")
        unusual.text_encoder.add_adapter(LoraConfig(r=2, target_modules=["q_proj"], bias="all"))
        with pytest.raises(ValueError, match="text_encoder: default: ") as error:
            unusual.save_pretrained(tmp_path / "none")
        assert str(error.value).splitlines() == [
            "text_encoder: default: expected a LoRA with peft's own value of bias, got 'all'",
            "transformer: a b: expected a LoRA with peft's own value of target_modules, got '.*to_q'",
            "transformer: 'a b': expected a name of letters, digits, '.', '_' and '-'",
        ]
        assert not (tmp_path / "none").exists()

    @pytest.mark.parametrize(
        ("path", "value", "expected"),
        [
            (("adapters",), [], "adapters: expected an object for each LoRA, got []"),
            (("active",), ["nobody"], "active: expected a list of names of LoRAs, got ['nobody']"),
            ((*STYLE, "file"), "../x", "style: file: expected '0.safetensors', got '../x'"),
            ((*STYLE, "scaling"), {"x": ""}, "style: scaling: expected a finite number for each layer, got {'x': ''}"),
            ((*STYLE, "config", "r"), 10**8, "style: config.r: expected a whole number from 1 to 16384, got 100000000"),
            ((*STYLE, "config", "use_dora"), 1, "style: config.use_dora: expected true or false, got 1"),
            (
                (*STYLE, "config", "target_modules"), "(a+)+$",
                "style: config.target_modules: expected a list of layers' names, got (a+)+$",
            ),
            (
                (*STYLE, "config", "rank_pattern"), {"(a+)+$": 2},
                "style: config.rank_pattern: expected a number for each layer's name, got {'(a+)+$': 2}",
            ),
            (
                (*STYLE, "config"), {"megatron_core": "os"},
                "style: config: expected an object with r, lora_alpha, target_modules, rank_pattern, alpha_pattern, "
                "use_rslora, use_dora, fan_in_fan_out, got {'megatron_core': 'os'}",
            ),
        ],
    )  # fmt: skip
    def test_a_damaged_description_is_refused(self, saved, path, value, expected, tmp_path):
        shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
        file = tmp_path / "transformer" / "lora" / "lora.json"
        told = json.loads(file.read_text())
        entry = told
        for key in path[:-1]:
            entry = entry[key]
        entry[path[-1]] = value
        file.write_text(json.dumps(told))
        with pytest.raises(CheckpointError) as error:
            OcclusionFormerPipeline.from_pretrained(tmp_path)
        assert error.value.reasons[0] == f"transformer/lora/lora.json: {expected}"

    def test_damaged_weights_are_refused(self, saved, tmp_path):
        shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
        file = tmp_path / "transformer" / "lora" / "0.safetensors"
        tensors, _ = read_tensors(file)
        first = sorted(tensors)[0]
        save_file({**{key: value for key, value in tensors.items() if key != first}, "more": torch.zeros(1)}, file)
        with pytest.raises(CheckpointError) as error:
            OcclusionFormerPipeline.from_pretrained(tmp_path)
        assert error.value.reasons == [
            f"{first}: missing, expected shape {tuple(tensors[first].shape)}", "more: unexpected, shape (1,)",
        ]  # fmt: skip
        file.write_bytes(b"nothing")
        with pytest.raises(CheckpointError, match=r"transformer/lora/0\.safetensors: "):
            OcclusionFormerPipeline.from_pretrained(tmp_path)
