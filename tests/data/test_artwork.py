"""The packaged art is complete, licensed and small, and its pictures are premultiplied."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from occlusionformer.data.artwork import packaged_art

FOLDER = files("occlusionformer.data") / "art"


def test_objects_are_many_and_have_distinct_names():
    names = [item.name for item in packaged_art().objects]
    assert 100 <= len(names) <= 160
    assert len(set(names)) == len(names)


def test_no_synonym_is_another_objects_name():
    names = {item.name for item in packaged_art().objects}
    clashes = [(item.name, word) for item in packaged_art().objects for word in item.synonyms if word in names]
    assert clashes == []


def test_synonyms_belong_to_one_object():
    words = [word for item in packaged_art().objects for word in item.synonyms]
    assert sorted(word for word in set(words) if words.count(word) > 1) == []


def test_words_are_lower_case():
    for item in packaged_art().objects:
        assert all(word == word.lower() for word in (item.name, *item.synonyms, *item.adjectives))


def test_pictures_are_cropped_premultiplied_and_stored_at_one_size():
    for item in packaged_art().objects:
        assert item.picture.mode == "RGBa"
        assert max(item.picture.size) == 96, item.name
        pixels = np.asarray(item.picture)
        assert (pixels[..., :3] <= pixels[..., 3:]).all(), item.name
        assert pixels[..., 3].max() == 255, item.name


def test_pictures_differ():
    shrunk = [np.asarray(item.picture.resize((16, 16)), dtype=float).ravel() for item in packaged_art().objects]
    stack = np.stack(shrunk)
    distances = np.sqrt(((stack[:, None] - stack[None]) ** 2).mean(axis=2))
    np.fill_diagonal(distances, np.inf)
    assert distances.min() > 15, "two objects look nearly the same"


def test_both_licences_lie_beside_the_art():
    for name in ("LICENSE-fluent-emoji", "LICENSE-emojibase"):
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert "MIT License" in text
        assert "Permission is hereby granted" in text


def test_art_takes_less_than_three_megabytes():
    assert sum(len(path.read_bytes()) for path in FOLDER.iterdir()) < 3_000_000


def test_unknown_name_is_refused_by_name():
    with pytest.raises(ValueError, match="got 'unicorn tank'"):
        packaged_art().named("unicorn tank")
