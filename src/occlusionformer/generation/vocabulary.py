"""What a model knows by name: objects, other words for them, and words that change how they look."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

LINKS = frozenset(
    ("of", "with", "in", "on", "from", "and", "under", "over", "beside", "by", "at", "near", "behind",
     "wearing", "holding", "riding")
)  # fmt: skip
"""Words after which a caption speaks of something else."""

SPELLINGS = {"gray": "grey"}
"""Other spellings of colours."""

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


class UnknownCaptionWarning(UserWarning):
    """A caption names no object that the model knows; the model draws the nearest that it does know."""


@dataclass(frozen=True, kw_only=True)
class KnownObject:
    """An object that a model can draw."""

    name: str
    category: str
    synonyms: tuple[str, ...] = ()
    """Other words for it."""
    adjectives: tuple[str, ...] = ()
    """Words that say how it looks anyway, such as "red" of a tomato."""
    recolourable: bool = False
    """Whether it can be drawn in the vocabulary's colours."""

    @property
    def words(self) -> tuple[str, ...]:
        return (self.name, *self.synonyms)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The objects of a model in a fixed order, and the colours that some of them can be drawn in."""

    objects: tuple[KnownObject, ...]
    colours: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """A file as `as_json` describes it. Raises ValueError where two objects go by the same word."""
        value = json.loads(path.read_text(encoding="utf-8"))
        objects = tuple(_object(entry) for entry in value["objects"])
        counts = Counter(key for item in objects for key in set(map(_plain, item.words)))
        twice = [" ".join(key) for key, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"{path}: expected every word for one object, got {', '.join(twice)} for several")
        return cls(objects=objects, colours=tuple(value["colours"]))

    def as_json(self) -> dict[str, Any]:
        """Objects (name, category, synonyms, adjectives, recolourable) and colours as JSON values."""
        objects = [
            {
                "name": item.name,
                "category": item.category,
                "synonyms": list(item.synonyms),
                "adjectives": list(item.adjectives),
                "recolourable": item.recolourable,
            }
            for item in self.objects
        ]
        return {"objects": objects, "colours": list(self.colours)}

    @property
    def categories(self) -> dict[str, int]:
        """Number of objects in each category, by name."""
        return dict(sorted(Counter(item.category for item in self.objects).items()))

    @property
    def num_words(self) -> int:
        """Names and synonyms."""
        return sum(len(item.words) for item in self.objects)

    def object_in(self, caption: str) -> KnownObject | None:
        """The object that a caption names: by the longest of the vocabulary's words in it, None if it has none.

        Of equally long ones the last before "with", "on" and their like: "a toy dog on a sofa" is a dog. A word that
        is a colour too is the object where no other is named: "an orange", not "a cat, orange". Case, hyphens and
        plural endings do not count.
        """
        named = self._named(_plain(caption))
        return None if named is None else named.item

    def colour_in(self, caption: str) -> str | None:
        """The colour that a caption asks for its object: the last word for one before the object, else the next behind.

        None where it asks for none, and for objects that have their own colours alone. What lies beyond "with" and its
        like speaks of something else, and a word of the object's name is none: "a rose", "a polar bear".
        """
        said = _plain(caption)
        named = self._named(said)
        if named is None or not named.item.recolourable:
            return None
        clause = _clauses(said)
        same = [place for place, number in enumerate(clause) if number == clause[named.start]]
        before = [place for place in reversed(same) if place < named.start]
        behind = [place for place in same if place >= named.end]
        colours = (SPELLINGS.get(said[place], said[place]) for place in before + behind)
        return next((colour for colour in colours if colour in self.colours), None)

    def search(self, text: str = "", category: str | None = None) -> Iterator[KnownObject]:
        """Objects with the text in their name, a synonym or an adjective; of one category if one is given.

        A colour finds the objects that can be drawn in it too, and after a colour the rest is sought among those.
        Raises ValueError for a category that there is not.
        """
        if category is not None and category not in self.categories:
            raise ValueError(f"category: expected one of {', '.join(self.categories)}, got {category!r}")
        said = tuple(SPELLINGS.get(word, word) for word in _plain(text))
        if text.strip() and not said:
            return
        sought = " ".join(said)
        coloured = " ".join(said[1:]) if said and said[0] in self.colours else None
        for item in self.objects:
            words = [" ".join(_plain(word)) for word in item.words]
            found = any(sought in word for word in (*words, *(" ".join(_plain(word)) for word in item.adjectives)))
            if not found and coloured is not None and item.recolourable:
                found = any(coloured in word for word in words)
            if found and category in (None, item.category):
                yield item

    def _named(self, said: tuple[str, ...]) -> _Named | None:
        clause = _clauses(said)

        def rank(start: int) -> tuple[int, bool, int]:
            return clause[start], length == 1 and said[start] in self.colours, -start

        for length in range(min(self._longest, len(said)), 0, -1):
            for start in sorted(range(len(said) - length + 1), key=rank):
                found = self._object_called(said[start : start + length])
                if found is not None:
                    return _Named(found, start, start + length)
        return None

    def _object_called(self, words: tuple[str, ...]) -> KnownObject | None:
        """By these very words, or by a singular or plural of them."""
        return self._by_words.get(words) or self._by_singular.get(tuple(map(_singular, words)))

    @cached_property
    def _by_words(self) -> dict[tuple[str, ...], KnownObject]:
        return {_plain(word): item for item in self.objects for word in item.words}

    @cached_property
    def _by_singular(self) -> dict[tuple[str, ...], KnownObject]:
        """Where two objects would share it, the first of them."""
        return {tuple(map(_singular, words)): item for words, item in reversed(self._by_words.items())}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._by_words), default=0)


class _Named(NamedTuple):
    """An object, and the words of a caption that name it."""

    item: KnownObject
    start: int
    end: int


def _clauses(said: tuple[str, ...]) -> list[int]:
    """For every word, how often a caption has turned to something else before it or by it."""
    return list(accumulate(word in LINKS for word in said))


def _object(entry: dict[str, Any]) -> KnownObject:
    synonyms, adjectives = tuple(entry.pop("synonyms")), tuple(entry.pop("adjectives"))
    return KnownObject(**entry, synonyms=synonyms, adjectives=adjectives)


def _plain(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, those with hyphens apart."""
    return tuple(part for word in _WORD.findall(text.lower().replace("-", " ")) for part in word.split())


def _singular(word: str) -> str:
    """Without the ending of a plural. What it makes of other words does not matter: both sides are treated alike."""
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes", "oes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
