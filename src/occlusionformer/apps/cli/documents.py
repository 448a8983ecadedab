"""The commands about layout files: `validate`, `convert` and `schema`. They load no model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from occlusionformer.apps.cli import options
from occlusionformer.apps.cli.console import RefusedError, ending, problems_of
from occlusionformer.apps.cli.output_files import beside, folder_problems, write_together
from occlusionformer.apps.cli.sources import SourceOptions, located
from occlusionformer.layout import Layout, LayoutError, write_atomic, write_layout, write_layouts

MAPS = "maps"
"""Stands for two pictures where a format is named that a layout is written in."""


def validate(  # noqa: PLR0913 - a parameter for every option
    layouts: Annotated[list[Path], typer.Argument(metavar="LAYOUT...", help="Layout files.", show_default=False)],
    format: options.FormatOption = "native",
    prompt: options.PromptOption = None,
    canvas: options.CanvasOption = None,
    cycles: options.CyclesOption = None,
    image: options.ImageOption = None,
    no_regions: options.NoRegionsOption = False,
    list_order: options.ListOrderOption = None,
    max_instances: options.MaxInstancesOption = options.MAX_INSTANCES,
    as_json: options.JsonOption = False,
) -> None:
    """Check layout files and list everything that is wrong with them."""
    reading = SourceOptions(
        format, prompt, canvas, cycles, most=max_instances, image=image, boxes_only=no_regions, list_order=list_order
    )
    with ending(as_json) as outcome:
        problems: list[str] = []
        found: list[dict[str, Any]] = []
        for path in layouts:
            try:
                found += [_facts(path, layout) for layout in reading.read(path).layouts]
            except ValueError as error:
                problems += [located(path, problem) for problem in problems_of(error)]
        if problems:
            raise RefusedError(problems)
        outcome.result({"layouts": found}, [_line(facts) for facts in found])


def convert(  # noqa: PLR0913 - a parameter for every option
    source: Annotated[Path, typer.Argument(metavar="IN", help="The layout file to read.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The layout file to write.", show_default=False)],
    from_: Annotated[str, typer.Option("--from", help=f"Format of IN: {options.FORMAT_NAMES}.")] = "native",
    to: Annotated[
        str,
        typer.Option("--to", help=f"Format of OUT, one of the same; {MAPS} for OUT-colours.png and OUT-depth.png."),
    ] = "native",
    lossy: Annotated[bool, typer.Option("--lossy", help="Leave out what the format of OUT cannot hold.")] = False,
    prompt: options.PromptOption = None,
    canvas: options.CanvasOption = None,
    cycles: options.CyclesOption = None,
    image: options.ImageOption = None,
    no_regions: options.NoRegionsOption = False,
    list_order: options.ListOrderOption = None,
    max_instances: options.MaxInstancesOption = options.MAX_INSTANCES,
    as_json: options.JsonOption = False,
) -> None:
    """Write a layout file in another format. What would get lost is listed and refused, unless --lossy."""
    reading = SourceOptions(
        from_, prompt, canvas, cycles, most=max_instances, image=image, boxes_only=no_regions, list_order=list_order
    )
    with ending(as_json) as outcome:
        problems = folder_problems("OUT", target)
        layouts: list[Layout] = []
        try:
            layouts = reading.read(source).layouts
        except ValueError as error:
            problems += problems_of(error)
        if problems:
            raise RefusedError(problems)
        files: Mapping[Path, bytes | str]
        if to == MAPS:
            files, lost = _maps(layouts, target, lossy=lossy)
        else:
            text, lost = _converted(layouts, to, lossy=lossy)
            files = {target: text}
        write_together({path: partial(write_atomic, content=content) for path, content in files.items()})
        value: dict[str, Any] = {"output": str(target), "layouts": len(layouts), "lost": lost}
        if to == MAPS:
            value["maps"] = [str(path) for path in files]
        written = ", ".join(map(str, files))
        outcome.result(value, [f"{written} ({_count(len(layouts), 'layout')})", *(f"lost: {line}" for line in lost)])


def schema(as_json: options.JsonOption = False) -> None:
    """Print the JSON Schema of the native format; it is JSON with --json and without."""
    with ending(as_json):
        typer.echo(json.dumps(Layout.model_json_schema(), ensure_ascii=False, indent=2))


def _converted(layouts: Sequence[Layout], to: str, *, lossy: bool) -> tuple[str, list[str]]:
    """The text of a document, and what it cannot hold."""
    lost: list[str] = []
    try:
        return _text(layouts, to, lossy=False), lost
    except LayoutError as error:
        if not lossy:
            raise
        lost = error.problems
    return _text(layouts, to, lossy=True), lost


def _maps(layouts: Sequence[Layout], target: Path, *, lossy: bool) -> tuple[dict[Path, bytes], list[str]]:
    """The two pictures of a layout, beside each other, and what they do not say."""
    from occlusionformer.pictures.maps import layout_maps, map_losses

    if len(layouts) != 1:
        raise RefusedError([f"--to {MAPS}: expected a document with one layout, got {len(layouts)}"])
    lost = map_losses(layouts[0])
    if not lossy:
        raise LayoutError(lost)
    found = layout_maps(layouts[0]).files()
    return {beside(target, name): content for name, content in found.items()}, [str(problem) for problem in lost]


def _text(layouts: Sequence[Layout], to: str, *, lossy: bool) -> str:
    if len(layouts) == 1:
        return write_layout(layouts[0], to, lossy=lossy)
    return write_layouts(layouts, to, lossy=lossy)


def _facts(path: Path, layout: Layout) -> dict[str, Any]:
    zorder = layout.zorder
    ids = [instance.id for instance in layout.instances]
    return {
        "file": str(path),
        "width": layout.width,
        "height": layout.height,
        "instances": len(ids),
        "relations": None if zorder is None else len(zorder.edges),
        "loops": [] if zorder is None else [[ids[place] for place in loop] for loop in zorder.cycles()],
        "broken_pairs": [[pair.front, pair.behind] for pair in layout.broken_pairs],
    }


def _line(facts: dict[str, Any]) -> str:
    order = "no order" if facts["relations"] is None else _count(facts["relations"], "relation")
    parts = [f"{facts['width']} x {facts['height']}", _count(facts["instances"], "instance"), order]
    parts += [f"loop {' > '.join([*loop, loop[0]])}" for loop in facts["loops"]]
    parts += [f"taken out {front} > {behind}" for front, behind in facts["broken_pairs"]]
    return f"{facts['file']}: ok ({', '.join(parts)})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
