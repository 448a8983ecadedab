"""Checks the masks of an instance, alone and against its boxes.

Arrays: R runs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from occlusionformer.data.records.masks import mask_runs
from occlusionformer.data.records.record import Box, Mask, Record, RecordInstance
from occlusionformer.layout.problems import Problem, shown
from occlusionformer.tensors.runs import box_of_runs, num_set, shared_pixels

BOX_SLACK = 2.0
"""Pixels between an edge of a box and of its mask: data sets round, and count the last pixel or do not."""

LEAST_COVERED = 0.8
"""Share of a visible mask that the amodal mask covers: people who drew both drew them apart by a little."""


def mask_problems(instance: RecordInstance, record: Record, boxes: Mapping[str, Box]) -> list[Problem]:
    """Problems of an instance's masks; `boxes` are its valid boxes.

    A visible mask without a set pixel says that the instance is hidden: it has no visible box then.
    """
    problems: list[Problem] = []
    runs: dict[str, np.ndarray] = {}
    for kind in ("visible", "amodal"):
        mask, box = getattr(instance, f"{kind}_mask"), getattr(instance, f"{kind}_box")
        if mask is None:
            continue
        runs_R, found = _readable(mask, record)
        problems += (problem.under((f"{kind}_mask",)) for problem in found)
        is_empty = runs_R is not None and not runs_R[1::2].any()
        if is_empty and kind == "amodal":
            problems.append(Problem(("amodal_mask", "counts"), "expected at least one set pixel, got none"))
        elif is_empty and box is not None:
            text = f"expected null beside a mask without a set pixel, got {shown(box)}"
            problems.append(Problem(("visible_box",), text))
        elif box is None and not is_empty:
            problems.append(Problem((f"{kind}_box",), "expected the box of the mask, got null"))
        elif runs_R is not None and not is_empty:
            runs[kind] = runs_R
            if f"{kind}_box" in boxes:
                problems += _box_beside_mask(f"{kind}_box", boxes[f"{kind}_box"], mask, runs_R)
    if len(runs) == 2:
        problems += _visible_beyond_amodal(runs["visible"], runs["amodal"])
    return problems


def _readable(mask: Mask, record: Record) -> tuple[np.ndarray | None, list[Problem]]:
    """The run lengths of a mask, or its problem."""
    size, canvas = (mask.height, mask.width), (record.height, record.width)
    if size != canvas:
        return None, [Problem(("size",), f"expected the size of the picture, {shown(canvas)}, got {shown(size)}")]
    try:
        return mask_runs(mask), []
    except ValueError as error:
        return None, [Problem(("counts",), str(error))]


def _box_beside_mask(name: str, box: Box, mask: Mask, runs_R: np.ndarray) -> list[Problem]:
    """Problem if box and mask differ; a mask's box cannot reach beyond the picture."""
    expected = box_of_runs(runs_R, mask.height)
    cut = [min(max(edge, 0.0), side) for edge, side in zip(box, (mask.width, mask.height) * 2, strict=True)]
    if all(abs(edge - other) <= BOX_SLACK for edge, other in zip(cut, expected, strict=True)):
        return []
    text = f"expected the box of its mask, {shown(expected)}, to {BOX_SLACK:g} pixels, got {shown(box)}"
    return [Problem((name,), text)]


def _visible_beyond_amodal(visible_R: np.ndarray, amodal_R: np.ndarray) -> list[Problem]:
    covered = shared_pixels(visible_R, amodal_R) / num_set(visible_R)
    if covered >= LEAST_COVERED:
        return []
    text = f"expected a mask that covers {LEAST_COVERED:.0%} of the visible one, got {covered:.0%}"
    return [Problem(("amodal_mask",), text)]
