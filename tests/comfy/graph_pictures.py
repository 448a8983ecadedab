"""Pictures of saved workflows: nodes as boxes with their inputs, outputs and widgets, and the links between them."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageDraw, ImageFont

WIDTH, TITLE, ROW, MARGIN = 300, 28, 20, 40
MOST_LINES = 8
"""Of a text that a widget holds."""
LINE = 42
"""Characters of one line of such a text."""

PAPER, NODE, HEAD, FIELD, INK, FAINT = "#20242b", "#333a45", "#3f4a5c", "#282d36", "#f2f2f2", "#aab3c0"
COLOURS = {
    "MODEL": "#b39ddb", "CLIP": "#ffd54f", "VAE": "#ff6e6e", "CONDITIONING": "#ffa931", "LATENT": "#ff9cf9",
    "IMAGE": "#64b5f6", "MASK": "#81c784", "OCCLUSIONFORMER_BRANCH": "#4dd0c4", "OCCLUSIONFORMER_LAYOUT": "#c5e36b",
}  # fmt: skip


def widget_lines(value: object) -> list[str]:
    """A widget's value in lines."""
    lines = [line[:LINE] for line in str(value).splitlines()] or [""]
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "..."]


def rows_of(node: dict[str, Any]) -> tuple[list[dict[str, Any]], list[tuple[dict[str, Any], list[str]]]]:
    """Inputs that are sockets alone, and widgets with the lines that they show."""
    sockets = [entry for entry in node["inputs"] if "widget" not in entry]
    values = iter(node["widgets_values"])
    widgets = []
    for entry in node["inputs"]:
        if "widget" in entry:
            value = next(values)
            widgets.append((entry, [] if entry["link"] is not None else widget_lines(value)))
            if entry["name"] == "seed":
                next(values)
    return sockets, widgets


def height_of(node: dict[str, Any]) -> int:
    """Pixels below the title."""
    sockets, widgets = rows_of(node)
    below = sum(1 if len(lines) < 2 else 1 + len(lines) for _, lines in widgets)
    return ROW * (max(len(sockets), len(node["outputs"])) + below) + 16


def draw(saved: dict[str, Any]) -> Image.Image:
    """The whole workflow on dark ground."""
    nodes = {node["id"]: node for node in saved["nodes"]}
    width = max(node["pos"][0] + WIDTH for node in nodes.values()) + 2 * MARGIN
    height = max(node["pos"][1] + height_of(node) + TITLE for node in nodes.values()) + 2 * MARGIN
    picture = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(picture)
    for _, origin, slot, target, place, type_ in saved["links"]:
        _draw_link(pen, _output(nodes[origin], slot), _input(nodes[target], place), _colour(type_))
    for node in nodes.values():
        _draw_node(pen, node)
    return picture


def _colour(type_: str) -> str:
    return COLOURS.get(type_, "#9e9e9e")


def _corner(node: dict[str, Any]) -> tuple[int, int]:
    return node["pos"][0] + MARGIN, node["pos"][1] + MARGIN


def _output(node: dict[str, Any], slot: int) -> tuple[int, int]:
    left, top = _corner(node)
    return left + WIDTH, top + TITLE + ROW * slot + ROW // 2 + 4


def _input(node: dict[str, Any], place: int) -> tuple[int, int]:
    left, top = _corner(node)
    entry = node["inputs"][place]
    sockets, widgets = rows_of(node)
    if "widget" not in entry:
        return left, top + TITLE + ROW * sockets.index(entry) + ROW // 2 + 4
    row = max(len(sockets), len(node["outputs"]))
    for other, lines in widgets:
        if other is entry:
            break
        row += 1 if len(lines) < 2 else 1 + len(lines)
    return left, top + TITLE + ROW * row + ROW // 2 + 8


def _draw_node(pen: ImageDraw.ImageDraw, node: dict[str, Any]) -> None:
    font, bold = ImageFont.load_default(12), ImageFont.load_default(14)
    left, top = _corner(node)
    sockets, widgets = rows_of(node)
    pen.rounded_rectangle((left, top, left + WIDTH, top + TITLE + height_of(node)), 8, fill=NODE, outline="#566")
    pen.rounded_rectangle((left, top, left + WIDTH, top + TITLE), 8, fill=HEAD)
    pen.text((left + 10, top + 6), node["title"], fill=INK, font=bold)
    for entry in sockets:
        x, y = _input(node, node["inputs"].index(entry))
        pen.text((x + 12, y - 8), entry["name"], fill=INK, font=font)
        pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_colour(entry["type"]))
    for slot, entry in enumerate(node["outputs"]):
        x, y = _output(node, slot)
        pen.text((x - 12, y - 8), entry["name"], fill=INK, font=font, anchor="ra")
        pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_colour(entry["type"]))
    for entry, lines in widgets:
        x, y = _input(node, node["inputs"].index(entry))
        _draw_widget(pen, (x, y), entry, lines, font)


def _draw_widget(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], entry: dict[str, Any], lines: list[str], font: Any
) -> None:
    x, y = place
    pen.text((x + 12, y - 8), entry["name"], fill=FAINT, font=font)
    if entry["link"] is not None:
        pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=_colour(entry["type"]))
    elif len(lines) < 2:
        pen.rounded_rectangle((x + 110, y - 9, x + WIDTH - 10, y + 9), 6, fill=FIELD)
        pen.text((x + WIDTH - 18, y - 8), "".join(lines)[:28], fill=INK, font=font, anchor="ra")
    else:
        pen.rounded_rectangle((x + 10, y + 9, x + WIDTH - 10, y + 9 + ROW * len(lines)), 6, fill=FIELD)
        for row, line in enumerate(lines):
            pen.text((x + 16, y + 11 + ROW * row), line, fill=INK, font=font)


def _draw_link(pen: ImageDraw.ImageDraw, start: tuple[int, int], end: tuple[int, int], colour: str) -> None:
    """A cubic curve that leaves and arrives level."""
    reach = max(60, abs(end[0] - start[0]) // 2)
    corners = (start, (start[0] + reach, start[1]), (end[0] - reach, end[1]), end)
    curve = []
    for step in range(33):
        t = step / 32
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
        x, y = (sum(w * corner[side] for w, corner in zip(weights, corners, strict=True)) for side in (0, 1))
        curve.append((x, y))
    pen.line(curve, fill=colour, width=2, joint="curve")
