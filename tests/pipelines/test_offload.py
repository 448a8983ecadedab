"""Offloading through accelerate's hooks, with the CPU as the accelerator where there is no other."""

from __future__ import annotations

import accelerate
import pytest
import torch
from accelerate.hooks import CpuOffload

from occlusionformer.pipelines import OcclusionFormerPipeline
from tests.pipelines.tiny import seeded, tiny_pipeline, two_overlapping


def picture(pipeline, **arguments):
    return pipeline(layout=two_overlapping(), generator=seeded(0), output_type="pt", **arguments).images


def test_model_offload_reaches_every_component(monkeypatch):
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
    assert order == ["CLIPTextModel", "T5EncoderModel", "FluxTransformer2DModel", "OcclusionBranch", "AutoencoderKL"]
    assert torch.equal(picture(pipeline), expected)


def test_the_branch_stays_out_of_the_sequence():
    """Otherwise transformer and branch would push each other off the accelerator in every step."""
    pipeline = tiny_pipeline()
    pipeline.enable_model_cpu_offload(device="cpu")
    assert "branch" not in pipeline.model_cpu_offload_seq
    assert pipeline.branch._hf_hook.prev_module_hook is None
    assert pipeline.transformer._hf_hook.prev_module_hook.model is pipeline.text_encoder_2
    assert pipeline.vae._hf_hook.prev_module_hook.model is pipeline.transformer


@pytest.mark.parametrize("names", [("transformer",), ("transformer", "branch")], ids=" and ".join)
def test_sequential_offload_draws_the_same(names):
    """As enable_sequential_cpu_offload attaches it; with the CPU as accelerator it refuses the stock text encoder."""
    pipeline = tiny_pipeline()
    wanted = {"output_instance_masks": True, "output_weights": True, "grounding_ratio": 1.0}
    expected = picture(pipeline, **wanted)
    for name in names:
        accelerate.cpu_offload(getattr(pipeline, name), torch.device("cpu"))
        assert all(parameter.is_meta for parameter in getattr(pipeline, name).parameters())
    torch.testing.assert_close(picture(pipeline, **wanted), expected, atol=1e-5, rtol=0)
    assert pipeline.transformer.x_embedder.weight.is_meta


@pytest.mark.skipif(not hasattr(OcclusionFormerPipeline, "enable_group_offload"), reason="needs a later diffusers")
def test_group_offload_draws_the_same():
    pipeline = tiny_pipeline()
    expected = picture(pipeline)
    pipeline.enable_group_offload(onload_device=torch.device("cpu"), offload_type="leaf_level")
    torch.testing.assert_close(picture(pipeline), expected, atol=1e-5, rtol=0)
