"""Folders: the whole pipeline, and a published branch beside a stock FLUX folder."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import AutoencoderKL, FluxPipeline
from safetensors.torch import save_file

from occlusionformer.model import OcclusionBranch, backbone_shape, published
from occlusionformer.model.checkpoint import published_state
from occlusionformer.pipelines import OcclusionFormerPipeline
from occlusionformer.pipelines.loading import DTYPE_KEYWORD
from tests.pipelines.tiny import seeded, stock_pipeline, tiny_branch, tiny_pipeline, two_overlapping

MODELS = ("transformer", "branch", "vae", "text_encoder", "text_encoder_2")
LOADED_TOLERANCE = 1e-5
"""Equal weights lie at other memory alignments once loaded, where matrix products round differently."""


def assert_same_picture(one, other):
    torch.testing.assert_close(one, other, atol=LOADED_TOLERANCE, rtol=0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    tiny_pipeline(default_guidance=2.0).save_pretrained(folder)
    return folder


def picture(pipeline, **arguments):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(layout=two_overlapping(), generator=seeded(0), output_type="pt", **arguments).images


def test_round_trip_is_exact(saved):
    original, loaded = tiny_pipeline(default_guidance=2.0), OcclusionFormerPipeline.from_pretrained(saved)
    for name in MODELS:
        before, after = getattr(original, name).state_dict(), getattr(loaded, name).state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before), name
    assert loaded.branch.shape == original.branch.shape
    settings = (
        "prediction_type",
        "max_sequence_length",
        "default_steps",
        "default_guidance",
        "default_size",
        "captions_in_prompt",
    )
    assert {name: loaded.config[name] for name in settings} == {name: original.config[name] for name in settings}
    assert_same_picture(picture(loaded), picture(original))


def test_folder_holds_no_pickle_and_names_the_branch(saved):
    index = json.loads((saved / "model_index.json").read_text())
    assert index["_class_name"] == "OcclusionFormerPipeline"
    assert index["branch"] == ["occlusionformer.model.branch", "OcclusionBranch"]
    weights = {path.suffix for path in saved.rglob("*") if path.is_file()}
    assert weights <= {".json", ".safetensors", ".jinja"}


def test_second_round_trip_changes_nothing(saved, tmp_path):
    OcclusionFormerPipeline.from_pretrained(saved).save_pretrained(tmp_path)
    for path in saved.rglob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / path.relative_to(saved)).read_bytes(), path


@pytest.mark.parametrize("keyword", sorted({"torch_dtype", DTYPE_KEYWORD}))
@pytest.mark.filterwarnings("ignore:`torch_dtype` is deprecated:FutureWarning")
def test_both_spellings_of_dtype(saved, keyword):
    loaded = OcclusionFormerPipeline.from_pretrained(saved, **{keyword: torch.bfloat16})
    for name in MODELS:
        assert getattr(loaded, name).dtype == torch.bfloat16, name
    images = picture(loaded, output_instance_masks=True, output_weights=True)
    assert images.dtype == torch.bfloat16
    assert torch.isfinite(images).all()


def test_half_precision_is_near_full(saved):
    noise = torch.randn(1, 24, 16, generator=seeded(0)[0])  # torch 2.6 draws other numbers in other formats
    half = picture(
        OcclusionFormerPipeline.from_pretrained(saved, **{DTYPE_KEYWORD: torch.float16}), latents=noise.half()
    )
    full = picture(OcclusionFormerPipeline.from_pretrained(saved), latents=noise)
    assert torch.isfinite(half).all()
    assert (half.float() - full).abs().mean() < 0.02


def test_component_can_be_replaced_while_loading(saved):
    original = OcclusionFormerPipeline.from_pretrained(saved)
    branch = tiny_branch(original.transformer, seed=9)
    replaced = OcclusionFormerPipeline.from_pretrained(saved, branch=branch)
    assert replaced.branch is branch
    assert not torch.equal(picture(replaced), picture(original))


def test_stock_flux_folder_with_a_branch(tmp_path):
    pipeline = tiny_pipeline()
    stock_pipeline(pipeline).save_pretrained(tmp_path)
    joined = OcclusionFormerPipeline.from_pretrained(tmp_path, branch=pipeline.branch)
    arguments = {"num_inference_steps": 4, "grounding_ratio": 0.5, "max_sequence_length": 24}
    assert_same_picture(picture(joined, **arguments), picture(pipeline, **arguments))


def test_from_pipe_shares_the_components(pipeline):
    stock = stock_pipeline(pipeline)
    joined = OcclusionFormerPipeline.from_pipe(stock, branch=pipeline.branch)
    assert joined.transformer is stock.transformer
    assert isinstance(joined.vae, AutoencoderKL)
    assert isinstance(FluxPipeline.from_pipe(joined), FluxPipeline)


def test_published_checkpoint_beside_a_flux_folder(tmp_path):
    pipeline = tiny_pipeline()
    config = published(backbone_shape(pipeline.transformer))
    branch = OcclusionBranch.build(config)
    noise = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in branch.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.2)
    state = published_state(branch)
    (tmp_path / "checkpoint").mkdir()
    save_file(state.layout, tmp_path / "checkpoint" / "layout.safetensors")
    save_file(state.lora, tmp_path / "checkpoint" / "lora.safetensors")
    stock_pipeline(pipeline).save_pretrained(tmp_path / "base")
    loaded = OcclusionFormerPipeline.from_published(
        tmp_path / "base", tmp_path / "checkpoint", config=config, dtype=torch.float32, local_files_only=True
    )
    expected = OcclusionFormerPipeline(**{**pipeline.components, "branch": branch})
    arguments = {"num_inference_steps": 2, "grounding_ratio": 1.0, "max_sequence_length": 24}
    assert_same_picture(picture(loaded, **arguments), picture(expected, **arguments))


def test_missing_published_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        OcclusionFormerPipeline.from_published(tmp_path, tmp_path / "missing")


def test_nothing_is_ever_saved_as_a_pickle(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path, safe_serialization=False)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".jinja"}
    OcclusionFormerPipeline.from_pretrained(tmp_path)


def test_a_model_of_velocities_is_one_for_flux_pipeline_too(tmp_path):
    """The transformer is recorded as the stock class; one that predicts pictures as ours, which knows how."""
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(tmp_path / "velocity")
    index = json.loads((tmp_path / "velocity" / "model_index.json").read_text())
    assert index["transformer"] == ["diffusers", "FluxTransformer2DModel"]
    tiny_pipeline(prediction_type="sample").save_pretrained(tmp_path / "sample")
    index = json.loads((tmp_path / "sample" / "model_index.json").read_text())
    assert index["transformer"][1] == "LayoutFluxTransformer2DModel"
    loaded = OcclusionFormerPipeline.from_pretrained(tmp_path / "sample")
    assert loaded.transformer.config.prediction_type == "sample"
    with pytest.raises(
        ValueError, match="prediction_type: expected 'sample' as the transformer has it, got 'velocity'"
    ):
        OcclusionFormerPipeline(**loaded.components, prediction_type="velocity")
