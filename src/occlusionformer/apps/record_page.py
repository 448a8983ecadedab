"""Records of a data set on one page: every picture with its boxes, its masks, and a graph of its order.

Arrays: H rows, W columns, C colour channels.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image, ImageDraw, ImageFont

from occlusionformer.apps.drawing import instance_colour
from occlusionformer.data.records import (
    Record,
    RecordFolder,
    RecordInstance,
    decode_image,
)
from occlusionformer.data.records.masks import is_hidden, resized_mask
from occlusionformer.data.records.source import MaskKind, masks_of, picture_path
from occlusionformer.pictures import file_bytes
from occlusionformer.reporting import Section, figure, gallery, page, table, text

LONGEST_SIDE = 768
"""Pixels of a picture on the page; larger ones are scaled down."""
JPEG_QUALITY = 85
SEEN, HIDDEN = 0.6, 0.3
"""How much a mask covers what is below it, where the instance is seen and where it is hidden."""
GREY = 208
NUMBER_SIZE = 24

NODE, RADIUS, MARGIN = 16, 110, 40
"""Pixels of the graph: half a node, the circle the nodes stand on, and what is around it."""


@dataclass(frozen=True)
class RecordPage:
    """The page, and the ids of the pictures on it."""

    html: str
    shown: tuple[str, ...]


def record_page(
    records: RecordFolder, *, ids: Sequence[str] = (), most: int, image_root: Path | None = None
) -> RecordPage:
    """The first records, or those with the given ids. Raises ValueError for ids that are not there."""
    chosen = list(_chosen(records, ids, most))
    if missing := [name for name in ids if name not in {record.image_id for record, _ in chosen}]:
        raise ValueError("\n".join(f"--id: no picture {name!r} in {records.folder}" for name in missing))
    sections = [_section(record, image, image_root) for record, image in chosen]
    return RecordPage(page(f"Records of {records.folder.name}", sections), tuple(r.image_id for r, _ in chosen))


def _section(record: Record, image: bytes | None, root: Path | None) -> Section:
    image_HWC = _picture(record, image, root)
    try:
        return Section(record.image_id, _body(record, image_HWC))
    except (ValueError, ArithmeticError, LookupError) as error:
        reason = str(error).removeprefix(f"{record.image_id}: ")
        text = f"{record.image_id}: expected a record that can be drawn: {reason}"
        raise ValueError(f"{text}; `data validate` lists what is wrong with it") from None


def order_graph(record: Record) -> Markup:
    """An arrow from everyone in front to those it hides part of; nodes are numbered as the instances are."""
    count = len(record.instances)
    side = 2 * (RADIUS + MARGIN)
    places = [_on_circle(place, count) for place in range(count)]
    arrows = [_arrow(places[front], places[behind]) for front, behind in record.edges]
    nodes = [
        Markup('<g><title>{}</title><circle cx="{:.0f}" cy="{:.0f}" r="{}" fill="rgb{}"/>'
               '<text x="{:.0f}" y="{:.0f}" fill="white" text-anchor="middle" font-size="14">{}</text></g>').format(
            instance.caption, x, y, NODE, instance_colour(place), x, y + 5, place + 1
        )
        for place, (instance, (x, y)) in enumerate(zip(record.instances, places, strict=True))
    ]  # fmt: skip
    head = Markup(
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="currentColor"/></marker></defs>'
    )
    frame = Markup('<svg role="img" aria-label="order" width="{}" height="{}" viewBox="0 0 {} {}">{}{}{}</svg>')
    return frame.format(side, side, side, side, head, Markup("").join(arrows), Markup("").join(nodes))


def _chosen(records: RecordFolder, ids: Sequence[str], most: int) -> Iterator[tuple[Record, bytes | None]]:
    found = 0
    for shard in records.shards:
        for record in shard.records():
            if not ids or record.image_id in ids:
                yield record, shard.image(record)
                found += 1
                if found == (len(ids) or most):
                    return


def _picture(record: Record, image: bytes | None, root: Path | None) -> Image.Image:
    """At the size of the page; grey where there is none."""
    if image is None and root is not None:
        image = file_bytes(picture_path(record, root))
    if image is None:
        share = min(1.0, LONGEST_SIDE / max(record.width, record.height))
        size = (max(1, round(record.width * share)), max(1, round(record.height * share)))
        return Image.new("RGB", size, (GREY, GREY, GREY))
    picture = Image.fromarray(decode_image(record, image))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return picture


def _body(record: Record, image: Image.Image) -> Markup:
    figures = [figure(_jpeg(_with_boxes(record, image)), "amodal boxes, visible ones thin")]
    kinds: dict[MaskKind, str] = {"visible": "visible masks", "amodal": "amodal masks, hidden parts paler"}
    for kind, words in kinds.items():
        if any(getattr(instance, f"{kind}_mask") is not None for instance in record.instances):
            figures.append(figure(_jpeg(_masked(record, image, kind)), words))
    graph = Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(
        order_graph(record), "who hides whom" if record.order is not None else "no order known"
    )
    headers = ["", "id", "caption", "category", "visible box", "amodal box", "hides", "hidden by"]
    rows = [_row(record, place, instance) for place, instance in enumerate(record.instances)]
    origin = record.provenance
    steps = ", ".join(f"{step.stage} by {step.model or 'hand'}" for step in origin.steps)
    facts = f"{record.width} x {record.height}, {origin.dataset}{f', {steps}' if steps else ''}"
    drawn = Markup('<div class="large">{}</div>').format(gallery([*figures, graph]))
    return text(record.prompt or "no prompt") + drawn + table(headers, rows) + text(facts)


def _row(record: Record, place: int, instance: RecordInstance) -> list[str | int | float | None]:
    hides = ", ".join(str(behind + 1) for front, behind in record.edges if front == place)
    hidden_by = ", ".join(str(front + 1) for front, behind in record.edges if behind == place)
    boxes = ["hidden" if is_hidden(instance) else _edges(instance.visible_box), _edges(instance.amodal_box)]
    return [place + 1, instance.id, instance.caption, instance.category or "", *boxes, hides, hidden_by]


def _edges(box: tuple[float, ...] | None) -> str:
    return "" if box is None else ", ".join(f"{edge:g}" for edge in box)


def _with_boxes(record: Record, image: Image.Image) -> Image.Image:
    """Numbered as in the graph."""
    picture = image.resize([side * max(1, LONGEST_SIDE // max(image.size)) for side in image.size])
    scale = picture.width / record.width
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(NUMBER_SIZE)
    for place, instance in enumerate(record.instances):
        colour = instance_colour(place)
        for box, width in ((instance.amodal_box, 3), (instance.visible_box, 1 if instance.amodal_box else 3)):
            if box is not None:
                edges = [min(max(edge * scale, -width), LONGEST_SIDE + width) for edge in box]
                draw.rectangle(edges, outline=colour, width=width)
        corner = instance.amodal_box or instance.visible_box
        if corner is not None:
            at = (max(corner[0], 0) * scale, max(corner[1], 0) * scale)
            draw.rectangle(draw.textbbox(at, f" {place + 1} ", font=font), fill=colour)
            draw.text(at, f" {place + 1} ", font=font, fill="white")
    return picture


def _masked(record: Record, image: Image.Image, kind: MaskKind) -> Image.Image:
    """The picture under its masks, in the colours of the graph."""
    canvas_HWC = np.array(image, dtype=np.float32)
    size = canvas_HWC.shape[0], canvas_HWC.shape[1]
    for place, (mask, visible) in enumerate(zip(masks_of(record, kind), masks_of(record, "visible"), strict=True)):
        if mask is None:
            continue
        colour_C = np.array(instance_colour(place), dtype=np.float32)
        mask_HW = resized_mask(mask, *size)
        seen_HW = mask_HW if visible is None else resized_mask(visible, *size) & mask_HW
        for part_HW, strength in ((seen_HW, SEEN), (mask_HW & ~seen_HW, HIDDEN)):
            canvas_HWC[part_HW] += strength * (colour_C - canvas_HWC[part_HW])
    return Image.fromarray(canvas_HWC.round().astype(np.uint8))


def _jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def _on_circle(place: int, count: int) -> tuple[float, float]:
    angle = 2 * math.pi * place / count - math.pi / 2
    middle = RADIUS + MARGIN
    return middle + RADIUS * math.cos(angle), middle + RADIUS * math.sin(angle)


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> Markup:
    """From rim to rim, bent to its left, so that two that go both ways are told apart."""
    across, down = end[0] - start[0], end[1] - start[1]
    length = math.hypot(across, down)
    step_x, step_y = across / length * NODE, down / length * NODE
    bend_x, bend_y = (start[0] + end[0] - down / 6) / 2, (start[1] + end[1] + across / 6) / 2
    return Markup(
        '<path d="M{:.1f} {:.1f}Q{:.1f} {:.1f} {:.1f} {:.1f}" fill="none" stroke="currentColor" stroke-width="1.5" '
        'marker-end="url(#head)"/>'
    ).format(start[0] + step_x, start[1] + step_y, bend_x, bend_y, end[0] - step_x, end[1] - step_y)
