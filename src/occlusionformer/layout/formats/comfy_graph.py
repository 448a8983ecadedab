"""Boxes in ComfyUI's graphs: what the widgets of nodes hold, with the prompt of the node that takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from occlusionformer.layout.formats import flux3, ideogram4
from occlusionformer.layout.formats.comfy_shapes import SIDES, Given, read_shape
from occlusionformer.layout.formats.draft import Fields
from occlusionformer.layout.formats.format import ReadOptions
from occlusionformer.layout.limits import LAYOUTS
from occlusionformer.layout.problems import LayoutError, Path, Problem
from occlusionformer.layout.schema import Layout
from occlusionformer.layout.text import parse_json
from occlusionformer.layout.values import unfit_parts

EDITOR = "CreateBoundingBoxes"
EDITOR_FIELDS = ("width", "height", "editor_state")
"""The widgets of the editor, in their order; behind them is what it was last given, which is no state of its own."""
SUMMARY_AND_BACKGROUND = "BuildJsonPromptIdeogram"
"""A node whose first two texts are the prompt; of all others the first is."""
BOX_TYPES = frozenset({"BOUNDING_BOX", "LAYERS"})


@dataclass(frozen=True, kw_only=True)
class NodeBoxes:
    """A value with boxes in a widget of a node."""

    node: str
    """The type of the node."""
    path: Path
    """Of the value, in the graph."""
    layout: Layout | None
    problems: tuple[Problem, ...]
    """Why there is no layout."""


@dataclass(frozen=True, kw_only=True)
class GraphBoxes:
    """What a graph says about boxes."""

    found: tuple[NodeBoxes, ...]
    empty: int
    """Editors without a box."""
    computed: tuple[str, ...]
    """Types of the nodes whose boxes are known once the graph has run."""


def is_graph(document: object) -> TypeGuard[Fields]:
    """Whether a document is a graph: as the editor saves it, with `nodes`, or as the server takes it, node by node."""
    if not isinstance(document, Mapping):
        return False
    if isinstance(document.get("nodes"), list | tuple):
        return True
    return bool(document) and all(isinstance(node, Mapping) and "class_type" in node for node in document.values())


def boxes_in_graph(graph: Fields, given: Given) -> GraphBoxes:
    """Every value with boxes in the widgets of a graph and its subgraphs, as a layout or with what is wrong with it.

    A canvas is that of the box editor, a prompt the first text of the node that takes the boxes; what the graph does
    not say, the caller does.
    """
    found: list[NodeBoxes] = []
    computed: list[str] = []
    empty = 0
    folded = set(_subgraph_names(graph))
    for node in _nodes(graph, ()):
        values = list(_values(node))
        empty += sum(value == [] for _, value in values)
        full = [(path, value) for path, value in values if value != []]
        found += [_read(node, path, value, given) for path, value in full]
        if not values and node.type not in folded and BOX_TYPES.intersection(node.outputs):
            computed.append(node.type)
    return GraphBoxes(found=tuple(found), empty=empty, computed=tuple(computed))


def layouts_in_graph(graph: Fields, given: Given) -> list[Layout]:
    """The layouts of a graph. Raises LayoutError with the problems of all of them, and for a graph without any."""
    boxes = boxes_in_graph(graph, given)
    if problems := [problem for found in boxes.found for problem in found.problems]:
        raise LayoutError(problems)
    if not boxes.found:
        why = f"{boxes.empty} without a box, {len(boxes.computed)} whose boxes are known once the graph has run"
        raise LayoutError([Problem(("nodes",), f"expected a node with boxes, got {why}")])
    return [found.layout for found in boxes.found if found.layout is not None]


@dataclass(frozen=True, kw_only=True)
class _Node:
    type: str
    path: Path
    """Of its widgets."""
    widgets: Mapping[str | int, object]
    outputs: frozenset[str]
    """Types of what it hands on."""
    texts: tuple[str, ...]
    """Texts of the nodes that take something from it, of each the first one or two."""


def _nodes(graph: Fields, path: Path) -> Iterator[_Node]:
    """The nodes of a graph and of its subgraphs."""
    if "nodes" not in graph:
        yield from _server_nodes(graph)
        return
    rows = _rows(graph.get("nodes"))
    by_id = {node["id"]: node for _, node in rows if isinstance(node.get("id"), int | str)}
    takers = _takers(graph)
    for number, node in rows:
        name = node.get("id")
        targets = takers.get(name, ()) if isinstance(name, int | str) else ()
        texts = [text for target in targets for text in _texts(by_id.get(target, {}))]
        outputs = frozenset(str(output.get("type")) for _, output in _rows(node.get("outputs")))
        where = (*path, "nodes", number, "widgets_values")
        yield _Node(type=str(node.get("type")), path=where, widgets=_widgets(node), outputs=outputs, texts=tuple(texts))
    definitions = graph.get("definitions")
    if isinstance(definitions, Mapping):
        for number, subgraph in _rows(definitions.get("subgraphs")):
            if "nodes" in subgraph:
                yield from _nodes(subgraph, (*path, "definitions", "subgraphs", number))


def _subgraph_names(graph: Fields) -> Iterator[str]:
    """The types of the nodes that stand for a subgraph."""
    definitions = graph.get("definitions")
    if isinstance(definitions, Mapping):
        for _, subgraph in _rows(definitions.get("subgraphs")):
            yield str(subgraph.get("id"))
            yield from _subgraph_names(subgraph)


def _server_nodes(graph: Fields) -> Iterator[_Node]:
    """The nodes as the server takes them: inputs by name, links as [node, output]."""
    texts: dict[str, list[str]] = {}
    nodes: dict[str, tuple[str, Mapping[str | int, object]]] = {}
    for name, node in graph.items():
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        kind = str(node.get("class_type")) if isinstance(node, Mapping) else ""
        widgets: Mapping[str | int, object] = dict(inputs) if isinstance(inputs, Mapping) else {}
        nodes[name] = (kind, widgets)
        own = _first_texts(kind, widgets.values())
        for value in widgets.values():
            if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
                texts.setdefault(value[0], []).extend(own)
    for name, (kind, widgets) in nodes.items():
        yield _Node(
            type=kind, path=(name, "inputs"), widgets=widgets, outputs=frozenset(), texts=tuple(texts.get(name, ()))
        )


def _takers(graph: Fields) -> dict[Any, list[Any]]:
    """For every node, by id, those that take something from it; links are lists, or objects in subgraphs."""
    takers: dict[Any, list[Any]] = {}
    links = graph.get("links")
    for link in links if isinstance(links, list | tuple) else ():
        ends = (None, None)
        if isinstance(link, Mapping):
            ends = (link.get("origin_id"), link.get("target_id"))
        elif isinstance(link, list | tuple) and len(link) >= 4:
            ends = (link[1], link[3])
        if all(isinstance(end, int | str) for end in ends):
            takers.setdefault(ends[0], []).append(ends[1])
    return takers


def _rows(value: object) -> list[tuple[int, Fields]]:
    items = value if isinstance(value, list | tuple) else ()
    return [(number, item) for number, item in enumerate(items) if isinstance(item, Mapping)]


def _widgets(node: Fields) -> Mapping[str | int, object]:
    values = node.get("widgets_values")
    if isinstance(values, Mapping):
        return dict(values)
    return dict(enumerate(values)) if isinstance(values, list | tuple) else {}


def _texts(node: Fields) -> list[str]:
    return _first_texts(str(node.get("type")), _widgets(node).values())


def _first_texts(kind: str, values: Any) -> list[str]:
    texts = [value for value in values if isinstance(value, str)]
    return texts[: 2 if kind == SUMMARY_AND_BACKGROUND else 1]


def _values(node: _Node) -> Iterator[tuple[Path, object]]:
    """The values of a node's widgets that have boxes, with their paths; empty lists of the editor too."""
    if node.type == EDITOR:
        for name in (EDITOR_FIELDS[2], 2):
            if isinstance(node.widgets.get(name), list | tuple):
                yield (*node.path, name), node.widgets[name]
        return
    for name, value in node.widgets.items():
        parsed = _parsed(value) if isinstance(value, str) else value
        if _has_boxes(parsed):
            yield (*node.path, name), parsed


def _parsed(text: str) -> object:
    """A text that is JSON, or a caption with a table of boxes, as its value; any other text is nothing."""
    try:
        if text.lstrip().startswith(("[", "{")):
            return parse_json(text)
        return flux3.parse(text, LAYOUTS) if '"bbox"' in text else None
    except LayoutError:
        return None


def _has_boxes(value: object) -> bool:
    """A list of boxes or of elements, LAYERS, or a caption. A single box in a widget is what a node cuts out."""
    if isinstance(value, Mapping):
        parts = value.get("compositional_deconstruction")
        is_caption = isinstance(parts, Mapping) and bool(parts.get("elements"))
        is_table = "caption" in value and bool(value.get("elements"))
        return is_caption or is_table or any("z_index" in layer for _, layer in _rows(value.get("layers")))
    rows = _rows(value)
    return bool(rows) and ("bbox" in rows[0][1] or all(name in rows[0][1] for name in SIDES))


def _read(node: _Node, path: Path, value: object, given: Given) -> NodeBoxes:
    try:
        unfit = unfit_parts(value)
        if problems := [*unfit.names, *unfit.numbers]:
            raise LayoutError(problems)
        layout = _layout(node, value, given)
    except LayoutError as error:
        told = tuple(problem.under(path) for problem in error.details)
        return NodeBoxes(node=node.type, path=path, layout=None, problems=told)
    return NodeBoxes(node=node.type, path=path, layout=layout, problems=())


def _layout(node: _Node, value: object, given: Given) -> Layout:
    """The layout of a value, in whichever way it is written."""
    width, height = given.width, given.height
    if node.type == EDITOR:
        sides = [node.widgets.get(name, node.widgets.get(place)) for place, name in enumerate(EDITOR_FIELDS[:2])]
        width, height = (
            side if isinstance(side, int) else known for side, known in zip(sides, (width, height), strict=True)
        )
    options = ReadOptions(width=width, height=height)
    if isinstance(value, Mapping) and "elements" in value:
        return flux3.read(value, options)[0]
    if isinstance(value, Mapping) and "layers" not in value:
        return ideogram4.read(value, options)[0]
    prompt = "\n".join(dict.fromkeys(text for text in node.texts if text.strip())) or given.prompt
    return read_shape(value, (), replace(given, prompt=prompt, width=width, height=height))
