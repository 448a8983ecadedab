"""The order of a layout in sentences: `<cat_1> in front of <vase_1>.`, written behind a prompt and read from there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from occlusionformer.layout.formats.listing import front_to_back
from occlusionformer.layout.schema import Layout

IN_FRONT = " in front of "
_CITED = re.compile(r"<([a-z]+_[0-9]+)>(\.?)", re.ASCII)


class Sentences(NamedTuple):
    """What a caption says."""

    prompt: str
    chains: list[list[int]]
    """For every sentence the places of those it cites, each in front of all that follow."""


def written_sentences(layout: Layout, names: Sequence[str]) -> str:
    """A sentence for everything that is related, directly or not, and one for each that is not; behind a space each.

    What the prompt cites by itself, and nothing is said about, is not cited again, where that can be told apart.
    """
    group = _groups(layout)
    grouped: dict[int, list[int]] = {}
    for place in front_to_back(layout):
        grouped.setdefault(group[place], []).append(place)
    chains = sorted(grouped.values(), key=lambda chain: (len(chain) < 2, min(chain)))
    cited = cited_in(layout.prompt)
    needed = [chain for chain in chains if len(chain) > 1 or names[chain[0]] not in cited]
    places = {name: place for place, name in enumerate(names)}
    short = _sentences(needed, names)
    if read_sentences(layout.prompt + short, places) == Sentences(layout.prompt, needed):
        return short
    return _sentences(chains, names)


def cited_in(text: str) -> set[str]:
    """The names that a text cites."""
    return {match[1] for match in _CITED.finditer(text)}


def _sentences(chains: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    return "".join(f" {IN_FRONT.join(f'<{names[place]}>' for place in chain)}." for chain in chains)


def read_sentences(caption: str, places: Mapping[str, int]) -> Sentences:
    """The prompt, and the sentences at the end of the caption that cite boxes of these names, each box once.

    Read from the end word by word; the first that does not fit is the prompt's.
    """
    words = caption.split(" ")
    chains: list[list[int]] = []
    cited: set[str] = set()
    end = len(words)
    while (found := _sentence(words, end, places, cited)) is not None:
        end, chain = found
        chains.insert(0, chain)
    return Sentences(" ".join(words[:end]), chains)


def _sentence(
    words: Sequence[str], end: int, places: Mapping[str, int], cited: set[str]
) -> tuple[int, list[int]] | None:
    """Where the sentence before `end` begins, and whom it cites; a prompt has to stand before it."""
    chain: list[int] = []
    at = end - 1
    while at > 0:
        match = _CITED.fullmatch(words[at])
        if match is None or bool(match[2]) == bool(chain) or match[1] not in places or match[1] in cited:
            at += len(IN_FRONT.split()) + 1
            break
        cited.add(match[1])
        chain.append(places[match[1]])
        if at < 5 or words[at - 3 : at] != IN_FRONT.split():
            break
        at -= 4
    return (at, chain[::-1]) if chain else None


def _groups(layout: Layout) -> list[int]:
    """For every instance the least place of those it is related to, directly or not."""
    group = list(range(len(layout.instances)))

    def root(place: int) -> int:
        while group[place] != place:
            group[place] = group[group[place]]
            place = group[place]
        return place

    for front, behind in sorted(() if layout.zorder is None else layout.zorder.edges):
        first, second = sorted((root(front), root(behind)))
        group[second] = first
    return [root(place) for place in range(len(group))]
