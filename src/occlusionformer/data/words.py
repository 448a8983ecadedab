"""What the captions of the first world's scenes say: phrases for objects."""

from __future__ import annotations

import numpy as np

from occlusionformer.data.artwork import ArtObject
from occlusionformer.data.splits import Part, share_of_text

BARE_NAME = 0.15
"""Share of captions that are the bare name, as in "dog"."""
SYNONYM = 0.3
"""Share of the other captions that call the object by a synonym."""
ADJECTIVE = 0.4
"""Share of the other captions that carry an adjective."""
ARTICLE = 0.75
"""Share of the other captions that start with an article."""

PLURAL = frozenset(
    [
        "grapes",
        "cherries",
        "pancakes",
        "hotcakes",
        "fries",
        "dice",
        "cattle",
        "bread",
        "corn",
        "maize",
        "popcorn",
        "broccoli",
        "sushi",
        "nigiri",
        "soda",
        "coffee",
        "cheese",
        "chips",
    ]
)
"""Last words that take no article, being plural or uncountable."""


def caption(item: ArtObject, rng: np.random.Generator, *, wordings: Part = "training") -> str:
    """A lower-case phrase that is true of the object, such as "a red apple"."""
    bare, synonym, adjective, article = rng.random(4)
    held_out = held_out_synonym(item) if wordings == "held-out" else None
    if bare < BARE_NAME and held_out is None:
        return item.name
    noun = item.name
    known = item.synonyms if wordings == "any" else training_synonyms(item)
    if held_out is not None:
        noun = held_out
    elif synonym < SYNONYM and known:
        noun = known[rng.integers(len(known))]
    if adjective < ADJECTIVE and item.adjectives:
        chosen = item.adjectives[rng.integers(len(item.adjectives))]
        noun = noun if chosen in noun.split() else f"{chosen} {noun}"
    return with_article(noun) if article < ARTICLE else noun


def held_out_synonym(item: ArtObject) -> str | None:
    """The one synonym no training caption uses; objects with a single synonym keep it for training."""
    if len(item.synonyms) < 2:
        return None
    return min(item.synonyms, key=lambda synonym: share_of_text(f"{item.name} = {synonym}"))


def training_synonyms(item: ArtObject) -> tuple[str, ...]:
    """The synonyms training captions may use."""
    held_out = held_out_synonym(item)
    return tuple(synonym for synonym in item.synonyms if synonym != held_out)


def with_article(noun: str) -> str:
    """Prefix "a" or "an"; plural names take none."""
    head = noun.split(" of ")[0].split(" with ")[0].split(" in ")[0]
    if head.split()[-1] in PLURAL:
        return noun
    starts_with_vowel = noun.startswith(("a", "e", "i", "o", "umbrella")) and not noun.startswith("ewe")
    return f"{'an' if starts_with_vowel else 'a'} {noun}"
