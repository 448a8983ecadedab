"""Our own JSON: a layout as its schema describes it, or a list of layouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.problems import LayoutError, Path
from occlusionformer.layout.schema import Layout
from occlusionformer.layout.text import parse_json, tidy_json


def read(document: object, options: ReadOptions) -> list[Layout]:
    return read_each(document, _read_one, options)


def write_one(layout: Layout) -> dict[str, Any]:
    """Fields with their default are left out, but for the version and the instances."""
    fields = layout.model_dump(exclude_defaults=True)
    always = {"version": layout.version, "instances": fields.get("instances", ())}
    return {name: {**fields, **always}[name] for name in Layout.model_fields if name in fields or name in always}


def write_all(layouts: Sequence[Layout]) -> list[dict[str, Any]]:
    return [write_one(layout) for layout in layouts]


def _read_one(document: object, path: Path, options: ReadOptions) -> Layout:
    try:
        return Layout.model_validate(document)
    except LayoutError as error:
        raise error.under(path) from None


NATIVE = Format(
    name="native",
    description="Our own JSON: everything a layout can say.",
    order="a total order, relations one by one, or depths",
    from_text=parse_json,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=tidy_json,
    marks=frozenset({"instances"}),
)
