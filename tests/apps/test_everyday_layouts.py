"""The layouts in everyday words that the embedded model is looked at with: all can be read as they are meant."""

from __future__ import annotations

import numpy as np
import pytest

from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.captions import is_held_out_colour
from occlusionformer.data.world.colours import OBJECT_COLOURS
from occlusionformer.data.world.scenes import CANVASES
from occlusionformer.embedded.text import packaged_reader
from occlusionformer.layout import read_layout
from tests.apps.examples import DRAWABLE, EXAMPLES, format_of

SHOWN = sorted((EXAMPLES / "scenes").glob("*.json"))
KEPT = sorted((EXAMPLES.parent / "experiments" / "scenes" / "kept").glob("*.json"))
SURELY = 0.1
"""By which the object that is meant is nearer than the next one."""


def test_there_are_twenty_and_ten_more_are_kept_back():
    assert (len(SHOWN), len(KEPT)) == (20, 10)


@pytest.mark.parametrize("paths", [SHOWN, KEPT, DRAWABLE], ids=["shown", "kept", "features"])
def test_every_caption_is_read_as_one_object_in_the_colour_it_names(paths):
    read = packaged_reader()
    objects = world_art().objects
    known_ND = read([item.name for item in objects]).double()
    known_ND = known_ND / known_ND.norm(dim=1, keepdim=True)
    wrong = []
    for path in paths:
        layout = read_layout(path, format_of(path))
        assert (layout.width, layout.height) in CANVASES, path.name
        captions = [entry.caption for entry in layout.instances]
        vector_ND = read(captions).double()
        plain_ND = read([plain(caption) for caption in captions]).double()
        for caption, vector_D, plain_D in zip(captions, vector_ND, plain_ND, strict=True):
            nearness = np.sort((known_ND @ plain_D / plain_D.norm()).numpy())
            item = objects[int((known_ND @ plain_D).argmax())]
            colour = colour_of(caption)
            if nearness[-1] - nearness[-2] < SURELY:
                wrong.append(f"{path.name}: {caption} may be {item.name} or another")
            if colour and colour not in item.adjectives and bool((vector_D == plain_D).all()):
                wrong.append(f"{path.name}: {caption} has lost its colour")
            if colour and colour not in item.adjectives and is_held_out_colour(item.name, colour):
                wrong.append(f"{path.name}: {caption} is kept from training")
    assert not wrong


def colour_of(caption: str) -> str | None:
    """The colour that is said of something: the last word is the thing itself ("an orange")."""
    return next((word for word in caption.split()[:-1] if word in OBJECT_COLOURS), None)


def plain(caption: str) -> str:
    """Without a colour word before a noun."""
    words = caption.split()
    return " ".join(word for word in words if word not in OBJECT_COLOURS or word == words[-1])
