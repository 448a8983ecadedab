"""Meshes seen through a pinhole camera: which pixels they cover, seen or hidden.

Camera coordinates are those of pictures: x to the right, y down, z away from the camera. Pixel (column, row) has its
centre at (column + 0.5, row + 0.5).

Arrays: V vertices, F faces, H rows, W columns, P points, R triangle rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR = 1e-4
"""Depth at which faces that reach behind the camera are cut, in units of the mesh."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pinhole:
    """Focal lengths and principal point in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float

    def project(self, points_V3: np.ndarray) -> np.ndarray:
        """(V, 2) pixel positions of points in front of the camera."""
        depth_V = points_V3[:, 2]
        across = self.fx * points_V3[:, 0] / depth_V + self.cx
        down = self.fy * points_V3[:, 1] / depth_V + self.cy
        return np.stack([across, down], axis=1)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mesh:
    """Triangles in camera coordinates."""

    vertices: np.ndarray
    """(V, 3) float64."""
    faces: np.ndarray
    """(F, 3) int64."""


def silhouette(mesh: Mesh, camera: Pinhole, *, height: int, width: int) -> np.ndarray:
    """Pixels whose centre a triangle covers, from whichever side: (H, W) bool. Nothing hides anything.

    Every triangle is cut into rows of pixels, and every row marks where it begins and ends. Raises ValueError for
    vertices that are not finite.
    """
    if not np.isfinite(mesh.vertices).all():
        raise ValueError("mesh: expected finite vertices")
    corners_F32 = camera.project(clipped(mesh).reshape(-1, 3)).reshape(-1, 3, 2)
    row_R, left_R, right_R = _rows(corners_F32, height)
    first_R = np.clip(np.ceil(left_R - 0.5), 0, width).astype(np.int64)
    last_R = np.clip(np.floor(right_R - 0.5) + 1, 0, width).astype(np.int64)
    kept = last_R > first_R
    steps = np.zeros((height, width + 1), dtype=np.int64)
    np.add.at(steps, (row_R[kept], first_R[kept]), 1)
    np.add.at(steps, (row_R[kept], last_R[kept]), -1)
    covered_HW: np.ndarray = np.cumsum(steps[:, :width], axis=1) > 0
    return covered_HW


def clipped(mesh: Mesh) -> np.ndarray:
    """The triangles' parts in front of the camera, as triangles: (F, 3, 3)."""
    corners_F33 = mesh.vertices[mesh.faces].astype(np.float64)
    in_front_F3 = corners_F33[..., 2] >= NEAR
    whole = corners_F33[in_front_F3.all(axis=1)]
    cut = [_cut(corners_33) for corners_33 in corners_F33[in_front_F3.any(axis=1) & ~in_front_F3.all(axis=1)]]
    return np.concatenate([whole, *cut]) if cut else whole


def fit_camera(points_HW3: np.ndarray) -> Pinhole:
    """The camera that saw a map of points, one a pixel, by least squares; other than finite points are passed over.

    Raises ValueError for a map that no camera explains to within a pixel.
    """
    height, width = points_HW3.shape[:2]
    rows, columns = np.mgrid[:height, :width] + 0.5
    usable = np.isfinite(points_HW3).all(axis=2) & (points_HW3[..., 2] > NEAR)
    if usable.sum() < 16:
        raise ValueError(f"point map: expected at least 16 finite points before the camera, got {usable.sum()}")
    slopes_P2 = points_HW3[usable][:, :2] / points_HW3[usable][:, 2:]
    fx, cx, across = _line(slopes_P2[:, 0], columns[usable])
    fy, cy, down = _line(slopes_P2[:, 1], rows[usable])
    if max(across, down) > 1 or min(fx, fy) <= 0:
        off = max(across, down)
        raise ValueError(f"point map: expected one of a pinhole camera, got one that is {off:.1f} pixels off")
    return Pinhole(fx=fx, fy=fy, cx=cx, cy=cy)


def _line(slopes_P: np.ndarray, positions_P: np.ndarray) -> tuple[float, float, float]:
    """Focal length and centre of positions = focal * slopes + centre, and the median distance left."""
    spread = slopes_P - slopes_P.mean()
    focal = float((spread * (positions_P - positions_P.mean())).sum() / max(float((spread**2).sum()), 1e-12))
    centre = float(positions_P.mean() - focal * slopes_P.mean())
    return focal, centre, float(np.median(np.abs(focal * slopes_P + centre - positions_P)))


def _rows(corners_F32: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every row of pixel centres in every triangle: its number, where it enters and where it leaves the triangle."""
    y_F3 = corners_F32[..., 1]
    first_F = np.clip(np.ceil(y_F3.min(axis=1) - 0.5), 0, height).astype(np.int64)
    last_F = np.clip(np.floor(y_F3.max(axis=1) - 0.5) + 1, 0, height).astype(np.int64)
    count_F = np.maximum(last_F - first_F, 0)
    owner_R = np.repeat(np.arange(len(count_F)), count_F)
    row_R = first_F[owner_R] + np.arange(len(owner_R)) - np.repeat(np.cumsum(count_F) - count_F, count_F)
    left_R, right_R = np.full(len(owner_R), np.inf), np.full(len(owner_R), -np.inf)
    centre_R = row_R + 0.5
    for start, end in ((0, 1), (1, 2), (2, 0)):
        from_R2, to_R2 = corners_F32[owner_R, start], corners_F32[owner_R, end]
        low, high = np.minimum(from_R2[:, 1], to_R2[:, 1]), np.maximum(from_R2[:, 1], to_R2[:, 1])
        crosses = (low <= centre_R) & (centre_R <= high) & (high > low)
        share = np.where(crosses, (centre_R - from_R2[:, 1]) / np.where(high > low, to_R2[:, 1] - from_R2[:, 1], 1), 0)
        x_R = from_R2[:, 0] + share * (to_R2[:, 0] - from_R2[:, 0])
        left_R = np.where(crosses, np.minimum(left_R, x_R), left_R)
        right_R = np.where(crosses, np.maximum(right_R, x_R), right_R)
    return row_R, left_R, right_R


def _cut(corners_33: np.ndarray) -> np.ndarray:
    """A triangle's part in front of the camera: one triangle or two."""
    kept: list[np.ndarray] = []
    for place in range(3):
        here, following = corners_33[place], corners_33[(place + 1) % 3]
        if here[2] >= NEAR:
            kept.append(here)
        if (here[2] >= NEAR) != (following[2] >= NEAR):
            share = (NEAR - here[2]) / (following[2] - here[2])
            kept.append(here + share * (following - here))
    return np.stack([np.stack([kept[0], kept[place], kept[place + 1]]) for place in range(1, len(kept) - 1)])
