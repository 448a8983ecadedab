"""Offloading through accelerate's hooks, with the CPU as the accelerator where there is no other."""

from __future__ import annotations

import accelerate
import pytest
import torch
from accelerate.hooks import CpuOffload
from diffusers.hooks import apply_group_offloading
from torch import nn

from tests.pipelines.tiny import seeded, tiny_pipeline, two_overlapping


def picture(pipeline, **arguments):
    return pipeline(layout=two_overlapping(), generator=seeded(0), output_type="pt", **arguments).images


def test_model_offload_brings_in_one_after_the_other(monkeypatch):
    pipeline = tiny_pipeline()
    expected = picture(pipeline, output_instance_masks=True)
    pipeline.enable_model_cpu_offload(device="cpu")
    brought_in = []
    pre_forward = CpuOffload.pre_forward

    def recorded(self, module, *arguments, **keywords):
        brought_in.append(type(module).__name__)
        return pre_forward(self, module, *arguments, **keywords)

    monkeypatch.setattr(CpuOffload, "pre_forward", recorded)
    assert torch.equal(picture(pipeline, output_instance_masks=True), expected)
    order = list(dict.fromkeys(brought_in))
    assert order == ["CLIPTextModel", "T5EncoderModel", "LayoutFluxTransformer2DModel", "AutoencoderKL"]
    assert torch.equal(picture(pipeline), expected)


def test_the_branch_stays_where_the_work_is():
    """In the sequence, transformer and branch would push each other off the accelerator in every step."""
    pipeline = tiny_pipeline()
    pipeline.enable_model_cpu_offload(device="cpu")
    assert not hasattr(pipeline.branch, "_hf_hook")
    assert pipeline.transformer._hf_hook.prev_module_hook.model is pipeline.text_encoder_2
    assert pipeline.vae._hf_hook.prev_module_hook.model is pipeline.transformer
    pipeline.enable_sequential_cpu_offload(device="cpu")
    assert all(parameter.is_meta for parameter in pipeline.transformer.parameters())
    assert not any(parameter.is_meta for parameter in pipeline.branch.parameters())


def test_sequential_offload_draws_the_same():
    """As enable_sequential_cpu_offload attaches it; with the CPU as accelerator it refuses the stock text encoder."""
    pipeline = tiny_pipeline()
    wanted = {"output_instance_masks": True, "output_weights": True, "grounding_ratio": 1.0}
    expected = picture(pipeline, **wanted)
    accelerate.cpu_offload(pipeline.transformer, torch.device("cpu"))
    assert all(parameter.is_meta for parameter in pipeline.transformer.parameters())
    torch.testing.assert_close(picture(pipeline, **wanted), expected, atol=1e-5, rtol=0)
    assert all(parameter.is_meta for parameter in pipeline.transformer.parameters())


def grouping_works() -> bool:
    """diffusers 0.36 asks for the accelerator, of which torch 2.6 has none on a CPU and later releases None."""
    processor = torch.device("cpu")
    try:
        apply_group_offloading(
            nn.Sequential(nn.Linear(1, 1)), processor, offload_device=processor, offload_type="leaf_level"
        )
    except (RuntimeError, AttributeError):
        return False
    return True


@pytest.mark.skipif(not grouping_works(), reason="this diffusers groups on an accelerator alone")
class TestGroupOffload:
    def test_layer_by_layer_beside_the_branch_draws_the_same(self):
        pipeline = tiny_pipeline()
        expected = picture(pipeline)
        pipeline.enable_group_offload(
            onload_device=torch.device("cpu"), offload_type="leaf_level", exclude_modules=["branch"]
        )
        torch.testing.assert_close(picture(pipeline), expected, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("alone", [False, True], ids=["pipeline", "transformer alone"])
    def test_whole_blocks_draw_the_same(self, alone):
        """The layout's part of a block runs while the block is there."""
        pipeline = tiny_pipeline()
        expected = picture(pipeline, output_instance_masks=True)
        part = pipeline.transformer if alone else pipeline
        part.enable_group_offload(torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1)
        onloaded = []
        for block in (*pipeline.transformer.transformer_blocks, *pipeline.transformer.single_transformer_blocks):
            hook = block._diffusers_hook.get_hook("group_offloading")
            onload = hook.group.onload_
            hook.group.onload_ = lambda onload=onload: onloaded.append(1) or onload()
        torch.testing.assert_close(picture(pipeline, output_instance_masks=True), expected, atol=1e-5, rtol=0)
        assert len(onloaded) >= 16

    @pytest.mark.parametrize("excluded", [None, "vae", ["vae", "branch"]])
    def test_the_branch_is_left_out(self, excluded):
        pipeline = tiny_pipeline()
        expected = picture(pipeline)
        pipeline.enable_group_offload(torch.device("cpu"), offload_type="leaf_level", exclude_modules=excluded)
        assert not any(hasattr(module, "_diffusers_hook") for module in pipeline.branch.modules())
        torch.testing.assert_close(picture(pipeline), expected, atol=1e-5, rtol=0)

    def test_a_branch_offloaded_by_itself_is_refused(self):
        pipeline = tiny_pipeline()
        with pytest.raises(ValueError, match="branch: expected to stay on the accelerator, got enable_group_offload"):
            pipeline.branch.enable_group_offload(torch.device("cpu"), offload_type="leaf_level")
        assert torch.isfinite(picture(pipeline)).all()
