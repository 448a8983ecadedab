"""The models that run here, and adapters of those that do not, at toy size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from occlusionformer.data.engine.models.completion import CHANNELS, CompletionNetwork
from occlusionformer.data.engine.models.crops import Window, crop, uncrop
from occlusionformer.data.engine.models.describe_anything import DescribeAnything
from occlusionformer.data.engine.models.nearest_art import NearestArt
from occlusionformer.data.engine.models.pair_order import CHANNELS as PAIR_CHANNELS
from occlusionformer.data.engine.models.pair_order import PairNetwork
from occlusionformer.data.engine.models.patches import PatchConfig, PatchNetwork
from occlusionformer.data.engine.models.protocol import Captioner, Completer, MaskedPicture, Orderer, reach
from occlusionformer.data.engine.models.registry import load_model, model_revision
from occlusionformer.data.engine.models.weights import TrainedNetwork
from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.colours import OBJECT_COLOURS
from occlusionformer.data.world.scene import Scene
from tests.data.engine.pictures import rectangle, scene, true_order, view_of_scene

TINY = {"side": 24, "patch": 6, "width": 8, "layers": 1, "heads": 2}


FEW = tuple(one for one in world_art().in_colours() if one.item in world_art().objects[::20])


def art_of(drawn: Scene) -> NearestArt:
    """The objects of a scene and some others, all in all their colours: the whole art takes seconds to get ready."""
    names = {instance.name for instance in drawn.instances}
    return NearestArt(tuple(one for one in world_art().in_colours() if one in FEW or one.item.name in names))


def test_packaged_objects_are_recognised_completed_and_put_in_order():
    drawn = scene(6, min_instances=2, max_instances=2)
    order, art = true_order(drawn), art_of(drawn)
    assert order.any()
    chances = art.probabilities(view_of_scene(drawn), np.array([[0, 1]]))
    assert (chances > 0.5).tolist() == [[order[0, 1], order[1, 0]]]
    view = view_of_scene(drawn, in_front=order)
    assert all(item.name in text for item, text in zip(drawn.instances, art.captions(view), strict=True))
    hidden = int(np.flatnonzero(order.any(axis=0))[0])
    whole, mask = drawn.instances[hidden].amodal, art.complete(view, [hidden])[0]
    assert (mask & whole).sum() / (mask | whole).sum() > 0.9


def test_objects_are_recognised_in_their_colours():
    drawn = scene(5, min_instances=3, max_instances=3, recoloured=1.0)
    captions = art_of(drawn).captions(view_of_scene(drawn, in_front=true_order(drawn)))
    assert all(item.name in text for item, text in zip(drawn.instances, captions, strict=True))
    named = [
        [set(OBJECT_COLOURS) & set(text.split()) for text in texts]
        for texts in (captions, [instance.caption for instance in drawn.instances])
    ]
    assert named[0] == named[1]
    assert any(named[0])


def test_the_art_names_its_revision_and_is_all_three():
    art = NearestArt(FEW)
    assert art.revision == model_revision("nearest-art")
    assert isinstance(art, Captioner)
    assert isinstance(art, Orderer)
    assert isinstance(art, Completer)


def test_the_model_knows_all_objects_in_all_colours():
    art = load_model("nearest-art")
    assert isinstance(art, NearestArt)
    assert [one.name for one in art.objects] == [one.name for one in world_art().in_colours()]
    assert len(art.objects) == 416 + 180 * 12
    assert load_model("nearest-art") is art
    with pytest.raises(ValueError, match="expected nearest-art without an argument, got 'first'"):
        load_model("nearest-art:first")


def random_network(channels: int, outputs: int) -> TrainedNetwork:
    torch.manual_seed(0)
    network = PatchNetwork(PatchConfig(channels=channels, outputs=outputs, **TINY))
    return TrainedNetwork(network, "random")


def test_the_pair_network_does_not_mind_which_is_named_first():
    orderer = PairNetwork(random_network(PAIR_CHANNELS, 2))
    view = view_of_scene(scene(1))
    there = orderer.probabilities(view, np.array([[0, 1]]))
    back = orderer.probabilities(view, np.array([[1, 0]]))
    np.testing.assert_allclose(there, back[:, ::-1], atol=1e-6)
    assert (there > 0).all()
    assert there[0, 0] != there[0, 1]


def test_the_completion_network_answers_for_the_instances_it_is_asked_for():
    completer = CompletionNetwork(random_network(CHANNELS, 0))
    drawn = scene(2)
    view = view_of_scene(drawn, in_front=true_order(drawn))
    both = completer.complete(view, [1, 0])
    assert both.shape == (2, *drawn.image.shape[:2])
    np.testing.assert_array_equal(both[1], completer.complete(view, [0])[0])


def test_a_map_has_its_patches_where_the_window_has_them():
    """Each output patch of a network without layers depends on the same input patch alone."""
    network = PatchNetwork(PatchConfig(channels=2, outputs=0, **{**TINY, "layers": 0})).eval()
    window = torch.randn(1, 24, 24, 2)
    other = window.clone()
    other[0, 6:12, 12:18] += 1
    with torch.no_grad():
        changed = (network(window) != network(other))[0]
    expected = torch.zeros(24, 24, dtype=torch.bool)
    expected[6:12, 12:18] = True
    assert torch.equal(changed, expected)
    assert len(save(network.state_dict())) > 0


def test_a_window_goes_out_and_comes_back():
    mask = rectangle(4, 6, 20, 30)
    window = Window.around((4, 6, 20, 30), margin=0.5)
    seen = crop(np.full((32, 32, 3), 255, dtype=np.uint8), [mask], window=window, side=window.side)
    np.testing.assert_array_equal(uncrop(seen[..., 3], window=window, height=32, width=32) > 0.5, mask)
    assert seen[0, 0, 0] == 0
    assert seen[10, 18, 0] == 1


def test_what_hides_an_instance_follows_the_order():
    masks = np.stack([rectangle(place * 8, 0, place * 8 + 8, 8) for place in range(4)])
    in_front = np.zeros((4, 4), dtype=bool)
    in_front[0, 1] = in_front[1, 2] = True
    view = MaskedPicture(
        key="k", ids=tuple("abcd"), image=np.zeros((32, 32, 3), dtype=np.uint8), masks=masks, in_front=in_front
    )
    np.testing.assert_array_equal(view.hiding(2), masks[0] | masks[1])
    assert not view.hiding(0).any()
    assert reach(in_front)[0, 2]
    unordered = MaskedPicture(key="k", ids=view.ids, image=view.image, masks=masks)
    np.testing.assert_array_equal(unordered.hiding(2), masks[0] | masks[1] | masks[3])


class ToyDescriber:
    """Says how large the mask is, and a word drawn as the real model draws its words."""

    def get_description(self, image_pil: Image.Image, mask_pil: Image.Image, query: str, **settings: object) -> str:
        assert query.startswith("<image>\n")
        assert (image_pil.size, mask_pil.mode) == (mask_pil.size, "L")
        assert settings == {"temperature": 0.2, "top_p": 0.9, "num_beams": 1, "max_new_tokens": 64}
        pixels = int((np.asarray(mask_pil) == 255).sum())
        return f" {pixels} pixels, {int(torch.randint(1000, ()))} " if pixels > 10 else " "


def test_descriptions_are_asked_for_mask_by_mask_and_do_not_change():
    masks = np.stack([rectangle(0, 0, 4, 4), rectangle(0, 0, 8, 8)])
    view = MaskedPicture(key="k", ids=("a", "b"), image=np.zeros((32, 32, 3), dtype=np.uint8), masks=masks)
    model = DescribeAnything(ToyDescriber(), revision="toy")
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    captions = model.captions(view)
    assert [caption.split(",")[0] for caption in captions] == ["16 pixels", "64 pixels"]
    assert model.captions(view) == captions
    assert torch.equal(torch.random.get_rng_state(), before)
    small = MaskedPicture(key="k", ids=("a",), image=view.image, masks=rectangle(0, 0, 3, 3)[None])
    with pytest.raises(ValueError, match="expected a description, got none"):
        model.captions(small)
