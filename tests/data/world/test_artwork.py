"""The packaged art is complete, licensed and small; objects in other colours look as they are called."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from occlusionformer.data.world.artwork import ART_LICENSE, Coloured, world_art
from occlusionformer.data.world.colours import OBJECT_COLOURS, main_share, nearest_colour, oklab, recolour, srgb
from occlusionformer.data.world.layers import OPAQUE

ART = world_art()
FOLDER = files("occlusionformer.data.world") / "art"


def test_there_are_four_hundred_objects_and_no_word_means_two():
    words = [word for item in ART.objects for word in (item.name, *item.synonyms)]
    assert len(ART) >= 400
    assert len(words) == len(set(words))
    assert sum(item.recolourable for item in ART.objects) >= 150


def test_words_are_lower_case():
    for item in ART.objects:
        assert all(word == word.lower() for word in (item.name, *item.synonyms, *item.adjectives))


def test_every_picture_is_there_large_enough_and_premultiplied():
    for item in ART.objects:
        picture = item.levels()[0]
        assert picture.mode == "RGBa"
        assert max(picture.size) >= 150, item.name
        pixels = np.asarray(picture)
        assert (pixels[..., :3] <= pixels[..., 3:]).all(), item.name
        assert pixels[..., 3].max() == 255, item.name
        assert (pixels[..., 3] >= OPAQUE).mean() > 0.1, item.name


def test_pictures_differ():
    shrunk_KP = np.stack([item.glimpse(16) for item in ART.objects]).reshape(len(ART), -1).astype(float)
    squares_K = (shrunk_KP**2).sum(axis=1)
    distance_KK = (squares_K[:, None] + squares_K - 2 * shrunk_KP @ shrunk_KP.T) / shrunk_KP.shape[1]
    np.fill_diagonal(distance_KK, np.inf)
    assert distance_KK.min() > 15**2, "two objects look nearly the same"


def test_both_licences_lie_beside_the_art():
    for name in ("LICENSE-fluent-emoji", "LICENSE-emojibase"):
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert f"{ART_LICENSE} License" in text
        assert "Permission is hereby granted" in text


def test_art_takes_less_than_three_megabytes():
    assert sum(len(path.read_bytes()) for path in FOLDER.iterdir()) < 3_000_000


def test_unknown_names_and_colours_are_refused():
    with pytest.raises(ValueError, match="expected one of the 416 packaged objects, got 'unicorn tank'"):
        ART.named("unicorn tank")
    with pytest.raises(ValueError, match=r"colour: expected one of red, orange, .*, got 'mauve'"):
        ART.named("cat").levels("mauve")


def test_objects_have_names_of_their_own_in_every_colour():
    everything = ART.in_colours()
    assert len({one.name for one in everything}) == len(everything) == 416 + 180 * 12
    assert Coloured(ART.named("cat"), "black") in everything
    assert Coloured(ART.named("cat"), "black").name == "black cat"


def test_a_recoloured_object_has_the_colour_it_is_called_by():
    wrong = []
    known = [(item, colour) for item in ART.objects if item.recolourable for colour in OBJECT_COLOURS]
    for item, colour in known[::23]:
        own, other = item.levels()[2].convert("RGBA"), item.levels(colour)[2].convert("RGBA")
        share = main_share(np.array(own)) * np.array(own)[..., 3]
        mean = (oklab(np.array(other)[..., :3]) * share[..., None]).sum((0, 1)) / share.sum()
        if nearest_colour(srgb(mean)) != colour:
            wrong.append((item.name, colour))
    assert len(wrong) <= 0.05 * len(known[::23]), wrong


def test_a_glimpse_is_nearly_the_picture_shrunk():
    apart = [
        np.abs(item.glimpse(20, colour).astype(int) - item.resized(20, 20, colour)).mean()
        for item in [item for item in ART.objects if item.recolourable][::30]
        for colour in (None, "red", "blue", "black", "white")
    ]
    assert np.median(apart) < 2
    assert max(apart) < 10


def test_recolouring_keeps_alpha_and_leaves_other_hues_alone():
    rose = np.array(ART.named("rose").levels()[0].convert("RGBA"))
    blue = recolour(rose, "blue")
    assert (blue[..., 3] == rose[..., 3]).all()
    leaf = (rose[..., 1].astype(int) > rose[..., 0].astype(int) + 40) & (rose[..., 3] > 250)
    assert leaf.sum() > 500
    assert np.abs(blue[leaf].astype(int) - rose[leaf].astype(int)).mean() < 6


def test_oklab_knows_white_and_goes_back():
    assert oklab(np.array([255.0, 255.0, 255.0])) == pytest.approx([1, 0, 0], abs=1e-4)
    colours = np.random.default_rng(0).uniform(0, 255, (50, 3))
    assert srgb(oklab(colours)) == pytest.approx(colours, abs=0.05)
