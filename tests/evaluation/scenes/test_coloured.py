"""The packaged objects as the judge knows them: every colour has a name and a picture."""

from __future__ import annotations

import numpy as np
import pytest

from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.colours import OBJECT_COLOURS
from occlusionformer.evaluation.scenes.coloured import coloured_art


def test_an_object_in_a_colour_is_another_picture_of_the_same_size():
    own, black = coloured_art().named("cat"), coloured_art().named("black cat")
    assert (black.item, black.colour, black.aspect) == (own.item, "black", own.aspect)
    assert np.asarray(black.picture).mean() < np.asarray(own.picture).mean()
    assert len(coloured_art().in_colours("cat")) == len(OBJECT_COLOURS) + 1
    assert coloured_art().in_colours("black cat") == coloured_art().in_colours("cat")


def test_an_objects_own_colour_has_the_nearest_word():
    words = coloured_art().in_colours("frog")
    assert words["frog"] == words["green frog"] == "green"


def test_an_object_of_one_colour_is_in_no_other():
    plain = next(item for item in world_art().objects if not item.recolourable)
    assert coloured_art().in_colours(plain.name) == {}
    with pytest.raises(ValueError, match=f"perhaps with a colour, got 'blue {plain.name}'"):
        coloured_art().named(f"blue {plain.name}")
