"""A layout in other Flux pipelines over the same components: it acts inside its boxes and leaves the rest alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import (
    FluxControlNetModel,
    FluxControlNetPipeline,
    FluxFillPipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxKontextPipeline,
    FluxPipeline,
)
from PIL import Image

from occlusionformer.layout import Box, Instance, Layout
from occlusionformer.model import LayoutFluxTransformer2DModel
from occlusionformer.pipelines import OcclusionFormerPipeline
from tests.pipelines.tiny import flux_components, seeded, tiny_branch

HEIGHT, WIDTH = 64, 96
BOXES = (Box(0.0, 0.0, 0.5, 0.5), Box(2 / 3, 0.5, 1.0, 1.0))
COVERED = torch.zeros(4, 6, dtype=torch.bool)
COVERED[:2, :3] = COVERED[2:, 4:] = True
"""The tokens of the boxes."""
CALL = {
    "prompt": "a garden", "height": HEIGHT, "width": WIDTH, "num_inference_steps": 4, "output_type": "latent",
    "max_sequence_length": 24,
}  # fmt: skip
HIGHEST = 1e-3
"""Of differences outside all boxes."""


def layout() -> Layout:
    captions = ("a red cat", "a blue dog")
    return Layout(
        prompt="a garden",
        width=WIDTH,
        height=HEIGHT,
        instances=tuple(
            Instance(id=caption, caption=caption, box=box) for caption, box in zip(captions, BOXES, strict=True)
        ),
    )


@torch.no_grad()
def seclude(model: torch.nn.Module) -> None:
    """No token sees another: attention is multiplied by zero on its way out."""
    for block in model.transformer_blocks:
        for layer in (block.attn.to_out[0], block.attn.to_add_out):
            layer.weight.zero_()
    for block in model.single_transformer_blocks:
        block.proj_out.weight[:, :32].zero_()


def secluded(**transformer: int) -> OcclusionFormerPipeline:
    """A pipeline in which no token of the picture sees another but through the layout."""
    components = flux_components()
    if transformer:
        torch.manual_seed(0)
        config = {**components["transformer"].config, **transformer}
        components["transformer"] = LayoutFluxTransformer2DModel(
            **{key: value for key, value in config.items() if not key.startswith("_")}
        ).eval()
    seclude(components["transformer"])
    branch = tiny_branch(components["transformer"])
    with torch.no_grad():
        for block in branch.dual.values():
            block.ff_gate.zero_()
    pipeline = OcclusionFormerPipeline(**components, branch=branch, max_sequence_length=24, default_grounding_ratio=0.5)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def photograph() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))


def everywhere() -> Image.Image:
    return Image.new("L", (WIDTH, HEIGHT), 255)


def tiny_controlnet() -> FluxControlNetModel:
    torch.manual_seed(3)
    net = FluxControlNetModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, guidance_embeds=True, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    with torch.no_grad():
        for block in (*net.controlnet_blocks, *net.controlnet_single_blocks):
            torch.nn.init.normal_(block.weight, std=0.02)
    seclude(net)
    return net.eval()


HOSTS = {
    "text": (FluxPipeline, dict, {}, {}),
    "img2img": (
        FluxImg2ImgPipeline, dict, {"image": photograph, "strength": lambda: 0.75}, {"denoising_strength": 0.75},
    ),
    "inpaint": (
        FluxInpaintPipeline, dict, {"image": photograph, "mask_image": everywhere, "strength": lambda: 1.0}, {},
    ),
    "controlnet": (
        FluxControlNetPipeline, lambda: {"controlnet": tiny_controlnet()}, {"control_image": photograph}, {},
    ),
    "kontext": (
        FluxKontextPipeline, dict,
        {"image": photograph, "max_area": lambda: HEIGHT * WIDTH, "_auto_resize": lambda: False}, {},
    ),
}  # fmt: skip
by_host = pytest.mark.parametrize("host", list(HOSTS))


def opened(host: str, pipeline: OcclusionFormerPipeline):
    """The host pipeline through from_pipe, and its call's own arguments."""
    kind, more, arguments, _ = HOSTS[host]
    opened_host = kind.from_pipe(pipeline, **more())
    opened_host.set_progress_bar_config(disable=True)
    return opened_host, {**CALL, **{name: make() for name, make in arguments.items()}}


def difference(one: torch.Tensor, other: torch.Tensor) -> tuple[float, float, float]:
    """Greatest change of a latent inside and outside the boxes, and the least of any covered token's."""
    changed_L = (one[0] - other[0]).abs().amax(-1)[: COVERED.numel()]
    covered_L = COVERED.flatten()
    return (float(x) for x in (changed_L[covered_L].max(), changed_L[~covered_L].max(), changed_L[covered_L].min()))


@by_host
def test_a_layout_acts_inside_its_boxes(host):
    pipeline = secluded()
    other, arguments = opened(host, pipeline)
    assert other.transformer is pipeline.transformer
    steps = {"num_inference_steps": 4, **HOSTS[host][3]}
    ready = pipeline.prepare(layout(), **steps)
    plain = other(**arguments, generator=seeded(0)).images
    drawn = other(**arguments, generator=seeded(0), joint_attention_kwargs={"layout": ready}).images
    inside, outside, least = difference(drawn, plain)
    assert inside > 1e-2
    assert least > 1e-3
    assert outside < HIGHEST
    idle = pipeline.prepare(layout(), **steps, strength=0.0)
    assert torch.equal(other(**arguments, generator=seeded(0), joint_attention_kwargs={"layout": idle}).images, plain)


@by_host
def test_the_negative_half_of_guidance_is_left_to_the_backbone(host):
    """Guided by the same text on both sides, what the layout changes is all that guidance enlarges."""
    pipeline = secluded()
    other, arguments = opened(host, pipeline)
    arguments |= {"num_inference_steps": 1} if host != "img2img" else {"num_inference_steps": 1, "strength": 1.0}
    ready = pipeline.prepare(layout(), num_inference_steps=1)
    guided = {"negative_prompt": "a garden", "true_cfg_scale": 3.0}

    def drawn(**more) -> torch.Tensor:
        return other(**arguments, **more, generator=seeded(0)).images

    plain, once = drawn(), drawn(joint_attention_kwargs={"layout": ready})
    thrice = drawn(**guided, joint_attention_kwargs={"layout": ready})
    torch.testing.assert_close(thrice - plain, 3 * (once - plain), atol=1e-4, rtol=1e-4)


def test_fill_concatenates_channels_and_keeps_the_layout():
    """The latent, the masked picture and the mask, 8 x 8 pixels of it in a position, stand in one token."""
    pipeline = secluded(in_channels=16 + 16 + 4 * 64, out_channels=16)
    other = FluxFillPipeline.from_pipe(pipeline)
    other.set_progress_bar_config(disable=True)
    arguments = {**CALL, "image": photograph(), "mask_image": everywhere()}
    plain = other(**arguments, generator=seeded(0)).images
    ready = pipeline.prepare(layout(), num_inference_steps=4)
    drawn = other(**arguments, generator=seeded(0), joint_attention_kwargs={"layout": ready}).images
    inside, outside, _ = difference(drawn, plain)
    assert inside > 1e-2
    assert outside < HIGHEST


def test_several_images_a_prompt():
    pipeline = secluded()
    other, arguments = opened("text", pipeline)
    ready = pipeline.prepare(layout(), num_inference_steps=4, num_images_per_prompt=2)
    both = other(
        **arguments, num_images_per_prompt=2, generator=seeded(0, 1), joint_attention_kwargs={"layout": ready}
    ).images
    one = pipeline.prepare(layout(), num_inference_steps=4)
    for index in range(2):
        alone = other(**arguments, generator=seeded(index), joint_attention_kwargs={"layout": one}).images
        torch.testing.assert_close(both[index : index + 1], alone, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="layout: expected one for each of the batch's 2 pictures, got 1"):
        other(**arguments, num_images_per_prompt=2, joint_attention_kwargs={"layout": one})


def test_the_share_of_the_steps_is_that_of_the_steps_that_are_run():
    """Img2img at 0.5 runs the last two of four steps: half of them is one."""
    pipeline = secluded()
    other, arguments = opened("img2img", pipeline)
    acted = []
    opening = type(pipeline.branch).open

    def counted(self, prepared, inputs):
        acted.append(float(inputs.timestep_B[0]))
        return opening(self, prepared, inputs)

    type(pipeline.branch).open = counted
    try:
        for strength, share, expected in ((0.5, 0.5, 1), (0.5, 1.0, 2), (1.0, 0.5, 2), (1.0, 0.01, 1)):
            acted.clear()
            ready = pipeline.prepare(
                layout(), num_inference_steps=4, denoising_strength=strength, grounding_ratio=share
            )
            other(**{**arguments, "strength": strength}, joint_attention_kwargs={"layout": ready})
            assert len(acted) == expected, (strength, share, acted)
    finally:
        type(pipeline.branch).open = opening


def test_masks_and_weights_are_in_the_report():
    pipeline = secluded()
    other, arguments = opened("inpaint", pipeline)
    ready = pipeline.prepare(layout(), num_inference_steps=4, output_instance_masks=True, output_weights=True)
    other(**arguments, joint_attention_kwargs={"layout": ready})
    assert [tuple(logits.shape) for logits in ready.report.mask_logits] == [(2, 24, 2)] * 2
    assert [tuple(weights.shape) for weights in ready.report.weights] == [(2, 24)] * 2


def test_a_layout_of_another_canvas_is_refused():
    pipeline = secluded()
    other, arguments = opened("inpaint", pipeline)
    turned = pipeline.prepare(layout(), height=WIDTH, width=HEIGHT, num_inference_steps=4)
    with pytest.raises(ValueError, match=r"layout: expected the canvas of the picture, .* got a grid of 6 x 4 tokens"):
        other(**arguments, joint_attention_kwargs={"layout": turned})
    with pytest.raises(TypeError, match=r"joint_attention_kwargs\['layout'\]: expected PreparedLayouts"):
        other(**arguments, joint_attention_kwargs={"layout": layout()})
