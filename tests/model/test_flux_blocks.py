"""Views of FLUX's blocks: run in pieces they are the stock blocks, bit for bit, and every layer they name is there."""

from dataclasses import fields

import pytest
import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor, FluxIPAdapterAttnProcessor
from torch import Tensor, nn

from occlusionformer.model.backbones.flux import DUAL_PATHS, SINGLE_PATHS, DualBlock, SingleBlock
from occlusionformer.model.backbones.streams import Streams, call
from tests.model.tiny import BACKBONE, GRID, TEXT_TOKENS, randomise, tiny_backbone
from tests.tables import for_each

WIDTH = 16
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
KINDS = {"dual": (DualBlock, "transformer_blocks"), "single": (SingleBlock, "single_transformer_blocks")}
by_kind = pytest.mark.parametrize("kind", list(KINDS))
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def block_and_view(kind: str, dtype: torch.dtype, *, prompts: int = 0):
    """A block with random weights, with an IP-adapter of that many pictures, and its view."""
    view, name = KINDS[kind]
    backbone = tiny_backbone()
    if prompts and kind == "dual":
        processor = FluxIPAdapterAttnProcessor(WIDTH, 5, num_tokens=(2,) * prompts, scale=[0.7] * prompts)
        randomise(processor, 9)
        getattr(backbone, name)[1].attn.set_processor(processor)
    block = getattr(backbone.to(dtype), name)[1]
    return block, view(1, block)


def random_streams(dtype: torch.dtype, *, size: float = 1.0, extra: dict | None = None) -> Streams:
    generator = torch.Generator().manual_seed(4)

    def noise(*shape: int) -> Tensor:
        return (torch.randn(*shape, generator=generator) * size).to(dtype)

    tokens = TEXT_TOKENS + GRID.num_tokens
    angle = torch.rand(tokens, 4, generator=generator).repeat_interleave(2, 1)
    return Streams(
        text_BSD=noise(2, TEXT_TOKENS, WIDTH),
        image_BLD=noise(2, GRID.num_tokens, WIDTH),
        temb_BD=noise(2, WIDTH),
        rotary=(angle.cos(), angle.sin()),
        extra=extra or {},
    )


def stock(block: nn.Module, streams: Streams) -> tuple[Tensor, Tensor]:
    return block(
        hidden_states=streams.image_BLD,
        encoder_hidden_states=streams.text_BSD,
        temb=streams.temb_BD,
        image_rotary_emb=streams.rotary,
        joint_attention_kwargs=streams.extra,
    )


def through(path: str, layer: nn.Module, x: Tensor) -> Tensor:
    """As `call`, but not it: the pieces then run the attention core themselves."""
    return layer(x)


def in_pieces(view: DualBlock | SingleBlock, streams: Streams, linear) -> Streams:
    modulated = view.modulate(streams, linear)
    attended = view.attend(modulated, streams, linear=linear)
    return view.finish(streams, modulated, attended, linear=linear)


def equal(actual: Tensor, expected: Tensor, linear) -> bool:
    """The same bits. Layer by layer, half formats may round once more: diffusers releases differ in where they copy."""
    actual, expected = actual.nan_to_num(7), expected.nan_to_num(7)
    if linear is call or actual.dtype == torch.float32:
        return torch.equal(actual, expected)
    return torch.allclose(actual, expected, rtol=3e-2, atol=3e-2 * expected.abs().max().item())


@by_kind
@by_dtype
@for_each("linear", [call, through], ids=["whole layers", "layer by layer"])
@for_each("size", [1.0, 2e4], ids=["ordinary", "beyond float16"])
@torch.no_grad()
def test_the_pieces_are_the_block_bit_for_bit(kind, dtype, linear, size):
    block, view = block_and_view(kind, dtype)
    streams = random_streams(dtype, size=size)
    text, image = stock(block, streams)
    for outcome in (view.run(streams), in_pieces(view, streams, linear)):
        assert equal(outcome.image_BLD, image, linear)
        assert equal(outcome.text_BSD, text, linear)


@by_kind
@torch.no_grad()
def test_float16_is_cut_as_the_block_cuts_it(kind):
    """A gate so large that the sum leaves the format."""
    block, view = block_and_view(kind, torch.float16)
    layer = block.proj_out if kind == "single" else block.ff_context.net[2]
    layer.bias.fill_(6e4)
    streams = random_streams(torch.float16)
    text, image = stock(block, streams)
    outcome = in_pieces(view, streams, call)
    assert text.abs().max() == 65504
    assert torch.equal(outcome.text_BSD, text)
    assert torch.equal(outcome.image_BLD, image)


@by_kind
@by_dtype
@for_each("linear", [call, through], ids=["whole layers", "layer by layer"])
@torch.no_grad()
def test_the_pieces_keep_an_ip_adapter_and_a_mask(kind, dtype, linear):
    block, view = block_and_view(kind, dtype, prompts=2)
    generator = torch.Generator().manual_seed(5)
    prompts = [torch.randn(2, 2, 5, generator=generator).to(dtype) for _ in range(2)]
    tokens = TEXT_TOKENS + GRID.num_tokens
    mask = torch.rand(1, 1, tokens, tokens, generator=generator) > 0.3
    with_prompts = random_streams(dtype, extra={"ip_hidden_states": prompts, "attention_mask": mask})
    text, image = stock(block, with_prompts)
    outcome = in_pieces(view, with_prompts, linear)
    assert equal(outcome.text_BSD, text, linear)
    assert equal(outcome.image_BLD, image, linear)
    without = in_pieces(view, random_streams(dtype, extra={"ip_hidden_states": prompts}), linear)
    assert not torch.equal(without.image_BLD, image)
    given = random_streams(dtype, extra={"ip_hidden_states": prompts})
    modulated = view.modulate(given, linear)
    again = view.finish(given, modulated, view.attend(modulated, given, mask=mask, linear=linear), linear=linear)
    assert equal(again.image_BLD, image, linear)


@by_kind
@torch.no_grad()
def test_another_core_takes_the_place_of_the_attention(kind):
    """Queries, keys and values are those of the block: softmax attention over them gives its numbers."""
    block, view = block_and_view(kind, torch.float32)
    streams = random_streams(torch.float32)
    seen = []

    def core(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        seen.append(query.shape)
        score = torch.einsum("bqhe,bkhe->bhqk", query, key) * query.shape[-1] ** -0.5
        return torch.einsum("bhqk,bkhe->bqhe", score.softmax(-1), value)

    modulated = view.modulate(streams)
    outcome = view.finish(streams, modulated, view.attend(modulated, streams, attention=core))
    text, image = stock(block, streams)
    assert seen == [(2, TEXT_TOKENS + GRID.num_tokens, 2, 8)]
    torch.testing.assert_close(outcome.image_BLD, image, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(outcome.text_BSD, text, rtol=1e-4, atol=1e-4)


@by_kind
@torch.no_grad()
def test_every_layer_is_offered_to_linear_under_its_path(kind):
    block, view = block_and_view(kind, torch.float32)
    seen = {}

    def note(path: str, layer: nn.Module, x: Tensor) -> Tensor:
        seen[path] = layer
        return layer(x)

    in_pieces(view, random_streams(torch.float32), note)
    paths = DUAL_PATHS if kind == "dual" else SINGLE_PATHS
    assert sorted(seen) == sorted(paths.values())
    assert all(block.get_submodule(path) is layer for path, layer in seen.items())


@torch.no_grad()
def test_what_is_put_into_a_dual_block_lands_between_attention_and_feed_forward():
    block, view = block_and_view("dual", torch.float32)
    streams = random_streams(torch.float32)
    modulated = view.modulate(streams)
    attended = view.attend(modulated, streams)
    plain = view.finish(streams, modulated, attended)
    put = view.finish(streams, modulated, attended, before_feed_forward=lambda image: image + 1)
    x = streams.image_BLD + modulated.gate[:, None] * attended.image_BLD + 1
    normed = block.norm2(x) * (1 + modulated.ff_scale[:, None]) + modulated.ff_shift[:, None]
    torch.testing.assert_close(put.image_BLD, x + modulated.ff_gate[:, None] * block.ff(normed))
    assert torch.equal(put.text_BSD, plain.text_BSD)


@torch.no_grad()
def test_what_is_added_beside_a_single_block_goes_to_the_image_alone():
    _, view = block_and_view("single", torch.float32)
    streams = random_streams(torch.float32)
    modulated = view.modulate(streams)
    attended = view.attend(modulated, streams)
    plain = view.finish(streams, modulated, attended)
    more = view.finish(streams, modulated, attended, extra_BLD=torch.ones_like(streams.image_BLD))
    assert torch.equal(more.image_BLD, plain.image_BLD + 1)
    assert torch.equal(more.text_BSD, plain.text_BSD)


@by_kind
def test_diffusers_still_calls_its_layers_by_these_names(kind):
    """Not only importable: every attribute that the views name exists and is what it is taken for."""
    block, view = block_and_view(kind, torch.float32)
    paths = DUAL_PATHS if kind == "dual" else SINGLE_PATHS
    for path in paths.values():
        assert isinstance(block.get_submodule(path), nn.Linear), path
    for field in fields(view.borrowed):
        assert isinstance(getattr(view.borrowed, field.name), nn.Module), field.name
    assert isinstance(block.attn.processor, FluxAttnProcessor)
    assert block.attn.head_dim == BACKBONE["attention_head_dim"]
    layers = [module for module in block.modules() if isinstance(module, nn.Linear)]
    assert len(layers) == len(paths)


def test_the_borrowed_layers_are_the_blocks_own():
    backbone: FluxTransformer2DModel = tiny_backbone()
    block = backbone.transformer_blocks[0]
    borrowed = DualBlock(0, block).borrowed
    own = {id(module) for module in block.modules()}
    assert all(id(getattr(borrowed, field.name)) in own for field in fields(borrowed))
