"""COCO-style JSON: images, annotations with pixel boxes [x, y, width, height], categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from occlusionformer.layout.box import is_number
from occlusionformer.layout.formats.draft import LARGEST_CANVAS, NOTHING, Draft, Fields, an_object
from occlusionformer.layout.formats.format import Format, ReadOptions
from occlusionformer.layout.formats.occlusion import order_fields, read_order
from occlusionformer.layout.formats.pixels import Canvas, corner_and_size, pixel, read_corner_and_size
from occlusionformer.layout.problems import LayoutError, Path, Problem, shown
from occlusionformer.layout.region import Polygon, RunLength
from occlusionformer.layout.schema import Instance, Layout
from occlusionformer.layout.text import parse_json, tidy_json

Row = tuple[Path, Fields]


def read(document: object, options: ReadOptions) -> list[Layout]:
    """One layout an image, in the order of the images; fields the format has beside these are left unread.

    The prompt is the `caption` of the image, or the option `prompt` for images without. The caption of an
    instance is the `caption` of its annotation; without one it is the name of the category, and the instance has no
    other category. Two fields that COCO does not have tell the order: `z`, the higher the nearer, or `occludes`, a
    list of the annotations of the same image that this one is in front of.
    """
    source = an_object(document, ())
    problems: list[Problem] = []
    images = _table(source, "images", problems)
    categories = {key: row.get("name") for key, (_, row) in _table(source, "categories", problems).items()}
    of_image: dict[int, list[Row]] = {key: [] for key in images}
    for path, row in _table(source, "annotations", problems).values():
        image = row.get("image_id", NOTHING)
        if isinstance(image, int) and image in of_image:
            of_image[image].append((path, row))
        else:
            problems.append(Problem((*path, "image_id"), f"expected the id of an image, got {shown(image)}"))
    layouts = []
    for key, image_row in images.items():
        try:
            layouts.append(_read_image(image_row, of_image[key], categories, options))
        except LayoutError as error:
            problems += error.details
    if problems:
        raise LayoutError(problems)
    return layouts


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


def _read_image(image: Row, rows: Sequence[Row], names: Mapping[int, object], options: ReadOptions) -> Layout:
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
        draft.put_box(place, row, "bbox", read_corner_and_size, canvas)
        if options.regions is not False:
            _take_region(draft, place, row, canvas)
    draft.origins["order",] = ("annotations",)
    places = {row["id"]: place for place, (_, row) in enumerate(rows) if isinstance(row["id"], int)}
    read_order(draft, [row for _, row in rows], places, "annotation")
    return draft.build(options.cycles or COCO.cycles)


def _take_category(draft: Draft, place: int, row: Fields, names: Mapping[int, object]) -> None:
    """The name of the category; it stands in for a caption that is not there."""
    if "category_id" not in row:
        return
    key = row["category_id"]
    path = (*draft.origins["instances", place], "category_id")
    if not isinstance(key, int) or key not in names:
        draft.report(path, f"expected the id of a category, got {shown(key)}")
    elif "caption" in row:
        draft.put_for(place, "category", names[key], path)
    else:
        draft.put_for(place, "caption", names[key], path)


def _take_region(draft: Draft, place: int, row: Fields, canvas: Canvas | None) -> None:
    """A polygon [[x1, y1, x2, y2, ...]] or a run-length mask; an empty list is no region."""
    shape = row.get("segmentation", [])
    path = (*draft.origins["instances", place], "segmentation")
    if isinstance(shape, Mapping):
        draft.put_for(place, "region", shape, path)
        size = shape.get("size")
        if canvas is not None and isinstance(size, list | tuple) and tuple(size) != canvas[::-1]:
            draft.report((*path, "size"), f"expected the size of the image, {shown(canvas[::-1])}, got {shown(size)}")
    elif not isinstance(shape, list | tuple):
        draft.report(path, f"expected a polygon or a run-length mask, got {shown(shape)}")
    elif len(shape) > 1:
        draft.report(path, f"expected one polygon or a run-length mask, got {len(shape)} polygons")
    elif shape:
        _take_polygon(draft, place, shape[0], canvas or LARGEST_CANVAS)


def _take_polygon(draft: Draft, place: int, ring: object, canvas: Canvas) -> None:
    path = (*draft.origins["instances", place], "segmentation", 0)
    width, height = canvas
    if not isinstance(ring, list | tuple) or len(ring) % 2 or not all(map(is_number, ring)):
        draft.report(path, f"expected numbers x1, y1, x2, y2, ..., got {shown(ring)}")
        return
    points = list(zip(ring[::2], ring[1::2], strict=True))
    outside = [point for point in points if not (0 <= point[0] <= width and 0 <= point[1] <= height)]
    for x, y in outside:
        draft.report(path, f"expected points inside {width} x {height}, got {shown(x)}, {shown(y)}")
    if not outside:
        draft.put_for(place, "region", {"points": [(x / width, y / height) for x, y in points]}, path)
        draft.origins["instances", place, "region", "points"] = path


def _table(source: Fields, name: str, problems: list[Problem]) -> dict[int, Row]:
    """The objects of a list by id, with their paths."""
    rows: dict[int, Row] = {}
    items = source.get(name, [] if name == "categories" else NOTHING)
    if not isinstance(items, list | tuple):
        problems.append(Problem((name,), f"expected a list of objects, got {shown(items)}"))
        return {}
    for place, item in enumerate(items):
        path: Path = (name, place)
        key = item.get("id", NOTHING) if isinstance(item, Mapping) else NOTHING
        if not isinstance(item, Mapping):
            problems.append(Problem(path, f"expected an object, got {shown(item)}"))
        elif not isinstance(key, int) or isinstance(key, bool):
            problems.append(Problem((*path, "id"), f"expected a whole number, got {shown(key)}"))
        elif key in rows:
            problems.append(Problem((*path, "id"), f"expected an id of its own, got {key} again"))
        else:
            rows[key] = (path, item)
    return rows


COCO = Format(
    name="coco",
    description="COCO-style JSON: one layout an image, boxes with width and height in pixels, polygons or RLE.",
    from_text=parse_json,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=tidy_json,
    options=frozenset({"prompt", "cycles", "regions"}),
)
