"""What every layout method keeps, whatever it does: stock without a layout, batches like singles, and so on."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from diffusers import FluxTransformer2DModel

from occlusionformer.model import Method
from occlusionformer.model.method import InstanceTexts
from tests.methods.zoo import METHODS, arguments, method, prepared, run, texts, transformer, whole_and_alone
from tests.model.test_no_sync import WAITING, Recorder
from tests.model.tiny import BACKBONE, BOXES, CHAIN, EMPTY, GRID, Picture, randomise

by_method = pytest.mark.parametrize("name", list(METHODS))
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SCENE = Picture(boxes=BOXES, occluders=CHAIN)
PAIR = Picture(boxes=BOXES[1:], occluders=((), (0,)), opacities=(0.7, 1.0))


@by_method
@torch.no_grad()
def test_without_instances_or_strength_it_is_the_stock_backbone_bit_for_bit(name):
    model, built, given = transformer(torch.float32), method(name, torch.float32), arguments(1, torch.float32)
    stock = FluxTransformer2DModel(**BACKBONE).eval()
    randomise(stock, 0)
    expected = stock(**given, return_dict=False)[0]
    layout = prepared(built, [SCENE], dtype=torch.float32)
    idle = [None, prepared(built, [EMPTY], dtype=torch.float32), prepared(built, [None], dtype=torch.float32)]
    for _ in range(2):
        for nothing in [*idle, replace(layout, strength=0.0)]:
            assert torch.equal(run(model, nothing, given), expected)
        assert (run(model, layout, given) - expected).abs().max() > 1e-3


@by_method
@torch.no_grad()
def test_a_batch_of_different_layouts_is_each_alone(name):
    for found, alone in whole_and_alone(transformer(), method(name), [SCENE, None, PAIR, EMPTY], texts(5)):
        torch.testing.assert_close(found, alone, rtol=1e-9, atol=1e-9)


@by_method
@torch.no_grad()
def test_a_noise_level_told_once_is_that_of_every_picture(name):
    """As diffusers' modular pipelines tell it; guidance likewise."""
    model, built, given = transformer(), method(name), arguments(2)
    layout = prepared(built, [SCENE, PAIR], words=texts(5))
    each = {key: value[:1].expand(2) if key in ("timestep", "guidance") else value for key, value in given.items()}
    once = {key: value[:1] if key in ("timestep", "guidance") else value for key, value in given.items()}
    torch.testing.assert_close(run(model, layout, once), run(model, layout, each), rtol=1e-9, atol=1e-9)


THIN = Picture(boxes=((0.5, 0.5, 0.5 + 1e-11, 0.5 + 1e-11), (0.0, 0.0, 5e-324, 1.0)), occluders=((), (0,)))


@by_method
@torch.no_grad()
def test_boxes_without_width_in_fp32_are_drawn(name):
    model, built, given = transformer(torch.float32), method(name, torch.float32), arguments(1, torch.float32)
    layout = prepared(built, [THIN], words=texts(2, torch.float32), dtype=torch.float32)
    assert run(model, layout, given).isfinite().all()


@by_method
@torch.no_grad()
def test_the_numbering_of_instances_does_not_matter(name):
    if name == "creatilayout, published":
        pytest.skip("its free ids count instances in the order of the list, as the published code does")
    model, built, given = transformer(), method(name), arguments(1)
    words, order = texts(3), (2, 0, 1)
    turned = Picture(
        boxes=tuple(BOXES[i] for i in order),
        occluders=tuple(tuple(order.index(j) for j in CHAIN[i]) for i in order),
    )
    first = run(model, prepared(built, [SCENE], words=words), given)
    second = run(model, prepared(built, [turned], words=words.rows(torch.tensor(order))), given)
    torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-9)


@by_method
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@torch.no_grad()
def test_half_precision_is_finite_and_near(name, dtype):
    pictures = [SCENE, None]
    errors = []
    for of in (method(name), None):
        outputs = []
        for number in (torch.float32, dtype):
            given = {key: value.to(number) for key, value in arguments(2).items()}
            words = texts(3, number)
            layout = None if of is None else prepared(method(name, number), pictures, words=words, dtype=number)
            outputs.append(run(transformer(number), layout, given))
        fine, coarse = outputs
        assert coarse.dtype == dtype
        assert coarse.isfinite().all()
        errors.append(float((coarse.float() - fine).abs().mean() / fine.abs().mean()))
    with_layout, stock = errors
    assert with_layout < 4 * stock


@by_method
def test_gradients_reach_every_parameter(name):
    model, built = transformer(), method(name)
    if not list(built.parameters()):
        pytest.skip("nothing to train")
    layout = prepared(built, [SCENE, None, PAIR], words=texts(5), want_masks=built.predicts_masks)
    loss = run(model, layout, arguments(3)).square().mean()
    sum([logits.square().mean() for logits in layout.report.mask_logits], loss).backward()
    silent = {key for key, p in built.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    null = {key for key, _ in built.named_parameters() if "null_" in key and "published" not in name}
    assert silent == null


@by_method
def test_gradients_that_are_computed_again_are_the_same(name):
    built, found = method(name), []
    for again in (False, True):
        model = transformer()
        if again:
            model.enable_gradient_checkpointing()
        model.train()
        given = arguments(2)
        given["hidden_states"].requires_grad_(True)
        run(model, prepared(built, [SCENE, None], words=texts(3)), given).square().sum().backward()
        found.append((given["hidden_states"].grad, model.x_embedder.weight.grad))
    for plain, repeated in zip(*found, strict=True):
        torch.testing.assert_close(plain, repeated, rtol=1e-9, atol=1e-12)


@by_method
@torch.no_grad()
def test_saved_is_loaded(name, tmp_path):
    built = method(name, torch.float32)
    built.save_pretrained(tmp_path)
    again = type(built).from_pretrained(tmp_path)
    own = set(inspect.signature(type(built).__init__).parameters) - {"self"}
    assert all(stored(again, key) == stored(built, key) for key in own)
    for parameter in again.parameters():  # out of the mapped file, where matrix products of odd addresses round anew
        parameter.data = parameter.data.clone()
    model, given = transformer(torch.float32), arguments(1, torch.float32)
    words = texts(3, torch.float32)
    first, second = (
        run(model, prepared(of, [SCENE], words=words, dtype=torch.float32), given) for of in (built, again)
    )
    assert torch.equal(first, second)


def stored(built: Method, key: str) -> str:
    """A setting as it is written down."""
    return json.dumps(built.config[key], sort_keys=True)


@by_method
@torch.no_grad()
def test_a_forward_reads_nothing_back_and_has_no_loop_over_instances(name):
    model, built = transformer(torch.float32), method(name, torch.float32)
    counts: list[Counter[str]] = []
    for copies in (1, 4):
        picture = Picture(BOXES[:1] * copies, tuple(tuple(range(i)) for i in range(copies)))
        layout = prepared(built, [picture], words=texts(copies, torch.float32), dtype=torch.float32)
        given = arguments(1, torch.float32)
        with Recorder() as recorder:
            run(model, layout, given)
        counts.append(recorder.seen)
    assert not WAITING & set(counts[1])
    few, many = (sum(count.values()) for count in counts)
    assert abs(many - few) <= 0.05 * few


@by_method
@torch.no_grad()
def test_every_picture_repeated_is_the_batch_repeated(name):
    model, built = transformer(), method(name)
    layout = prepared(built, [SCENE, PAIR], words=texts(5))
    given = arguments(2)
    twice = {
        key: value.repeat_interleave(2, 0) if key not in ("img_ids", "txt_ids") else value
        for key, value in given.items()
    }
    whole = run(model, layout.repeat(2), twice)
    torch.testing.assert_close(whole, run(model, layout, given).repeat_interleave(2, 0), rtol=1e-9, atol=1e-9)


@by_method
@torch.no_grad()
def test_tokens_of_a_reference_picture_behind_the_canvas_are_left_to_the_backbone(name):
    """Kontext appends them: the layout concerns the first h * w tokens, which still see the others."""
    model, built = transformer(), method(name)
    given = arguments(1)
    longer = given | {
        "hidden_states": torch.cat([given["hidden_states"], given["hidden_states"].flip(1)], 1),
        "img_ids": torch.cat([given["img_ids"], given["img_ids"] + torch.tensor([1.0, 0, 0])]),
    }
    drawn = run(model, prepared(built, [SCENE], words=texts(3)), longer)
    assert drawn.shape[1] == 2 * GRID.num_tokens
    assert (drawn - run(model, None, longer))[:, : GRID.num_tokens].abs().max() > 1e-3


@by_method
def test_texts_that_do_not_fit_are_refused(name):
    built = method(name)
    with pytest.raises(ValueError, match=r"pooled text: expected|text sequences: expected"):
        built.prepare([SCENE.layout()], InstanceTexts(), GRID, device="cpu", dtype=torch.float64)
    with pytest.raises(ValueError, match="expected one"):
        built.prepare([SCENE.layout()], texts(2), GRID, device="cpu", dtype=torch.float64)
