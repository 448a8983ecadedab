"""Which graphs of ComfyUI hold boxes, and which of those become layouts: of a folder, or of the package of templates.

    python tools/comfy_graphs.py [FOLDER] [--prompt TEXT] [--canvas 1024x1024]

Without a folder it takes the graphs of `comfyui-workflow-templates-json`, which is not installed with anything here.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from occlusionformer.layout import LayoutError
from occlusionformer.layout.formats.comfy_graph import boxes_in_graph, is_graph
from occlusionformer.layout.formats.comfy_shapes import Given
from occlusionformer.layout.text import parse_json, text_of

PACKAGE = "comfyui_workflow_templates_json"


class Seen(NamedTuple):
    """What one graph came to."""

    name: str
    layouts: int
    """Values that became a layout."""
    refused: tuple[str, ...]
    """Problems of the others."""
    empty: int
    computed: tuple[str, ...]


def templates() -> Path | None:
    """The folder of the package's graphs, if it is installed."""
    found = importlib.util.find_spec(PACKAGE)
    return None if found is None or found.origin is None else Path(found.origin).parent / "templates"


def seen_in(folder: Path, given: Given) -> Iterator[Seen | None]:
    """What every file that is a graph came to; None for a file that is none."""
    for path in sorted(folder.rglob("*.json")):
        try:
            graph = parse_json(text_of(path))
        except LayoutError:
            graph = None
        if not is_graph(graph):
            yield None
            continue
        boxes = boxes_in_graph(graph, given)
        layouts = [each.layout for each in boxes.found if each.layout is not None]
        problems = tuple(str(problem) for each in boxes.found for problem in each.problems)
        yield Seen(path.name, len(layouts), problems, boxes.empty, boxes.computed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=templates())
    parser.add_argument("--prompt")
    parser.add_argument("--canvas", default="")
    chosen = parser.parse_args()
    if chosen.folder is None:
        parser.error(f"expected a folder, or {PACKAGE.replace('_', '-')} installed")
    width, height = map(int, chosen.canvas.split("x")) if chosen.canvas else (None, None)
    every = list(seen_in(chosen.folder, Given(prompt=chosen.prompt, width=width, height=height)))
    graphs = [each for each in every if each is not None]
    lines = [f"{each.name}: {'; '.join(parts)}" for each in graphs if (parts := list(_parts(each)))]
    counts = {
        "read": sum(bool(each.layouts) for each in graphs),
        "refused": sum(bool(each.refused) for each in graphs),
        "without a box": sum(bool(each.empty) for each in graphs),
        "with boxes that are known once they have run": sum(bool(each.computed) for each in graphs),
    }
    lines.append(f"{len(graphs)} graphs: {', '.join(f'{count} {what}' for what, count in counts.items())}")
    sys.stdout.write("\n".join(lines) + "\n")


def _parts(seen: Seen) -> Iterator[str]:
    if seen.layouts:
        yield f"{seen.layouts} read"
    yield from (f"refused: {line}" for line in seen.refused)
    if seen.empty:
        yield f"{seen.empty} without a box"
    yield from (f"known once it has run: {name}" for name in seen.computed)


if __name__ == "__main__":
    main()
