"""All problems of a record of an SA-Z file, in terms of that file's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from occlusionformer.data.records.packages import from_extra
from occlusionformer.layout.problems import Path, Problem, shown
from occlusionformer.tensors.runs import run_lengths

ABSENT = object()


def row_problems(value: object) -> list[Problem]:
    """Problems of a record; at least one for every record that the reader refuses."""
    if not isinstance(value, Mapping):
        return [Problem((), f"expected an object, got {shown(value)}")]
    problems = _kind_problems(value, {"prompt": str}, ())
    problems += _optional_kinds(value)
    rows = value.get("mask_annotation", ABSENT)
    if not isinstance(rows, list):
        problems.append(Problem(("mask_annotation",), f"expected a list of objects, got {_shown(rows)}"))
        return problems
    size = _size(value, rows, problems)
    for place, row in enumerate(rows):
        problems += _annotation_problems(row, ("mask_annotation", place), size)
    if value.get("pred_order") is not None:
        problems += _order_problems(value["pred_order"], len(rows))
    return problems or _depth_problems(value)


def _depth_problems(value: Mapping[str, Any]) -> list[Problem]:
    """Problems of values nested deeper than JSON can be written; they can be read, but not written back."""
    try:
        from_extra("orjson").dumps(value)
    except TypeError as error:
        return [Problem((), f"expected what JSON can hold: {error}")]
    return []


def _kind_problems(value: Mapping[str, Any], kinds: Mapping[str, Any], path: Path) -> list[Problem]:
    names = {str: "text", (str, int): "text or a whole number"}
    return [
        Problem((*path, name), f"expected {names[kind]}, got {_shown(value.get(name, ABSENT))}")
        for name, kind in kinds.items()
        if not isinstance(value.get(name, ABSENT), kind) or isinstance(value[name], bool)
    ]


def _optional_kinds(value: Mapping[str, Any]) -> list[Problem]:
    given = {"image_id": (str, int), "image_path": str}
    present = {name: kind for name, kind in given.items() if name in value}
    if value.get("image_path", ABSENT) is None:
        del present["image_path"]
    return _kind_problems(value, present, ())


def _size(value: Mapping[str, Any], rows: list[Any], problems: list[Problem]) -> list[int] | None:
    """Height and width of the first mask, or of the record when no row has a mask."""
    for row in rows:
        if isinstance(row, Mapping) and "segmentation" in row:
            mask = row["segmentation"]
            size = mask.get("size") if isinstance(mask, Mapping) else None
            return size if _is_size(size) else None
    for name in ("height", "width"):
        if type(value.get(name)) is not int:
            text = f"expected a whole number in a record without masks, got {_shown(value.get(name, ABSENT))}"
            problems.append(Problem((name,), text))
    return None


def _is_size(size: object) -> bool:
    return isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)


def _annotation_problems(row: object, path: Path, size: list[int] | None) -> list[Problem]:
    if not isinstance(row, Mapping):
        return [Problem(path, f"expected an object, got {shown(row)}")]
    problems = _kind_problems(row, {"id": (str, int), "caption": str}, path)
    box = row.get("bbox", ABSENT)
    if not isinstance(box, list) or len(box) != 4 or any(type(number) not in (int, float) for number in box):
        problems.append(Problem((*path, "bbox"), f"expected four numbers x, y, width, height, got {_shown(box)}"))
    if "segmentation" in row:
        problems += _mask_problems(row["segmentation"], (*path, "segmentation"), size)
    return problems


def _mask_problems(mask: object, path: Path, size: list[int] | None) -> list[Problem]:
    if not isinstance(mask, Mapping):
        return [Problem(path, f"expected a COCO run-length mask, got {shown(mask)}")]
    problems = []
    counts = mask.get("counts", ABSENT)
    if counts is ABSENT:
        text = "expected a COCO compressed string or a list of whole numbers, got nothing"
        problems.append(Problem((*path, "counts"), text))
    elif not isinstance(counts, str):
        try:
            run_lengths(counts)
        except ValueError as error:
            problems.append(Problem((*path, "counts"), str(error)))
    found = mask.get("size", ABSENT)
    if not _is_size(found):
        problems.append(Problem((*path, "size"), f"expected height and width, got {_shown(found)}"))
    elif size is not None and found != size:
        text = f"expected the size of the other masks, {shown(size)}, got {shown(found)}"
        problems.append(Problem((*path, "size"), text))
    return problems


def _order_problems(matrix: object, count: int) -> list[Problem]:
    path: Path = ("pred_order",)
    if not isinstance(matrix, list) or len(matrix) != count:
        return [Problem(path, f"expected {count} lists of {count} numbers, got {shown(matrix)}")]
    problems = []
    for front, row in enumerate(matrix):
        if not isinstance(row, list) or len(row) != count:
            problems.append(Problem((*path, front), f"expected a list of {count} numbers, got {shown(row)}"))
            continue
        for behind, entry in enumerate(row):
            if type(entry) is not int or entry not in (-1, 0, 1):
                problems.append(Problem((*path, front, behind), f"expected 1, 0 or -1, got {shown(entry)}"))
            elif front == behind and entry:
                text = f"expected 0, got {entry}: an instance in front of itself"
                problems.append(Problem((*path, front, behind), text))
    return problems


def _shown(value: object) -> str:
    return "nothing" if value is ABSENT else shown(value)
