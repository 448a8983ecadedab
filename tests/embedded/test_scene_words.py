"""How words come by the objects they mean: what may be known of an object, and how senses are related."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.captions import held_out_synonym

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(autouse=True)
def beside_the_tools(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)


def test_no_wording_is_held_out_of_any_object():
    from scene_words import normal_form, wordings

    objects = world_art().objects
    held_out = {normal_form(word) for item in objects if (word := held_out_synonym(item))}
    found = wordings(objects, ["a meadow"])
    assert held_out.isdisjoint(normal_form(each.text) for each in found if each.kind != "adjective")
    assert any(normal_form(tag) in held_out for item in objects for tag in item.tags), "some tags had to go"
    assert {each.kind for each in found} == {"name", "synonym", "adjective", "tag", "scenery"}
    assert (found[-1].of, found[-1].text) == (-1, "a meadow")


def test_senses_are_nearer_the_fewer_steps_lie_between():
    from scene_words import Senses
    from text_dictionary import Meaning

    kinds = {
        "animal": (),
        "equid": ("animal",),
        "horse": ("equid",),
        "donkey": ("equid",),
        "burro": ("donkey",),
        "cup": (),
    }
    meanings = {name: Meaning((name,), f"a {name}", broader) for name, broader in kinds.items()}
    senses = Senses(meanings, meanings, {("burro", "burro"): 0})
    senses.prepare(["donkey", "horse", "cup"])
    donkey, horse, cup = senses.related("burro")
    assert 1 > donkey > horse > cup == 0
    assert senses.related("donkey")[0] == 1
    assert 0 < senses.related("animal")[0] < donkey
    assert senses.of("the burros") == [("burro", 0)]
    assert senses.of("nothing") == []


def test_words_move_towards_the_objects_they_seem_to_mean():
    from scene_words import moved

    own, objects = np.eye(3, dtype=np.float32)[:1], np.eye(3, dtype=np.float32)[1:]
    found = moved(own, np.array([[9.0, 0.0]]), objects)[0]
    assert found[1] > 0.6 > 0.01 > found[2]
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
