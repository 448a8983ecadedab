"""Which pairs of objects are held out."""

from __future__ import annotations

from itertools import combinations

import pytest

from occlusionformer.data.splits import HELD_OUT_PAIRS, is_held_out_pair
from occlusionformer.data.world.artwork import world_art

ART = world_art()
FIRST_HELD_OUT = ["accordion+drum", "accordion+gloves", "accordion+handbag"]


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
