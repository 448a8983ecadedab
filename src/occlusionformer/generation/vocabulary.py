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
from typing import Any

LINKS = frozenset(
    ("of", "with", "in", "on", "from", "and", "under", "over", "beside", "by", "at", "near", "behind",
     "wearing", "holding", "riding")
)  # fmt: skip
"""Words after which a caption speaks of something else."""

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

        Of equally long ones the last before "with", "on" and their like: "a toy dog on a sofa" is a dog. Case, hyphens
        and plural endings do not count.
        """
        said = _plain(caption)
        clause = list(accumulate(word in LINKS for word in said))
        for length in range(min(self._longest, len(said)), 0, -1):
            for start in sorted(range(len(said) - length + 1), key=lambda start: (clause[start], -start)):
                found = self._object_called(said[start : start + length])
                if found is not None:
                    return found
        return None

    def search(self, text: str = "", category: str | None = None) -> Iterator[KnownObject]:
        """Objects with the text in their name, a synonym or an adjective; of one category if one is given.

        Raises ValueError for a category that there is not.
        """
        if category is not None and category not in self.categories:
            raise ValueError(f"category: expected one of {', '.join(self.categories)}, got {category!r}")
        sought = " ".join(_plain(text))
        for item in self.objects:
            fits = category in (None, item.category)
            if fits and any(sought in " ".join(_plain(word)) for word in (*item.words, *item.adjectives)):
                yield item

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
