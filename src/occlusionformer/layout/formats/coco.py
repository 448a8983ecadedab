"""COCO-style JSON: images, annotations with pixel boxes [x, y, width, height], categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from occlusionformer.layout import rle
from occlusionformer.layout.box import Box, box_from_pixels, is_finite, is_number
from occlusionformer.layout.formats.draft import NOTHING, Draft, Fields, an_object
from occlusionformer.layout.formats.format import Format, ReadOptions
from occlusionformer.layout.formats.occlusion import order_fields, read_order
from occlusionformer.layout.formats.pixels import Canvas, corner_and_size, pixel, read_corner_and_size
from occlusionformer.layout.polygons import Point, PolygonPainter
from occlusionformer.layout.problems import LONGEST_VALUE, MOST_PROBLEMS, LayoutError, Path, Problem, shown
from occlusionformer.layout.region import Polygon, RunLength
from occlusionformer.layout.schema import Instance, Layout
from occlusionformer.layout.text import parse_json, tidy_json

Row = tuple[Path, Fields]
Key = int | str

EDGE_SLACK = 0.5
"""Pixels that boxes and polygons may reach over the edge of the image, as rounding leaves them; they are cut off."""

MOST_CHOICES = 20
"""Images that a message lists."""


def read(document: object, options: ReadOptions) -> list[Layout]:
    """One layout an image, in the order of the images; fields the format has beside these are left unread.

    With the option `image`, an id or a file name, the layout of that image alone, and nothing else is looked at. The
    prompt is the `caption` of the image, or the option `prompt` for images without. The caption of an instance is the
    `caption` of its annotation; without one it is the name of the category, and the instance has no other category.
    Two fields that COCO does not have tell the order: `z`, the higher the nearer, or `occludes`, a list of the
    annotations of the same image that this one is in front of. A polygon becomes a region of its own kind; several are
    united into a mask of the pixels whose middle lies in one of them.
    """
    source = an_object(document, ())
    problems: list[Problem] = []
    images = _table(source, "images", problems)
    if options.image is not None:
        key = _chosen(images, options.image)
        images, problems = {key: images[key]}, []
    categories = {key: row.get("name") for key, (_, row) in _table(source, "categories", problems).items()}
    of_image: dict[Key, list[Row]] = {key: [] for key in images}
    for path, row in _table(source, "annotations", problems, None if options.image is None else images).values():
        image = row.get("image_id", NOTHING)
        if isinstance(image, int | str) and image in of_image:
            of_image[image].append((path, row))
        elif len(problems) <= MOST_PROBLEMS:
            problems.append(Problem((*path, "image_id"), f"expected the id of an image, got {shown(image)}"))
    layouts = []
    painter = PolygonPainter()
    for key, image_row in images.items():
        try:
            layouts.append(_read_image(image_row, of_image[key], categories, options, painter))
        except LayoutError as error:
            problems += error.details
        if len(problems) > MOST_PROBLEMS:
            break
    if problems:
        raise LayoutError(problems)
    return layouts


def image_names(document: object) -> list[str]:
    """What the option `image` may be for a document, as a message lists it: every id, with the file it is of."""
    images = document.get("images") if isinstance(document, Mapping) else None
    rows = [row for row in images if isinstance(row, Mapping)] if isinstance(images, list | tuple) else []
    return [_name(row) for row in rows]


def listed_images(names: Sequence[str]) -> str:
    """Names of images, the first few."""
    more = len(names) - MOST_CHOICES
    return ", ".join(names[:MOST_CHOICES]) + (f" and {more} more" if more > 0 else "")


def _chosen(images: Mapping[Key, Row], asked: str) -> Key:
    """The key of the image with this id, or else with this file name. Raises LayoutError for none and for several."""
    by_id = [key for key in images if str(key) == asked]
    by_file = [
        key
        for key, (_, row) in images.items()
        if isinstance(file := row.get("file_name"), str) and asked in (file, file.rpartition("/")[2])
    ]
    found = by_id or by_file
    if len(found) != 1:
        names = listed_images([_name(row) for _, row in images.values()])
        what = f"one of {names}" if not found else f"the id of one image, out of {names}"
        raise LayoutError([Problem(("image",), f"expected {what}, got {shown(asked)}")])
    return found[0]


def _name(row: Fields) -> str:
    file, key = row.get("file_name"), row.get("id", NOTHING)
    names = [
        each if isinstance(each, str) and each.isprintable() and len(each) <= LONGEST_VALUE else shown(each)
        for each in (key, file)
    ]
    return f"{names[0]} ({names[1]})" if isinstance(file, str) else names[0]


def write_one(layout: Layout) -> dict[str, object]:
    return write_all([layout])


def write_all(layouts: Sequence[Layout]) -> dict[str, object]:
    """All layouts in one document; images, annotations and categories are numbered from 1."""
    names = {instance.category: None for layout in layouts for instance in layout.instances if instance.category}
    categories = {name: number for number, name in enumerate(names, start=1)}
    annotations: list[dict[str, object]] = []
    images = []
    for image, layout in enumerate(layouts, start=1):
        images.append({"id": image, "width": layout.width, "height": layout.height, "caption": layout.prompt})
        numbers = range(len(annotations) + 1, len(annotations) + 1 + len(layout.instances))
        for number, instance, order in zip(numbers, layout.instances, order_fields(layout, numbers), strict=True):
            ids: dict[str, object] = {"id": number, "image_id": image}
            if instance.category is not None:
                ids["category_id"] = categories[instance.category]
            if instance.id != str(number):
                ids["instance_id"] = instance.id
            annotations.append({**ids, **_described(instance, (layout.width, layout.height)), **order})
    rows = [{"id": number, "name": name} for name, number in categories.items()]
    return {"images": images, "annotations": annotations, "categories": rows}


def _described(instance: Instance, canvas: Canvas) -> dict[str, object]:
    box = corner_and_size(instance.box, canvas)
    row: dict[str, object] = {"caption": instance.caption, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
    if isinstance(instance.region, Polygon):
        points = instance.region.points
        row["segmentation"] = [[pixel(c, side) for point in points for c, side in zip(point, canvas, strict=True)]]
    elif isinstance(instance.region, RunLength) and instance.region.size == canvas[::-1]:
        row["segmentation"] = instance.region.model_dump()
    return row


def _read_image(
    image: Row, rows: Sequence[Row], names: Mapping[Key, object], options: ReadOptions, painter: PolygonPainter
) -> Layout:
    path, source = image
    draft = Draft(())
    for name in ("width", "height"):
        draft.take(name, source, path=path)
    draft.take("prompt", source, "caption", path=path)
    if "caption" not in source and options.prompt is not None:
        draft.put("prompt", options.prompt, ("prompt",))
    canvas = draft.canvas()
    for row_path, row in rows:
        identifier = row.get("instance_id", str(row["id"]))
        place = draft.add(row_path, identifier)
        draft.origins["instances", place, "id"] = (*row_path, "instance_id" if "instance_id" in row else "id")
        draft.take_for(place, "caption", row)
        _take_category(draft, place, row, names)
        draft.put_box(place, row, "bbox", _read_box, canvas)
        if options.regions is not False:
            _take_region(draft, place, row, canvas, painter)
    draft.origins["order",] = ("annotations",)
    places = {row["id"]: place for place, (_, row) in enumerate(rows)}
    read_order(draft, [row for _, row in rows], places, "annotation")
    return draft.build(options.cycles or COCO.cycles)


def _take_category(draft: Draft, place: int, row: Fields, names: Mapping[Key, object]) -> None:
    """The name of the category; it stands in for a caption that is not there."""
    if "category_id" not in row:
        return
    key = row["category_id"]
    path = (*draft.origins["instances", place], "category_id")
    if not isinstance(key, int | str) or key not in names:
        draft.report(path, f"expected the id of a category, got {shown(key)}")
    elif "caption" in row:
        draft.put_for(place, "category", names[key], path)
    else:
        draft.put_for(place, "caption", names[key], path)


def _read_box(value: object, canvas: Canvas) -> Box:
    """From [x, y, width, height], cut off at the edges of the canvas where it reaches over them by rounding."""
    width, height = canvas
    if (
        isinstance(value, list | tuple)
        and len(value) == 4
        and all(is_number(each) and is_finite(each) for each in value)
    ):
        x1, y1, x2, y2 = value[0], value[1], value[0] + value[2], value[1] + value[3]
        reach = max(-x1, -y1, x2 - width, y2 - height)
        if 0 < reach <= EDGE_SLACK and x1 < x2 and y1 < y2:
            corners = (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height))
            return box_from_pixels(corners, width=width, height=height)
    return read_corner_and_size(value, canvas)


def _take_region(draft: Draft, place: int, row: Fields, canvas: Canvas | None, painter: PolygonPainter) -> None:
    """Polygons [[x1, y1, x2, y2, ...], ...] or a run-length mask; an empty list is no region."""
    shape = row.get("segmentation", [])
    path = (*draft.origins["instances", place], "segmentation")
    if isinstance(shape, Mapping):
        draft.put_for(place, "region", shape, path)
        size = shape.get("size")
        if canvas is not None and isinstance(size, list | tuple) and tuple(size) != canvas[::-1]:
            draft.report((*path, "size"), f"expected the size of the image, {shown(canvas[::-1])}, got {shown(size)}")
    elif not isinstance(shape, list | tuple):
        draft.report(path, f"expected polygons or a run-length mask, got {shown(shape)}")
    elif shape and canvas is not None:
        rings = [_ring(draft, (*path, number), ring, canvas) for number, ring in enumerate(shape)]
        whole = [ring for ring in rings if ring is not None]
        if len(whole) == len(rings) == 1:
            width, height = canvas
            draft.put_for(place, "region", {"points": [(x / width, y / height) for x, y in whole[0]]}, path)
            draft.origins["instances", place, "region", "points"] = (*path, 0)
        elif len(whole) == len(rings):
            try:
                draft.put_for(place, "region", _united(whole, canvas, painter), path)
            except LayoutError as error:
                for problem in error.details:
                    draft.report(path, problem.text)


def _ring(draft: Draft, path: Path, ring: object, canvas: Canvas) -> list[Point] | None:
    """The corners of a polygon; None for what is none, which is reported."""
    width, height = canvas
    if not isinstance(ring, list | tuple) or len(ring) % 2 or not all(map(is_number, ring)):
        draft.report(path, f"expected numbers x1, y1, x2, y2, ..., got {shown(ring)}")
        return None
    points = list(zip(ring[::2], ring[1::2], strict=True))
    if len(points) < 3:
        draft.report(path, f"expected at least 3 points, got {len(points)}")
        return None
    across, down = width + EDGE_SLACK, height + EDGE_SLACK
    outside = [(x, y) for x, y in points if not (-EDGE_SLACK <= x <= across and -EDGE_SLACK <= y <= down)]
    for x, y in outside:
        draft.report(path, f"expected points inside {width} x {height}, got {shown(x)}, {shown(y)}")
    return None if outside else [(min(max(x, 0), width), min(max(y, 0), height)) for x, y in points]


def _united(rings: Sequence[Sequence[Point]], canvas: Canvas, painter: PolygonPainter) -> dict[str, object]:
    width, height = canvas
    runs = painter.runs(rings, width=width, height=height)
    if len(runs) == 1:
        raise LayoutError([f"expected polygons that cover the middle of a pixel, got {len(rings)} that do not"])
    return {"size": [height, width], "counts": rle.compress(runs)}


def _table(
    source: Fields, name: str, problems: list[Problem], of_images: Mapping[Key, Row] | None = None
) -> dict[Key, Row]:
    """The objects of a list by id, with their paths; only those of some images, if these are given."""
    rows: dict[Key, Row] = {}
    items = source.get(name, [] if name == "categories" else NOTHING)
    if not isinstance(items, list | tuple):
        problems.append(Problem((name,), f"expected a list of objects, got {shown(items)}"))
        return {}
    for place, item in enumerate(items):
        if of_images is not None and not _is_of(item, of_images):
            continue
        key = item.get("id", NOTHING) if isinstance(item, Mapping) else NOTHING
        if isinstance(key, int | str) and not isinstance(key, bool) and key not in rows:
            rows[key] = ((name, place), item)
        elif len(problems) <= MOST_PROBLEMS:
            problems.append(_row_problem((name, place), item, key))
    return rows


def _row_problem(path: Path, item: object, key: object) -> Problem:
    if not isinstance(item, Mapping):
        return Problem(path, f"expected an object, got {shown(item)}")
    if not isinstance(key, int | str) or isinstance(key, bool):
        return Problem((*path, "id"), f"expected a whole number or text, got {shown(key)}")
    return Problem((*path, "id"), f"expected an id of its own, got {shown(key)} again")


def _is_of(item: object, images: Mapping[Key, Row]) -> bool:
    image = item.get("image_id") if isinstance(item, Mapping) else None
    return isinstance(image, int | str) and image in images


COCO = Format(
    name="coco",
    description="COCO-style JSON: one layout an image, boxes with width and height in pixels, polygons or RLE.",
    order="z, the higher the nearer, or occludes",
    from_text=parse_json,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=tidy_json,
    marks=frozenset({"images", "categories"}),
    options=frozenset({"prompt", "cycles", "regions", "image"}),
)
