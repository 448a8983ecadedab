"""What captions of drawn scenes say, and which words and colours training never shows."""

from __future__ import annotations

import numpy as np

from occlusionformer.data.splits import Part, share_of_text
from occlusionformer.data.world.artwork import WorldObject
from occlusionformer.data.world.colours import OBJECT_COLOURS

BARE_NAME = 0.15
"""Share of captions that are the bare name, as in "dog"."""
SYNONYM = 0.3
"""Share of the other captions that call the object by a synonym."""
ADJECTIVE = 0.25
"""Share of the other captions of objects in their own colours that carry an adjective."""
ARTICLE = 0.75
"""Share of the other captions that start with an article."""
NUMBERS = frozenset({"two", "three"})
HELD_OUT_COLOURS = 0.12
"""Share of all pairs of an object and a colour that training never shows."""
WITHOUT_ARTICLE = frozenset(
    word
    for words in (
        "grapes cherries pancakes hotcakes fries dice cattle bread corn maize popcorn broccoli sushi nigiri",
        "soda coffee cheese chips peas bacon milk beer lightning rain sunshine mail wool pasta noodles",
        "glasses eyeglasses spectacles sunglasses shades jeans trousers pants denim gloves mittens scissors",
        "scales headphones chopsticks flowers eggs books stairs tweezers butter toast mistletoe skis salad",
        "juice rice bowling skittles money pins keys stew",
    )
    for word in words.split()
)
"""Last words that take no article, being plural or uncountable."""


def is_held_out_colour(name: str, colour: str) -> bool:
    """Whether no training scene shows the object in this colour."""
    return share_of_text(f"{name} in {colour}") < HELD_OUT_COLOURS


def held_out_synonym(item: WorldObject) -> str | None:
    """The one synonym no training caption uses; objects with a single synonym keep it for training."""
    if len(item.synonyms) < 2:
        return None
    return min(item.synonyms, key=lambda synonym: share_of_text(f"{item.name} = {synonym}"))


def training_synonyms(item: WorldObject) -> tuple[str, ...]:
    """The synonyms training captions may use."""
    held_out = held_out_synonym(item)
    return tuple(synonym for synonym in item.synonyms if synonym != held_out)


def colours_of(item: WorldObject, part: Part) -> list[str]:
    """Colours the object may be drawn in; none where its own colour is all it has."""
    if not item.recolourable:
        return []
    if part == "any":
        return list(OBJECT_COLOURS)
    return [name for name in OBJECT_COLOURS if is_held_out_colour(item.name, name) == (part == "held-out")]


def caption(item: WorldObject, colour: str | None, rng: np.random.Generator, *, wordings: Part = "training") -> str:
    """A lower-case phrase that is true of the object, such as "a black cat"; a colour is always named."""
    bare, synonym, adjective, article = rng.random(4)
    held_out = held_out_synonym(item) if wordings == "held-out" else None
    known = item.synonyms if wordings == "any" else training_synonyms(item)
    noun = item.name
    if held_out is not None:
        noun = held_out
    elif bare >= BARE_NAME and synonym < SYNONYM and known:
        noun = known[rng.integers(len(known))]
    described = colour
    if colour is None and bare >= BARE_NAME and adjective < ADJECTIVE and item.adjectives:
        described = item.adjectives[rng.integers(len(item.adjectives))]
    if described is not None and described not in noun.split():
        noun = f"{described} {noun}"
    return with_article(noun) if bare >= BARE_NAME and article < ARTICLE else noun


def with_article(noun: str) -> str:
    """Prefix "a" or "an"; plural and uncountable names take none."""
    head = noun
    for link in (" of ", " with ", " in ", " on ", " from ", " and "):
        head = head.split(link)[0]
    if head.split()[-1] in WITHOUT_ARTICLE or head.split()[0] in NUMBERS:
        return noun
    starts_with_vowel = noun[0] in "aeio" or noun.startswith(("umbrella", "undead"))
    return f"{'an' if starts_with_vowel and not noun.startswith(('ewe', 'one', 'euro')) else 'a'} {noun}"
