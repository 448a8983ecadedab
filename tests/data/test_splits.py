"""What is held out stays out of training, and turns up where it is asked for."""

from __future__ import annotations

from itertools import combinations

import pytest

from occlusionformer.data.artwork import packaged_art
from occlusionformer.data.scenes import SceneDataset, SceneSpec
from occlusionformer.data.splits import HELD_OUT_PAIRS, is_held_out_pair
from occlusionformer.data.words import held_out_synonym, training_synonyms

ART = packaged_art()
FIRST_HELD_OUT = ["alarm clock+bicycle", "alarm clock+bread", "alarm clock+cheese"]
SMALL = {"size": 32, "stretch": 1.0}


def test_held_out_pairs_are_the_stated_share_and_symmetric():
    pairs = list(combinations([item.name for item in ART.objects], 2))
    held = [pair for pair in pairs if is_held_out_pair(*pair)]
    assert len(held) / len(pairs) == pytest.approx(HELD_OUT_PAIRS, abs=0.006)
    assert all(is_held_out_pair(second, first) for first, second in held)
    assert not is_held_out_pair("cat", "cat")


def test_a_few_known_pairs_never_change():
    held = sorted(
        "+".join(sorted((a.name, b.name))) for a, b in combinations(ART.objects, 2) if is_held_out_pair(a.name, b.name)
    )
    assert held[:3] == FIRST_HELD_OUT


@pytest.mark.parametrize("seed", [0, 1])
def test_training_scenes_show_no_held_out_pair_and_no_held_out_word(seed):
    for scene in SceneDataset(seed, 120, spec=SceneSpec(**SMALL)):
        assert not any(is_held_out_pair(a.name, b.name) for a, b in combinations(scene.instances, 2))
        for item in scene.instances:
            drawn = ART.named(item.name)
            nouns = (drawn.name, *training_synonyms(drawn))
            used = max((noun for noun in nouns if item.caption.endswith(noun)), key=len)
            assert used != held_out_synonym(drawn)


def test_held_out_scenes_have_a_held_out_pair_and_held_out_words():
    for scene in SceneDataset(0, 40, spec=SceneSpec(pairs="held-out", wordings="held-out", **SMALL)):
        assert any(is_held_out_pair(a.name, b.name) for a, b in combinations(scene.instances, 2))
        for item in scene.instances:
            word = held_out_synonym(ART.named(item.name))
            assert word is None or item.caption.endswith(word)


def test_objects_with_one_synonym_keep_it():
    for item in ART.objects:
        assert len(training_synonyms(item)) == max(len(item.synonyms) - 1, min(len(item.synonyms), 1))


def test_unknown_parts_are_refused_together():
    with pytest.raises(ValueError, match=r"pairs: expected one of training, held-out, any, got 'all'\nwordings: "):
        SceneSpec(pairs="all", wordings="none")  # type: ignore[arg-type]
