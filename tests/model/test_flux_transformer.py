"""The drop-in transformer: stock without a layout, a layout at every hook, and what diffusers hangs on its blocks."""

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from diffusers import FasterCacheConfig, FirstBlockCacheConfig, FluxTransformer2DModel
from torch import Tensor

from occlusionformer.methods.none import NoLayout
from occlusionformer.model.backbones.flux_transformer import LayoutFluxTransformer2DModel
from tests.model.seam import HOOKS, Marker, arguments, prepared, tiny_transformer
from tests.model.tiny import BOXES, EMPTY, GRID, Picture, tiny_backbone

PICTURE = Picture(boxes=BOXES[:1], occluders=None)
by_hook = pytest.mark.parametrize("hook", HOOKS)


@torch.no_grad()
def run(transformer, layout=None, *, given=None, **extra) -> Tensor:
    given = arguments(1 if layout is None else layout.num_pictures) if given is None else given
    return transformer(**given, joint_attention_kwargs={"layout": layout, **extra}, return_dict=False)[0]


def test_without_a_layout_it_is_the_stock_transformer_before_and_after_other_calls():
    stock, ours = tiny_backbone(), tiny_transformer()
    with torch.no_grad():
        expected = stock(**arguments(), return_dict=False)[0]
    layout = prepared([PICTURE])
    nothing = (None, prepared([EMPTY]), prepared([None]), replace(layout, strength=0.0), replace(layout, until=1.0))
    for _ in range(2):
        assert all(torch.equal(run(ours, idle), expected) for idle in nothing)
        with torch.no_grad():
            assert torch.equal(ours(**arguments()).sample, expected)
        assert not torch.equal(run(ours, layout), expected)
    assert torch.equal(run(ours, prepared([PICTURE], method=NoLayout())), expected)


def test_its_parameters_are_the_stock_ones_by_name():
    stock, ours = tiny_backbone(), tiny_transformer()
    assert list(ours.state_dict()) == list(stock.state_dict())
    assert isinstance(ours, FluxTransformer2DModel)


@by_hook
def test_a_method_acts_at_every_hook(hook):
    ours = tiny_transformer()
    plain, drawn = run(ours), run(ours, prepared([PICTURE], hook))
    assert (drawn - plain).abs().max() > 1e-3
    assert torch.equal(run(ours), plain)


@by_hook
def test_pictures_without_instances_keep_the_stock_values(hook):
    ours, given = tiny_transformer(), arguments(3)
    stock = run(ours, given=given)
    mixed = run(ours, prepared([PICTURE, None, EMPTY], hook), given=given)
    assert (mixed[0] - stock[0]).abs().max() > 1e-3
    torch.testing.assert_close(mixed[1:], stock[1:], rtol=1e-4, atol=1e-4)


def test_the_callers_arguments_are_left_alone():
    ours, layout = tiny_transformer(), prepared([PICTURE], "text")
    extra = {"layout": layout, "scale": 0.5, "ip_adapter_masks": None}
    before = dict(extra)
    with torch.no_grad():
        ours(**arguments(), joint_attention_kwargs=extra)
    assert extra == before


@by_hook
def test_recomputed_gradients_are_the_plain_ones(hook):
    found = []
    for recomputed in (False, True):
        ours, method = tiny_transformer().double(), Marker(hook)
        if recomputed:
            ours.enable_gradient_checkpointing()
        layout = prepared([PICTURE, None], hook, dtype=torch.float64, method=method)
        given = arguments(2, dtype=torch.float64)
        output = ours(**given, joint_attention_kwargs={"layout": layout}).sample
        loss = output.square().sum() + torch.cat(layout.report.mask_logits).sum()
        loss.backward()
        found.append((method.amount.grad, ours.x_embedder.weight.grad))
    assert found[0][0].abs() > 0
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(again, plain, rtol=1e-9, atol=1e-12)


def test_a_block_that_is_recomputed_finds_what_it_found():
    ours, method = tiny_transformer().double(), Marker()
    ours.enable_gradient_checkpointing()
    layout = prepared([PICTURE], dtype=torch.float64, method=method)
    ours(**arguments(dtype=torch.float64), joint_attention_kwargs={"layout": layout}).sample.sum().backward()
    carried = [value.item() for value in layout.report.mask_logits]
    assert carried == pytest.approx([carried[0] * blocks for blocks in (1, 2, 3, 4)])


def test_hooks_of_the_user_see_every_call_and_every_block():
    ours = tiny_transformer()
    seen = []
    ours.register_forward_hook(lambda *_: seen.append("transformer"))
    for block in (*ours.transformer_blocks, *ours.single_transformer_blocks):
        block.register_forward_hook(lambda *_: seen.append("block"))
    run(ours, prepared([PICTURE]))
    assert seen == ["block"] * 4 + ["transformer"]


def test_a_first_block_cache_acts_and_keeps_the_layout():
    ours = tiny_transformer()
    layout = prepared([PICTURE])
    whole = run(ours, layout)
    ours.enable_cache(FirstBlockCacheConfig(threshold=10.0))
    calls = []
    original = ours.single_transformer_blocks[0].attn.register_forward_hook(lambda *_: calls.append(1))
    with ours.cache_context("cond"):
        first, second = run(ours, layout), run(ours, layout)
    assert torch.equal(first, whole)
    assert len(calls) == 1
    torch.testing.assert_close(second, whole, rtol=1e-4, atol=1e-4)
    original.remove()
    ours.disable_cache()
    assert torch.equal(run(ours, layout), whole)


def test_faster_cache_acts_and_keeps_the_layout():
    ours = tiny_transformer()
    layout = prepared([PICTURE])
    plain, whole = run(ours), run(ours, layout)
    levels = iter([900] * 12 + [500] * 100)
    ours.enable_cache(
        FasterCacheConfig(
            spatial_attention_block_skip_range=2,
            spatial_attention_timestep_skip_range=(-1, 681),
            current_timestep_callback=lambda: next(levels),
            is_guidance_distilled=True,
            tensor_format="BFCHW",
        )
    )
    computed = []
    for block in ours.single_transformer_blocks:
        block.attn.to_q.register_forward_hook(lambda *_: computed.append(1))
    with ours.cache_context("cond"):
        outputs = [run(ours, layout) for _ in range(6)]
    assert torch.equal(outputs[0], whole)
    assert 2 < len(computed) < 12
    assert all((output - plain).abs().max() > 1e-3 for output in outputs)


def test_control_residuals_are_added_as_in_the_stock_forward():
    stock, ours = tiny_backbone(), tiny_transformer()
    residuals = [torch.randn(1, GRID.num_tokens, 16, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    given = {**arguments(), "controlnet_block_samples": residuals, "controlnet_single_block_samples": residuals[:1]}
    with torch.no_grad():
        assert torch.equal(run(ours, given=given), stock(**given, return_dict=False)[0])
    assert not torch.equal(run(ours, prepared([PICTURE]), given=given), run(ours, prepared([PICTURE])))


def test_tokens_of_a_reference_picture_follow_those_of_the_canvas():
    ours = tiny_transformer()
    given = arguments()
    given["hidden_states"] = torch.cat([given["hidden_states"]] * 2, 1)
    given["img_ids"] = torch.cat([given["img_ids"], given["img_ids"] + torch.tensor([1.0, 0, 0])])
    layout = prepared([PICTURE])
    assert (run(ours, layout, given=given) - run(ours, given=given)).abs().max() > 1e-3


def test_a_layout_that_does_not_fit_the_call_is_refused():
    ours = tiny_transformer()
    with pytest.raises(ValueError, match="layout: expected one for each of the batch's 2 pictures, got 1"):
        run(ours, prepared([PICTURE]), given=arguments(2))
    given = arguments()
    given["hidden_states"], given["img_ids"] = given["hidden_states"][:, :6], given["img_ids"][:6]
    with pytest.raises(ValueError, match="layout: expected a grid of 6 tokens, got 4 x 6"):
        run(ours, prepared([PICTURE]), given=given)
    with pytest.raises(TypeError, match=r"joint_attention_kwargs\['layout'\]: expected PreparedLayouts, .* got Layout"):
        run(ours, given=arguments(), **{"layout": PICTURE.layout()})
    turned = replace(prepared([PICTURE], grid=type(GRID)(6, 4)), check_ids=True)
    with pytest.raises(ValueError, match=r"token 24 lies at \[3.0, 5.0\], got a grid of 6 x 4 tokens"):
        run(ours, turned)
    run(ours, replace(prepared([PICTURE]), check_ids=True))


def test_a_layout_acts_above_its_noise_level():
    ours, layout = tiny_transformer(), prepared([PICTURE])
    given = arguments()
    plain, drawn = run(ours, given=given), run(ours, layout, given=given)
    level = given["timestep"].item()
    for until, expected in ((level - 0.01, drawn), (level, plain), (level + 0.01, plain), (0.0, drawn)):
        assert torch.equal(run(ours, replace(layout, until=until), given=given), expected)
    known = replace(layout, until=0.5, level=lambda: 0.6)
    assert torch.equal(run(ours, known, given={**given, "timestep": given["timestep"]}), drawn)
    two = replace(prepared([PICTURE] * 2), until=0.5)
    with pytest.raises(ValueError, match=r"timestep: expected all above or all at most 0\.5, got 0\.3"):
        run(ours, two, given=arguments(2))


def test_the_negative_half_of_guidance_is_told_by_the_pipelines_context():
    ours, layout = tiny_transformer(), prepared([PICTURE])
    plain, drawn = run(ours), run(ours, layout)
    with ours.cache_context("cond"):
        assert torch.equal(run(ours, layout), drawn)
    with ours.cache_context("uncond"):
        assert torch.equal(run(ours, layout), plain)
    layout.method.negative = "same"
    with ours.cache_context("uncond"):
        assert torch.equal(run(ours, layout), drawn)


def test_the_negative_half_of_guidance_is_told_by_the_order_of_calls():
    ours, layout = tiny_transformer(), prepared([PICTURE])
    given = arguments()
    other = {**given, "encoder_hidden_states": given["encoder_hidden_states"] * 2}
    plain, drawn = run(ours, given=given), run(ours, layout, given=given)
    assert torch.equal(run(ours, layout, given=other), run(ours, given=other))
    assert torch.equal(run(ours, layout, given=given), drawn)
    moved = {**given, "hidden_states": given["hidden_states"].clone()}
    assert torch.equal(run(ours, layout, given=moved), drawn)
    given["hidden_states"].add_(0)
    assert not torch.equal(run(ours, layout, given=other), run(ours, given=other))
    assert not torch.equal(drawn, plain)


def test_adoption_shares_every_parameter_and_leaves_the_stock_transformer_stock():
    stock = tiny_backbone()
    before = {name: type(module) for name, module in stock.named_modules()}
    adopted = LayoutFluxTransformer2DModel.adopt(stock)
    assert LayoutFluxTransformer2DModel.adopt(adopted) is adopted
    own = dict(adopted.named_parameters())
    assert all(own[name] is parameter for name, parameter in stock.named_parameters())
    assert {name: type(module) for name, module in stock.named_modules()} == before
    with torch.no_grad():
        assert torch.equal(run(adopted), stock(**arguments(), return_dict=False)[0])
    assert torch.equal(run(adopted, prepared([PICTURE])), run(tiny_transformer(), prepared([PICTURE])))
    assert adopted.config.prediction_type == "velocity"
    assert "prediction_type" not in stock.config


def test_what_acts_on_layers_acts_on_both():
    from peft import LoraConfig

    stock = tiny_backbone()
    adopted = LayoutFluxTransformer2DModel.adopt(stock)
    plain = run(adopted)
    targets = ["to_q", "proj_mlp", "proj_out", "ff.net.2", "norm1.linear"]
    targets = [name for name, _ in adopted.named_modules() if name.endswith(tuple(targets)) and name != "proj_out"]
    adopted.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=targets, init_lora_weights=False))
    with torch.no_grad():
        both = run(adopted), stock(**arguments(), return_dict=False)[0]
    assert torch.equal(*both)
    assert not torch.equal(both[0], plain)
    assert torch.equal(run(adopted, scale=0.0), plain)
    drawn = run(adopted, prepared([PICTURE]))
    silent = run(adopted, prepared([PICTURE]), scale=0.0)
    assert not torch.equal(drawn, silent)
    assert torch.equal(run(adopted, prepared([PICTURE])), drawn)
    stock.double()
    assert adopted.dtype == torch.float64


def test_adoption_keeps_the_hook_of_accelerate():
    from accelerate.hooks import ModelHook, add_hook_to_module

    class Counting(ModelHook):
        calls = 0

        def pre_forward(self, module, *args, **kwargs):
            Counting.calls += 1
            return args, kwargs

    stock = tiny_backbone()
    add_hook_to_module(stock, Counting())
    add_hook_to_module(stock.transformer_blocks[0], Counting())
    adopted = LayoutFluxTransformer2DModel.adopt(stock)
    drawn = run(adopted, prepared([PICTURE]))
    assert Counting.calls == 2
    assert torch.equal(drawn, run(tiny_transformer(), prepared([PICTURE])))


def test_a_transformer_that_cannot_be_adopted_is_refused():
    class Other(FluxTransformer2DModel):
        def forward(self, hidden_states, **rest):
            return hidden_states

    with pytest.raises(TypeError, match="transformer: expected a FluxTransformer2DModel, got Other"):
        LayoutFluxTransformer2DModel.adopt(Other(**tiny_backbone().config))
    cached = tiny_backbone()
    cached.enable_cache(FirstBlockCacheConfig())
    message = "transformer: expected one without caches, group offloading or compiled blocks"
    with pytest.raises(ValueError, match=message):
        LayoutFluxTransformer2DModel.adopt(cached)
    compiled = tiny_backbone()
    compiled.transformer_blocks[0].compile()
    with pytest.raises(ValueError, match=message):
        LayoutFluxTransformer2DModel.adopt(compiled)


def test_a_predicted_picture_leaves_as_a_velocity():
    ours, given = tiny_transformer(), arguments()
    sample = run(ours, given=given)
    predicting = LayoutFluxTransformer2DModel.adopt(tiny_backbone(), prediction_type="sample")
    velocity = run(predicting, given=given)
    torch.testing.assert_close(velocity, (given["hidden_states"] - sample) / given["timestep"][:, None, None])
    with pytest.raises(ValueError, match="prediction_type: expected 'velocity' or 'sample', got 'noise'"):
        tiny_transformer(prediction_type="noise")


def test_saved_and_loaded_it_is_the_same_and_stock_files_load(tmp_path):
    ours = tiny_transformer(prediction_type="sample")
    ours.save_pretrained(tmp_path / "ours")
    loaded = LayoutFluxTransformer2DModel.from_pretrained(tmp_path / "ours")
    assert loaded.config.prediction_type == "sample"
    assert torch.equal(run(loaded, prepared([PICTURE])), run(ours, prepared([PICTURE])))
    tiny_backbone().save_pretrained(tmp_path / "stock")
    fresh = LayoutFluxTransformer2DModel.from_pretrained(tmp_path / "stock")
    assert torch.equal(run(fresh), run(tiny_transformer()))
    assert FluxTransformer2DModel.from_pretrained(tmp_path / "ours").num_parameters() == ours.num_parameters()


def test_it_can_be_copied_and_pickled():
    ours, layout = tiny_transformer(), prepared([PICTURE])
    drawn = run(ours, layout)
    for again in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert torch.equal(run(again, prepared([PICTURE])), drawn)


def test_repeated_pictures_follow_one_another():
    layout = prepared([PICTURE, None]).repeat(2)
    assert layout.counts == (1, 1, 0, 0)
    assert torch.equal(layout.condition[0], layout.condition[1])
    assert layout.repeat(1) is layout
