"""Checks records: every problem with its field, the value and what was expected."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import PurePosixPath

from occlusionformer.data.records.checking_masks import mask_problems
from occlusionformer.data.records.checking_matrices import matrix_problems
from occlusionformer.data.records.record import Box, Record, RecordInstance
from occlusionformer.layout.problems import Path, Problem, one_of, shown
from occlusionformer.layout.region import LONGEST_SIDE

REQUIREMENTS = ("prompt", "captions", "visible", "amodal", "order", "depth", "images")
"""Optional fields that a data set may be required to have."""

EDGE_SLACK = 1.0
"""Pixels a visible box may reach over the edge: hand-drawn outlines do, by fractions."""


def check_record(record: Record, *, require: Iterable[str] = ()) -> list[Problem]:
    """All problems of a record; `require` names fields out of `REQUIREMENTS` that it must have."""
    required = frozenset(require)
    if unknown := sorted(required - set(REQUIREMENTS)):
        raise ValueError(f"require: expected {one_of(REQUIREMENTS)}, got {', '.join(unknown)}")
    problems = [*_head_problems(record), *_missing(record, required)]
    for place, instance in enumerate(record.instances):
        problems += (problem.under(("instances", place)) for problem in _instance_problems(instance, record))
    problems += _repeated_ids(record)
    problems += matrix_problems(record)
    return problems


def _head_problems(record: Record) -> list[Problem]:
    problems = [*_name_problems(("image_id",), record.image_id)]
    for name in ("width", "height"):
        if not 1 <= getattr(record, name) <= LONGEST_SIDE:
            problems.append(Problem((name,), f"expected 1 to {LONGEST_SIDE}, got {getattr(record, name)}"))
    problems += _text_problems(("prompt",), record.prompt)
    if not record.instances:
        problems.append(Problem(("instances",), "expected at least one instance, got none"))
    if record.image_path is not None:
        path = PurePosixPath(record.image_path)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in record.image_path:
            problems.append(Problem(("image_path",), f"expected a path below a folder, got {shown(record.image_path)}"))
    if (record.image_file is None) != (record.image_sha256 is None):
        text = "expected image_file and image_sha256, or neither of them, got one"
        problems.append(Problem(("image_sha256",), text))
    if not record.provenance.dataset:
        problems.append(Problem(("provenance", "dataset"), "expected the name of a data set, got nothing"))
    for place, step in enumerate(record.provenance.steps):
        if not step.stage:
            problems.append(Problem(("provenance", "steps", place, "stage"), "expected a name, got nothing"))
    problems += _extra_problems(record.extra)
    return problems


def _missing(record: Record, required: frozenset[str]) -> list[Problem]:
    """Problems: required fields that are missing."""
    problems = []
    if "prompt" in required and not record.prompt.strip():
        problems.append(Problem(("prompt",), "expected a description, got nothing"))
    if "images" in required and record.image_file is None:
        problems.append(Problem(("image_file",), "expected a picture, got null"))
    for name in ("order", "depth"):
        if name in required and getattr(record, name) is None:
            problems.append(Problem((name,), "expected a matrix, got null"))
    for place, instance in enumerate(record.instances):
        if "captions" in required and not instance.caption.strip():
            problems.append(Problem(("instances", place, "caption"), "expected a caption, got nothing"))
        if "visible" in required and instance.visible_mask is None:
            problems.append(Problem(("instances", place, "visible_mask"), "expected a mask, got null"))
        if "amodal" in required and instance.amodal_mask is None:
            problems.append(Problem(("instances", place, "amodal_mask"), "expected a mask, got null"))
    return problems


def _instance_problems(instance: RecordInstance, record: Record) -> list[Problem]:
    problems = [*_name_problems(("id",), instance.id), *_text_problems(("caption",), instance.caption)]
    if instance.category is not None and not instance.category.strip():
        problems.append(Problem(("category",), "expected a name or null, got nothing"))
    boxes = {name: getattr(instance, name) for name in ("visible_box", "amodal_box")}
    if all(box is None for box in boxes.values()):
        problems.append(Problem(("visible_box",), "expected a visible_box or an amodal_box, got neither"))
    usable: dict[str, Box] = {}
    for name, box in boxes.items():
        if box is not None:
            found = _box_problems(box, record, is_visible=name == "visible_box")
            problems += (problem.under((name,)) for problem in found)
            if not found:
                usable[name] = box
    problems += mask_problems(instance, record, usable)
    problems += _extra_problems(instance.extra)
    return problems


def _box_problems(box: Box, record: Record, *, is_visible: bool) -> list[Problem]:
    if len(box) != 4 or not all(isinstance(edge, int | float) and math.isfinite(edge) for edge in box):
        return [Problem((), f"expected four finite numbers x1, y1, x2, y2, got {shown(box)}")]
    x1, y1, x2, y2 = box
    problems = []
    for first, second, axis in ((x1, x2, "x"), (y1, y2, "y")):
        if first >= second:
            problems.append(Problem((), f"expected {axis}1 < {axis}2, got {first:g} and {second:g}"))
    reach = EDGE_SLACK if is_visible else math.inf
    is_inside = -reach <= x1 and -reach <= y1 and x2 <= record.width + reach and y2 <= record.height + reach
    is_seen = x1 < record.width and y1 < record.height and x2 > 0 and y2 > 0
    if not is_inside or not is_seen:
        where = "inside" if is_visible else "that overlaps"
        problems.append(Problem((), f"expected a box {where} {record.width} x {record.height}, got {shown(box)}"))
    return problems


def _repeated_ids(record: Record) -> list[Problem]:
    seen: set[str] = set()
    problems = []
    for place, instance in enumerate(record.instances):
        if instance.id in seen:
            text = f"expected an id of its own, got {shown(instance.id)} again"
            problems.append(Problem(("instances", place, "id"), text))
        seen.add(instance.id)
    return problems


def _name_problems(path: Path, name: str) -> list[Problem]:
    if not name.strip() or not name.isprintable():
        return [Problem(path, f"expected printable text, got {shown(name)}")]
    return []


def _text_problems(path: Path, text: str) -> list[Problem]:
    return [Problem(path, f"expected text without NUL, got {shown(text)}")] if "\0" in text else []


def _extra_problems(text: str) -> list[Problem]:
    try:
        value = json.loads(text)
    except ValueError as error:
        return [Problem(("extra",), f"expected a JSON object: {error}, got {shown(text)}")]
    return [] if isinstance(value, dict) else [Problem(("extra",), f"expected a JSON object, got {shown(text)}")]
