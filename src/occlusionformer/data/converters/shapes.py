"""Reads polygons and run lengths of other data sets; checks them before pycocotools' native code runs on them.

A polygon may reach over the edges of its picture, as outlines of things that are cut off do, but not farther than
the picture is wide or high.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from occlusionformer.data.records.masks import mask_from_runs
from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import Mask
from occlusionformer.layout.problems import Path, Problem, shown
from occlusionformer.tensors.runs import checked_runs, runs_of_ranges, set_ranges

LONGEST_OUTLINE = 1_000_000
"""Pixels, of all polygons of a shape: drawing takes time and memory for each. The largest picture has a border of
262,140."""

FARTHEST = 1e12
"""Pixels from the picture of a corner that a repair still draws a line to, exactly to a thousandth of a pixel."""

MOST_POLYGONS = 10_000
"""Of a shape."""

Ring = list[float]
"""x1, y1, x2, y2, ..."""


class ShapeError(ValueError):
    """A shape with faults; lists each with its path in the shape."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


@dataclass
class ShapeReader:
    """Reads the shapes of one picture.

    Faults that leaving a polygon out, or cutting it off, puts right are put right where `repairs` is a list, and told
    there.
    """

    height: int
    width: int
    repairs: list[Problem] | None = None
    _faults: list[Problem] = field(default_factory=list)

    def mask(self, shape: Any) -> Mask:
        """Of polygons, one flat polygon, or run lengths, compressed or not. Raises ShapeError for anything else.

        Run lengths may be those of a mask without a set pixel; polygons cover at least one.
        """
        self._faults = []
        if isinstance(shape, Mapping):
            found = self._of_runs(shape)
        elif isinstance(shape, list) and shape:
            is_flat = not isinstance(shape[0], list)
            found = self._of_rings({(): shape} if is_flat else {(place,): ring for place, ring in enumerate(shape)})
        else:
            raise ShapeError([Problem((), f"expected polygons or a run-length mask, got {shown(shape)}")])
        if self._faults or found is None:
            raise ShapeError(self._faults)
        return found

    def _of_runs(self, shape: Mapping[str, Any]) -> Mask | None:
        expected, size = [self.height, self.width], shape.get("size")
        if not isinstance(size, list | tuple) or list(size) != expected or not set(map(type, size)) <= {int}:
            text = f"expected the size of the picture, {shown(expected)}, got {_shown(shape, 'size')}"
            self._faults.append(Problem(("size",), text))
        counts = shape.get("counts")
        if "counts" not in shape:
            text = "expected a COCO compressed string or a list of whole numbers, got nothing"
            self._faults.append(Problem(("counts",), text))
        if self._faults:
            return None
        if self.repairs is not None and isinstance(counts, str) and counts[:2] in ("b'", 'b"'):
            self.repairs.append(Problem(("counts",), f"read as the bytes it shows: {shown(counts)}"))
            counts = counts[2:-1].replace("\\\\", "\\")
        try:
            return mask_from_runs(checked_runs(counts, self.height, self.width), self.height, self.width)
        except ValueError as error:
            self._faults.append(Problem(("counts",), str(error)))
            return None

    def _of_rings(self, rings: Mapping[Path, Any]) -> Mask | None:
        if len(rings) > MOST_POLYGONS:
            self._faults.append(Problem((), f"expected at most {MOST_POLYGONS} polygons, got {len(rings)}"))
            return None
        kept = [ring for path, given in rings.items() if (ring := self._ring(given, path)) is not None]
        if self._faults:
            return None
        length = math.fsum(map(_outline, kept))
        if length > LONGEST_OUTLINE:
            text = f"expected outlines of at most {LONGEST_OUTLINE} pixels, got {length:.0f}"
            self._faults.append(Problem((), text))
            return None
        mask = self._drawn(kept) if kept else None
        if mask is None:
            self._faults.append(
                Problem((), f"expected polygons that cover at least one pixel, got {shown(list(rings.values()))}")
            )
        return mask

    def _ring(self, ring: Any, path: Path) -> Ring | None:
        """One polygon as corner coordinates; None if it is left out."""
        if not isinstance(ring, list) or not set(map(type, ring)) <= {int, float}:
            self._leave_out(path, f"expected numbers x1, y1, x2, y2, x3, y3, ..., got {shown(ring)}")
            return None
        if len(ring) < 6 or len(ring) % 2:
            text = f"expected at least three corners x, y, got {len(ring)} number{'s' * (len(ring) != 1)} {shown(ring)}"
            self._leave_out(path, text)
            return None
        xs, ys = _floats(ring[::2]), _floats(ring[1::2])
        reach = np.maximum(np.abs(xs - self.width / 2) / self.width, np.abs(ys - self.height / 2) / self.height)
        if not reach.max() > 1.5 and not np.isnan(reach).any():
            return ring
        worst = int(np.argmax(np.where(np.isnan(reach), math.inf, reach)))
        text = (
            f"expected corners on the picture of {self.width} x {self.height}, or less than its sides away from it, "
            f"got {shown([ring[2 * worst], ring[2 * worst + 1]])}"
        )
        if self.repairs is None or not max(np.abs(xs).max(), np.abs(ys).max()) < FARTHEST:
            self._leave_out(path, text)
            return None
        inside = _cut(ring, self.width, self.height)
        if len(inside) < 6:
            self._leave_out(path, text)
            return None
        self.repairs.append(Problem(path, f"cut off at the edges of the picture: {text}"))
        return inside

    def _leave_out(self, path: Path, text: str) -> None:
        if self.repairs is None:
            self._faults.append(Problem(path, text))
        else:
            self.repairs.append(Problem(path, f"left out: {text}"))

    def _drawn(self, rings: Sequence[Ring]) -> Mask | None:
        """The union of polygons, each as COCO draws it; None for one without a pixel.

        COCO's own union makes room for every pixel of the picture, and crashes where there is none.
        """
        coco = from_extra("pycocotools.mask")
        drawn = coco.frPyObjects([[float(number) for number in ring] for ring in rings], self.height, self.width)
        ranges = [set_ranges(checked_runs(each["counts"], self.height, self.width)) for each in drawn]
        starts, stops = (np.concatenate(edges) for edges in zip(*ranges, strict=True))
        runs_R = runs_of_ranges(starts, stops, self.height * self.width)
        return mask_from_runs(runs_R, self.height, self.width) if len(starts) else None


def _floats(numbers: Ring) -> np.ndarray:
    """Numbers as floats; integers beyond the range of floats become infinite."""
    return np.array([number if number != number or abs(number) < 1e300 else math.inf for number in numbers], np.float64)


def _shown(value: Mapping[str, Any], name: str) -> str:
    return shown(value[name]) if name in value else "nothing"


def _outline(ring: Ring) -> float:
    """Length of a polygon's outline in pixels along the longer axis of each edge: the cost of drawing it."""
    xs, ys = np.array(ring[::2]), np.array(ring[1::2])
    return float(np.maximum(np.abs(xs - np.roll(xs, 1)), np.abs(ys - np.roll(ys, 1))).sum())


def _cut(ring: Ring, width: int, height: int) -> Ring:
    """The part of a polygon on the picture: cut at one edge after the other (Sutherland and Hodgman, 1974)."""
    points = list(zip(map(float, ring[::2]), map(float, ring[1::2]), strict=True))
    for axis, limit, sign in ((0, 0.0, 1), (0, float(width), -1), (1, 0.0, 1), (1, float(height), -1)):
        kept: list[tuple[float, float]] = []
        for place, point in enumerate(points):
            before = points[place - 1]
            is_inside, was_inside = ((each[axis] - limit) * sign >= 0 for each in (point, before))
            if is_inside != was_inside:
                share = (limit - before[axis]) / (point[axis] - before[axis])
                other = before[1 - axis] + share * (point[1 - axis] - before[1 - axis])
                kept.append((limit, other) if axis == 0 else (other, limit))
            if is_inside:
                kept.append(point)
        points = kept
    return [number for point in points for number in point]
