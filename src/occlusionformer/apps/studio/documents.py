"""Checking layouts, and converting layout documents between formats."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from occlusionformer.apps.studio.errors import ApiError, FieldProblem, problems_as_json, problems_under
from occlusionformer.apps.studio.limits import StudioLimits
from occlusionformer.apps.studio.schemas import ConvertBody
from occlusionformer.layout import Layout, LayoutError, read_layouts, write_layout, write_layouts
from occlusionformer.layout.formats.native import write_one
from occlusionformer.pictures.maps import layout_maps, map_losses

MOST_LAYOUTS = 64
"""Per document; use the command line for larger collections."""


def check_layout(value: Any, limits: StudioLimits) -> dict[str, Any]:
    """The response of /api/validate: problems, cycles and relations of a layout."""
    try:
        layout = Layout.model_validate(value)
    except LayoutError as error:
        problems = problems_under(error, ("layout",))
        return _answer(problems, cycles=_cycles_of_refused(value))
    problems = limits.layout_problems(layout, "layout")
    ids = [instance.id for instance in layout.instances]
    order = None if problems else layout.zorder
    relations = None if order is None else sorted([ids[front], ids[behind]] for front, behind in order.edges)
    broken = [] if problems else [[pair.front, pair.behind] for pair in layout.broken_pairs]
    return _answer(problems, cycles=_cycles(layout), relations=relations, broken=broken)


def _answer(
    problems: Sequence[FieldProblem],
    *,
    cycles: list[list[str]],
    relations: list[list[str]] | None = None,
    broken: list[list[str]] | None = None,
) -> dict[str, Any]:
    return {
        "valid": not problems,
        "problems": problems_as_json(problems),
        "cycles": cycles,
        "relations": relations,
        "broken": broken or [],
    }


def _cycles_of_refused(value: Any) -> list[list[str]]:
    """The cycles of a refused layout, if they are its only fault."""
    if not isinstance(value, dict) or value.get("cycles", "error") != "error":
        return []
    try:
        return _cycles(Layout.model_validate({**value, "cycles": "allow"}))
    except LayoutError:
        return []


def _cycles(layout: Layout) -> list[list[str]]:
    order = layout.declared_zorder
    ids = [instance.id for instance in layout.instances]
    return [] if order is None else [[ids[place] for place in cycle] for cycle in order.cycles()]


def convert(body: ConvertBody, limits: StudioLimits) -> dict[str, Any]:
    """Raises ApiError with every problem, in the document or with the options."""
    options = body.options
    try:
        layouts = read_layouts(
            body.document,
            body.from_format,
            prompt=options.prompt,
            width=options.width,
            height=options.height,
            cycles=options.cycles,
            regions=options.regions,
            image=options.image,
            list_order=options.list_order,
        )
    except LayoutError as error:
        raise ApiError("invalid", problems_under(error, ("document",))) from None
    if len(layouts) > MOST_LAYOUTS:
        text = f"expected a document with at most {MOST_LAYOUTS} layouts, got {len(layouts)}"
        raise ApiError("invalid", [FieldProblem("document", text)])
    problems = [
        problem
        for place, layout in enumerate(layouts)
        for problem in limits.layout_problems(layout, f"document[{place}]")
    ]
    if problems:
        raise ApiError("invalid", problems)
    document, maps = None, None
    try:
        if body.to == "maps":
            maps = _maps(layouts, lossy=body.lossy)
        elif body.to is not None:
            document = _written(layouts, body.to, lossy=body.lossy)
    except LayoutError as error:
        raise ApiError("invalid", problems_under(error, ("document",))) from None
    return {"document": document, "maps": maps, "layouts": [write_one(layout) for layout in layouts]}


def _maps(layouts: Sequence[Layout], *, lossy: bool) -> dict[str, str]:
    """The files of both maps in base64; there is no document that holds them."""
    if len(layouts) != 1:
        raise LayoutError([f"expected a document with one layout, got {len(layouts)}"])
    if not lossy:
        raise LayoutError(map_losses(layouts[0]))
    return {name: b64encode(content).decode() for name, content in layout_maps(layouts[0]).files().items()}


def _written(layouts: Sequence[Layout], to: str, *, lossy: bool) -> str:
    """A single layout as an object, several as a list."""
    if len(layouts) == 1:
        return write_layout(layouts[0], to, lossy=lossy)
    return write_layouts(layouts, to, lossy=lossy)
