"""ComfyUI with the node pack draws what the package's pipeline draws, and as ever without it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import comfy.samplers
import pytest
import torch
from comfy_api.torch_helpers import set_torch_compile_wrapper
from torch import Tensor

from occlusionformer.embedded.config import backbone_settings, branch_config
from occlusionformer.model import (
    BranchConfig,
    instance_assemble,
    paper,
    published,
)
from tests.comfy import comfyui
from tests.comfy.comfyui import pack
from tests.comfy.drawing import (
    GUIDANCE,
    PROMPT,
    UNWANTED,
    Pair,
    Picture,
    by_comfyui,
    by_package,
    conditioning,
    patched,
    sampled,
)
from tests.comfy.tiny import branch, greatest, noise, packed, scene, shape_of, texts, transformer, unpacked

CLOSE = 2e-4
"""In fp32, over four steps; latents are of size 10."""


def configuration(name: str) -> tuple[dict[str, Any], BranchConfig]:
    """Changes of the tiny backbone, and a branch of it."""
    stock = transformer()
    if name == "embedded":
        sizes = {key: value for key, value in backbone_settings().items() if key != "patch_size"}
        return {**sizes, "joint_attention_dim": 24, "pooled_projection_dim": 24}, replace(
            branch_config(), pooled_dim=24
        )
    own = {"instance_modulation": True, "box_coordinates": True, "instance_mlp_ratio": 2, "appearance_side": 5}
    presets = {
        "published": published(shape_of(stock)),
        "paper": paper(shape_of(stock)),
        "instance_assemble": instance_assemble(shape_of(stock)),
        "own modulation": replace(paper(shape_of(stock)), second_feed_forward="none", **own),
        "last blocks": replace(paper(shape_of(stock)), dual_blocks=(1,), single_blocks=(0, 1)),
        "no dual block": replace(paper(shape_of(stock)), dual_blocks=(), single_blocks=(1,)),
    }
    return {}, presets[name]


@cache
def pair(name: str) -> Pair:
    changes, config = configuration(name)
    return Pair.of(transformer(**changes), branch(config))


ALL = ("published", "paper", "embedded", "instance_assemble", "own modulation", "last blocks", "no dual block")


def pictures(count: int, **settings: Any) -> Picture:
    layouts = (scene("cat"), scene("dog", third=True))[:count]
    return Picture.of(*layouts, **settings)


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", ALL)
def test_a_picture_is_the_pipelines(name: str, batch: int, cfg: float):
    picture = pictures(batch, cfg=cfg)
    model = pair(name).model
    before = sampled(model, picture)
    ours = by_package(pair(name), picture).images
    theirs = by_comfyui(pair(name), picture)
    assert greatest(theirs - ours) <= CLOSE
    assert greatest(theirs - model.model.process_latent_in(before)) > 100 * CLOSE, "the layout does nothing"
    assert torch.equal(sampled(model, picture), before), "the unpatched model has changed"


def test_captions_are_read_as_they_are_and_the_second_encoder_too():
    """A caption with parentheses, which are weights in ComfyUI's prompts: the pooled texts are those of the package."""
    layouts = [scene("cat")]
    ours = pair("paper").pipeline.encode_layouts(tuple(layouts), pair("paper").method.texts, prompt_tokens=256)
    (theirs,) = pack("applying").encoded(texts().clip, layouts, torch.float32)
    assert greatest(ours.pooled_NP - theirs.pooled_NP) <= 1e-5


PRESETS = ("published", "paper", "embedded")


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", PRESETS)
def test_hooks_of_other_nodes_run_inside_ours_whether_they_come_before_or_after(name: str, batch: int, cfg: float):
    """A hook that scales what goes into every block; in the package hooks on the blocks do the same."""
    picture = pictures(batch, cfg=cfg)
    called = []

    def scaling(arguments, extra):
        called.append(arguments["transformer_options"]["block_type"])
        return extra["original_block"]({**arguments, "img": arguments["img"] * 1.1})

    def scaled(module, arguments, named):
        inputs = ("hidden_states", "encoder_hidden_states") if module in singles else ("hidden_states",)
        return arguments, {**named, **{name: named[name] * 1.1 for name in inputs}}

    drop_in = pair(name).pipeline.transformer
    duals, singles = list(drop_in.transformer_blocks), list(drop_in.single_transformer_blocks)
    handles = [block.register_forward_pre_hook(scaled, with_kwargs=True) for block in (*duals, *singles)]
    ours = by_package(pair(name), picture).images
    for handle in handles:
        handle.remove()

    def hooked(model):
        model = model.clone()
        for kind, blocks in (("double_block", duals), ("single_block", singles)):
            for index in range(len(blocks)):
                model.set_model_patch_replace(scaling, "dit", kind, index)
        return model

    before = by_comfyui(pair(name), picture, patched(pair(name), picture, hooked(pair(name).model)))
    assert (called.count("double"), called.count("single")) == (4 * len(duals), 4 * len(singles))
    after = by_comfyui(pair(name), picture, hooked(patched(pair(name), picture)))
    assert torch.equal(before, after)
    assert greatest(before - ours) <= CLOSE
    assert greatest(before - by_comfyui(pair(name), picture)) > 100 * CLOSE, "the hooks do nothing"


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", PRESETS)
def test_reference_pictures_behind_the_canvas_are_left_alone(name: str, batch: int, cfg: float):
    """Kontext: tokens of another picture follow those of the canvas, with a first id of 1."""
    picture = pictures(batch, cfg=cfg)
    reference = noise(1, picture.latents.shape[1], 6, 8, seed=9)
    theirs = by_comfyui(pair(name), picture, reference_latents=[pair(name).model.model.process_latent_out(reference)])
    ours = _with_reference(pair(name), picture, packed(reference))
    assert greatest(theirs - ours) <= CLOSE
    assert greatest(theirs - by_comfyui(pair(name), picture)) > 100 * CLOSE, "the reference does nothing"


def _with_reference(pair: Pair, picture: Picture, reference: Tensor) -> Tensor:
    """Euler's steps over the package's transformer, whose image sequence goes on with a reference."""
    pipeline = pair.pipeline
    drop_in = pipeline.transformer
    count, (height, width) = len(picture.layouts), picture.size
    prepared = pipeline.prepare(list(picture.layouts), sigmas=picture.sigmas[:-1].tolist(), grounding_ratio=0.5)
    prepared = replace(prepared, level=None)
    ids = torch.cat([token_ids(height // 2, width // 2), token_ids(3, 4, first=1.0)])
    guidance = torch.full((count,), GUIDANCE) if pair.stock.config.guidance_embeds else None
    texts_of = {
        name: pipeline.encode_prompt(prompt=[text] * count, prompt_2=None, max_sequence_length=256)
        for name, text in (("cond", PROMPT), ("uncond", UNWANTED))
    }

    def velocity(latents: Tensor, level: float, side: str, layout: object) -> Tensor:
        embeds, pooled, text_ids = texts_of[side]
        tokens = packed(latents)
        sample = drop_in(
            hidden_states=torch.cat([tokens, reference.expand(count, -1, -1)], 1), encoder_hidden_states=embeds,
            pooled_projections=pooled, timestep=torch.full((count,), level), guidance=guidance, img_ids=ids,
            txt_ids=text_ids, joint_attention_kwargs={"layout": layout}, return_dict=False,
        )[0]  # fmt: skip
        return unpacked(sample[:, : tokens.shape[1]], height, width)

    latents = picture.latents
    for level, following in pairwise(picture.sigmas.tolist()):
        step = velocity(latents, level, "cond", prepared)
        if picture.cfg != 1:
            unwanted = velocity(latents, level, "uncond", None)
            step = unwanted + picture.cfg * (step - unwanted)
        latents = latents + (following - level) * step
    return latents


def token_ids(rows: int, columns: int, first: float = 0.0) -> Tensor:
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([torch.full((rows, columns), first), y.float(), x.float()], -1).flatten(0, 1)


def test_text_that_another_node_puts_in_front_is_no_part_of_the_picture():
    """A patch of the input may lengthen the text sequence; single-stream blocks are told its length by dual ones."""
    picture = pictures(1)
    model = pair("no dual block").model.clone()

    def lengthened(arguments):
        more = arguments["txt"][:, :3].flip(1)
        ids = arguments["txt_ids"][:, :3]
        return {
            **arguments,
            "txt": torch.cat([more, arguments["txt"]], 1),
            "txt_ids": torch.cat([ids, arguments["txt_ids"]], 1),
        }

    model.set_model_post_input_patch(lengthened)
    plain = sampled(model, picture)
    drawn = sampled(patched(pair("no dual block"), replace(picture, strength=0.0), model), picture)
    assert torch.equal(plain, drawn)
    lengths = set()
    hooks = pack("hooks")
    original = hooks.SingleHook._texts
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(hooks.SingleHook, "_texts", lambda *each: lengths.add(original(*each)) or original(*each))
        sampled(patched(pair("no dual block"), picture, model), picture)
    assert lengths == {256 + 3}


def test_control_residuals_come_after_the_layout_as_in_the_package():
    picture = pictures(1, sigmas=torch.tensor([1.0, 0.0]), grounding_ratio=1.0)
    tokens = picture.latents[0].numel() // 64
    residuals = [noise(1, tokens, 32, seed=20 + index) for index in range(4)]
    model = patched(pair("paper"), picture)

    def controlled(apply, arguments):
        arguments["c"]["control"] = {"input": residuals[:2], "output": residuals[2:]}
        return apply(arguments["input"], arguments["timestep"], **arguments["c"])

    model.set_model_unet_function_wrapper(controlled)
    theirs = by_comfyui(pair("paper"), picture, model)
    pipeline = pair("paper").pipeline
    embeds, pooled, text_ids = pipeline.encode_prompt(prompt=PROMPT, prompt_2=None, max_sequence_length=256)
    height, width = picture.size
    prepared = pipeline.prepare(list(picture.layouts), sigmas=[1.0], grounding_ratio=1.0)
    sample = pipeline.transformer(
        hidden_states=packed(picture.latents), encoder_hidden_states=embeds, pooled_projections=pooled,
        timestep=torch.ones(1), guidance=torch.full((1,), GUIDANCE), img_ids=token_ids(height // 2, width // 2),
        txt_ids=text_ids, joint_attention_kwargs={"layout": replace(prepared, level=None)}, return_dict=False,
        controlnet_block_samples=residuals[:2], controlnet_single_block_samples=residuals[2:],
    )[0]  # fmt: skip
    ours = picture.latents - unpacked(sample, height, width)
    assert greatest(theirs - ours) <= CLOSE
    assert greatest(theirs - by_comfyui(pair("paper"), picture)) > 100 * CLOSE, "the residuals do nothing"


def test_every_sampler_that_evaluates_between_steps_runs_and_the_share_of_steps_holds():
    picture = pictures(2, cfg=3.0)
    for sampler in ("euler", "heun", "dpmpp_2m", "euler_ancestral", "uni_pc"):
        torch.manual_seed(0)
        plain = sampled(pair("paper").model, picture, sampler=sampler)
        torch.manual_seed(0)
        drawn = sampled(patched(pair("paper"), picture), picture, sampler=sampler)
        assert greatest(drawn - plain) > 0.01, sampler
        assert drawn.isfinite().all()


@pytest.mark.parametrize(("ratio", "steps"), [(0.0, 0), (0.01, 1), (0.3, 1), (0.5, 2), (0.75, 3), (1.0, 4)])
def test_the_layout_acts_on_a_share_of_the_steps_and_at_least_one(ratio: float, steps: int):
    picture = pictures(1, grounding_ratio=ratio)
    opened = []
    method = pair("paper").method
    with pytest.MonkeyPatch.context() as changed:
        original = type(method).open
        changed.setattr(type(method), "open", lambda *each: opened.append(1) or original(*each))
        sampled(patched(pair("paper"), picture), picture)
    assert len(opened) == steps


def test_a_layout_that_does_not_act_leaves_every_bit():
    picture = pictures(2, cfg=3.0)
    plain = sampled(pair("paper").model, picture)
    for settings in ({"strength": 0.0}, {"grounding_ratio": 0.0}, {"layouts": [scene().model_copy(update=EMPTY)]}):
        idle = replace(picture, **settings)
        assert torch.equal(sampled(patched(pair("paper"), idle), idle), plain)


EMPTY = {"instances": (), "order": None}


def test_one_layout_serves_a_batch_and_another_number_is_refused():
    picture = pictures(2, cfg=3.0)
    twice = replace(picture, layouts=[scene("cat")] * 2)
    once = replace(picture, layouts=[scene("cat")])
    assert torch.equal(sampled(patched(pair("paper"), twice), twice), sampled(patched(pair("paper"), once), once))
    thrice = replace(picture, layouts=[scene("cat")] * 3)
    with pytest.raises(ValueError, match="expected one for all pictures or one for each of the 2, got 3"):
        sampled(patched(pair("paper"), thrice), picture)


def test_pictures_of_another_shape_and_parts_of_pictures_are_refused():
    picture = pictures(1)
    model = patched(pair("paper"), picture)
    tall = replace(picture, latents=noise(1, 16, 16, 8))
    with pytest.raises(ValueError, match=r"shape 96 x 64 that it was drawn for, got 64 x 128"):
        sampled(model, tall)
    larger = replace(picture, latents=noise(1, 16, 16, 24))
    assert sampled(model, larger).isfinite().all()
    with pytest.raises(ValueError, match=r"expected whole pictures of 96 x 64, got parts of 48 x 32"):
        sampled(model, picture, area=(4, 6, 0, 0), strength=1.0)


def test_the_positive_half_is_known_by_its_conditioning_in_guiders_with_three():
    """ComfyUI's DualCFGGuider computes the negative conditioning first, where others have the positive one."""
    guider_class = comfyui.node("DualCFGGuider")
    picture = pictures(1, grounding_ratio=1.0)
    conditionings = (conditioning(PROMPT), conditioning("a garden"), conditioning(UNWANTED))
    (guider,) = guider_class.execute(patched(pair("paper"), picture), *conditionings, 2.0, 3.0, "regular").args
    rows = []
    patch_class = pack("layout_patch").LayoutPatch
    original = patch_class.rows
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(patch_class, "rows", lambda *each: rows.append(original(*each)) or rows[-1])
        guider.sample(
            picture.latents, torch.zeros_like(picture.latents), comfy.samplers.sampler_object("euler"), picture.sigmas,
            disable_pbar=True,
        )  # fmt: skip
    assert len(rows) == 4
    assert {tuple(sorted(row, key=str)) for row in rows} == {(0, None, None)}
    assert rows[0] == (0, None, None), "of a batch whose last condition comes first"


def test_two_layouts_on_one_model_both_act():
    picture = pictures(1)
    once = patched(pair("paper"), picture)
    other = replace(picture, layouts=[scene("dog", third=True)])
    twice = patched(pair("paper"), other, once)
    assert len(pack("applying").applied(twice)) == 2
    assert len(twice.get_additional_models()) == 1
    results = [sampled(model, picture) for model in (once, twice, patched(pair("paper"), other))]
    assert greatest(results[0] - results[1]) > 0.01
    assert greatest(results[1] - results[2]) > 0.01


def test_newer_releases_say_themselves_where_the_text_ends():
    hook = pack("hooks").SingleHook(
        state=None, passage=pack("hooks").Passage(), block=None, index=0, position=0, inner=None
    )  # fmt: skip
    assert hook._texts({"transformer_options": {"img_slice": [5, 20]}}) == 5
    hook.passage.texts = 7
    assert hook._texts({"transformer_options": {}}) == hook._texts({}) == 7


def test_layout_tokens_move_with_positions_that_a_node_stretches_and_shifts():
    """Where ComfyUI puts image tokens by rope_options, a layout token among them is put too."""
    flux = pair("paper").model.model.diffusion_model
    options = {"scale_x": 1.5, "scale_y": 0.5, "shift_x": 3.0, "shift_y": -2.0, "shift_t": 1.0}
    latents = noise(1, 16, 8, 12)
    _, ids = flux.process_img(latents)
    _, moved = flux.process_img(latents, transformer_options={"rope_options": options})
    rotary = pack("flux_model").Rotary
    for ours, theirs in zip(rotary(flux, options)(ids[0]), rotary(flux, {})(moved[0]), strict=True):
        assert greatest(ours - theirs) <= 1e-5
    picture = pictures(1)
    model = pair("paper").model.clone()
    model.set_model_rope_options(**options, scale_t=1.0)
    assert greatest(sampled(patched(pair("paper"), picture, model), picture) - sampled(model, picture)) > 0.01


def test_blocks_that_are_compiled_draw_the_same():
    picture = pictures(2, cfg=3.0)
    model = patched(pair("paper"), picture)
    drawn = sampled(model, picture)
    blocks = [f"diffusion_model.{kind}_blocks.{index}" for kind in ("double", "single") for index in (0, 1)]
    set_torch_compile_wrapper(model, backend="eager", keys=blocks)
    assert greatest(sampled(model, picture) - drawn) <= 1e-4
