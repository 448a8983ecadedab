"""Weights that are quantised, patched by LoRAs, stored in half formats or left behind act with a layout as without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import comfy.lora
import comfy.model_management
import comfy.ops
import gguf
import pytest
import torch
from torch import Tensor, nn

from occlusionformer.model import paper
from tests.comfy.comfyui import pack
from tests.comfy.drawing import Pair, Picture, by_comfyui, by_package, patched, sampled
from tests.comfy.tiny import branch, comfy_model, greatest, noise, scene, shape_of, transformer


@pytest.fixture(scope="module")
def pair() -> Pair:
    stock = transformer()
    return Pair.of(stock, branch(paper(shape_of(stock))))


PICTURE = Picture.of(scene("cat"), scene("dog", third=True), cfg=3.0)


class Q8Linear(nn.Module):
    """A layer whose weight is blocks of bytes until it is called, as in ComfyUI-GGUF; there is no weight to read."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        rows = layer.weight.float().numpy()
        self.blocks = gguf.quantize(rows, gguf.GGMLQuantizationType.Q8_0)
        self.bias = layer.bias

    def restored(self) -> Tensor:
        return torch.from_numpy(gguf.dequantize(self.blocks, gguf.GGMLQuantizationType.Q8_0))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.restored().to(x), self.bias.to(x))


def test_gguf_layers_are_called_and_never_read(pair: Pair):
    """The same picture as with the weights that the blocks of bytes stand for."""
    quantised, plain = comfy_model(pair.stock), comfy_model(pair.stock)
    replaced = 0
    for kind in ("double_blocks", "single_blocks"):
        for name, layer in list(getattr(quantised.model.diffusion_model, kind).named_modules()):
            if isinstance(layer, nn.Linear):
                stand_in = Q8Linear(layer)
                getattr(quantised.model.diffusion_model, kind).set_submodule(name, stand_in)
                getattr(plain.model.diffusion_model, kind).get_submodule(name).weight.copy_(stand_in.restored())
                replaced += 1
    assert replaced == 2 * (2 + 2 + 2 + 4) + 2 * 3
    drawn = by_comfyui(pair, PICTURE, patched(pair, PICTURE, quantised))
    assert greatest(drawn - by_comfyui(pair, PICTURE, patched(pair, PICTURE, plain))) <= 1e-4
    assert greatest(drawn - by_comfyui(pair, PICTURE)) > 1e-3, "nothing is quantised"


@pytest.mark.parametrize("stored", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_fp8_weights_are_cast_as_the_model_casts_them(pair: Pair, stored: torch.dtype):
    model = comfy_model(pair.stock, dtype=stored, computes=torch.float32)
    assert model.model.diffusion_model.double_blocks[0].img_attn.qkv.weight.dtype == stored
    rounded = comfy_model(pair.stock)
    for parameter in rounded.model.diffusion_model.parameters():
        parameter.copy_(parameter.to(stored).float())
    assert pack("applying").computing_dtype(model) == torch.float32
    drawn = by_comfyui(pair, PICTURE, patched(pair, PICTURE, model))
    assert greatest(drawn - by_comfyui(pair, PICTURE, patched(pair, PICTURE, rounded))) <= 1e-4
    assert greatest(drawn - by_comfyui(pair, PICTURE)) > 1e-3, "nothing is rounded"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_formats_run_near_the_full_one(pair: Pair, dtype: torch.dtype):
    """The branch is copied once into the model's format, and the copy is shared; the file's own stays as it is."""
    model = comfy_model(pair.stock, dtype=dtype)
    first, second = patched(pair, PICTURE, model), patched(pair, PICTURE, model)
    (mine,), (yours,) = (each.get_additional_models() for each in (first, second))
    assert mine.model is yours.model
    assert {parameter.dtype for parameter in mine.model.parameters()} == {dtype}
    assert {parameter.dtype for parameter in pair.method.parameters()} == {torch.float32}
    one = replace(PICTURE, cfg=1.0, sigmas=torch.tensor([1.0, 0.0]), grounding_ratio=1.0)
    without = replace(one, strength=0.0)
    halves = [by_comfyui(pair, each, patched(pair, each, model)) for each in (one, without)]
    lost = [relative(half, by_comfyui(pair, each)) for half, each in zip(halves, (one, without), strict=True)]
    assert 0 < lost[0] < 2 * lost[1], "the layout loses more than the model itself does in this format"
    changed = first.clone()
    changed.set_model_compute_dtype(torch.float32)
    with pytest.raises(TypeError, match=f"model: expected to compute in {dtype} as when the layout was applied"):
        sampled(changed, PICTURE)


def relative(near: Tensor, wanted: Tensor) -> float:
    """Root mean square of a difference, in units of what is wanted."""
    return float((near - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


def test_loras_on_the_model_act_on_the_borrowed_layers(pair: Pair):
    """As with the LoRA merged into the weights."""
    down, up = noise(3, 32, seed=30), noise(96, 3, seed=31)
    name = "diffusion_model.double_blocks.0.img_attn.qkv.weight"
    changed = pair.model.clone()
    lora = {"x.lora_down.weight": down, "x.lora_up.weight": up}
    assert changed.add_patches(comfy.lora.load_lora(lora, {"x": name}), 0.5) == [name]
    merged = comfy_model(pair.stock)
    merged.model.diffusion_model.double_blocks[0].img_attn.qkv.weight.add_(0.5 * up @ down)
    drawn = by_comfyui(pair, PICTURE, patched(pair, PICTURE, changed))
    assert greatest(drawn - by_comfyui(pair, PICTURE, patched(pair, PICTURE, merged))) <= 1e-4
    assert greatest(drawn - by_comfyui(pair, PICTURE)) > 1e-3, "the LoRA does nothing"
    behind = patched(pair, PICTURE)  # a LoRA node behind ours
    behind.add_patches(comfy.lora.load_lora(lora, {"x": name}), 0.5)
    assert greatest(drawn - by_comfyui(pair, PICTURE, behind)) <= 1e-4


def test_comfyui_loads_the_branch_with_the_model_and_may_leave_parts_behind(pair: Pair):
    model = patched(pair, PICTURE)
    before = sampled(model, PICTURE)
    (patcher,) = model.get_additional_models()
    assert any(each.is_clone(patcher) for each in comfy.model_management.loaded_models()), "not loaded with the model"
    assert patcher.model_size() == sum(p.numel() * p.element_size() for p in pair.method.parameters())
    comfy.model_management.unload_all_models()
    for memory in (1, patcher.model_size() // 2):
        for each in (model, patcher):
            each.patch_model(lowvram_model_memory=memory)
        assert torch.equal(sampled(model, PICTURE), before)
        for each in (model, patcher):
            each.unpatch_model(torch.device("cpu"))
            each.detach()
    assert torch.equal(sampled(model, PICTURE), before)


def test_a_branch_that_was_left_elsewhere_is_brought_to_the_model(pair: Pair):
    """Devices other than the CPU are not here; a meta device shows what is moved."""
    stock = transformer()
    weights = pack("branch_patcher").BranchWeights(branch(paper(shape_of(stock))), "tiny")
    held = weights.in_format(torch.float32)
    held.on(torch.device("meta"))
    assert {parameter.device.type for parameter in held.method.parameters()} == {"meta"}


def test_weights_of_model_and_branch_are_as_before(pair: Pair):
    """Applying, sampling and unloading write nothing."""
    states: list[dict[str, Any]] = [
        {name: value.clone() for name, value in module.state_dict().items()}
        for module in (pair.model.model.diffusion_model, pair.method)
    ]
    sampled(patched(pair, PICTURE), PICTURE)
    comfy.model_management.unload_all_models()
    for state, module in zip(states, (pair.model.model.diffusion_model, pair.method), strict=True):
        now = module.state_dict()
        assert all(torch.equal(value, now[name]) for name, value in state.items())
    assert greatest(by_comfyui(pair, PICTURE) - by_package(pair, PICTURE).images) <= 2e-4
