"""The command `vocabulary`: the words that the packaged model knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import ending
from occlusionformer.apps.cli.draw_request import without_garbage_collection
from occlusionformer.embedded.vocabulary import packaged_vocabulary
from occlusionformer.generation.vocabulary import KnownObject, Vocabulary


def vocabulary(
    text: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="Part of a word, or a caption.", show_default=False)
    ] = "",
    category: Annotated[str | None, typer.Option(help="Only objects of this category.", show_default=False)] = None,
    as_json: options.JsonOption = False,
) -> None:
    """List the objects that the packaged model knows, with other words for them.

    With TEXT, those with it in their words, or that can be drawn in the colour it begins with; otherwise the one that a
    caption with this text is drawn as.
    """
    with ending(as_json) as outcome:
        known = packaged_vocabulary()
        found = list(known.search(text, category))
        drawn_as: KnownObject | None = None
        if not found and category is None:
            drawn_as = known.object_in(text) or _nearest(known, text)
        outcome.result(_value(known, text, found, drawn_as), _lines(known, text, found, drawn_as))


def _nearest(known: Vocabulary, text: str) -> KnownObject | None:
    """As the model itself finds it: by its text encoder, which is loaded for it."""
    with without_garbage_collection():
        from occlusionformer.embedded.nearest import NearestObjects
        from occlusionformer.embedded.text import packaged_reader

        return NearestObjects(known, packaged_reader()).of(text)


def _value(known: Vocabulary, text: str, found: Sequence[KnownObject], drawn_as: KnownObject | None) -> dict[str, Any]:
    shown = Vocabulary(objects=tuple(found), colours=known.colours)
    return {
        **shown.as_json(),
        "categories": shown.categories,
        "count": len(found),
        "words": shown.num_words,
        "drawn_as": None if drawn_as is None else drawn_as.name,
        "colour": None if drawn_as is None else known.colour_in(text),
    }


def _lines(known: Vocabulary, text: str, found: Sequence[KnownObject], drawn_as: KnownObject | None) -> list[str]:
    shown = Vocabulary(objects=tuple(found))
    lines = []
    for category in shown.categories:
        lines.append(f"{category}:")
        lines += [f"  {_words(item)}" for item in found if item.category == category]
    if found:
        parts = ", ".join(f"{name} {count}" for name, count in shown.categories.items())
        lines.append(f"{len(found)} of {len(known.objects)} objects, {shown.num_words} words ({parts})")
        lines.append(f"colours, of objects marked *: {', '.join(known.colours)}")
    elif drawn_as is not None and known.object_in(text) is not None:
        lines.append(f"{text!r} is drawn as {drawn_as.name!r}{_colouring(known, text, drawn_as)}")
    else:
        lines.append(f"no object for {text!r}" + (f": nearest is {drawn_as.name!r}" if drawn_as else ""))
    return lines


def _colouring(known: Vocabulary, text: str, item: KnownObject) -> str:
    colour = known.colour_in(text)
    return f", {colour}" if colour else "" if item.recolourable else ", in its own colours"


def _words(item: KnownObject) -> str:
    others = f" ({', '.join(item.synonyms)})" if item.synonyms else ""
    return f"{item.name}{'*' if item.recolourable else ''}{others}"
