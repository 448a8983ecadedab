"""Silhouettes against rays cast at every pixel, and against the cone that a sphere makes."""

from __future__ import annotations

import numpy as np
import pytest

from occlusionformer.data.engine.models.camera import NEAR, Mesh, Pinhole, fit_camera, silhouette
from tests.tables import for_each

CAMERA = Pinhole(fx=80.0, fy=84.0, cx=31.0, cy=22.5)
HEIGHT, WIDTH = 48, 64
BOX_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
     [1, 5, 7], [1, 7, 3]]
)  # fmt: skip


def rays(camera: Pinhole = CAMERA) -> np.ndarray:
    """(H, W, 3) directions through the pixel centres."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones_like(rows)], axis=-1)


def hit_by_rays(mesh: Mesh) -> np.ndarray:
    """Moeller and Trumbore's test for every pixel and triangle."""
    hit = np.zeros((HEIGHT, WIDTH), dtype=bool)
    direction = rays()
    for corner, second, third in mesh.vertices[mesh.faces]:
        edge, other = second - corner, third - corner
        normal = np.cross(direction, other)
        determinant = normal @ edge
        with np.errstate(divide="ignore", invalid="ignore"):
            u = normal @ -corner / determinant
            turned = np.cross(-corner, edge)
            v = direction @ turned / determinant
            depth = turned @ other / determinant
        with np.errstate(invalid="ignore"):
            inside = (u >= 0) & (v >= 0) & (u + v <= 1) & (depth >= NEAR)
        hit |= inside
    return hit


def box(centre: tuple[float, float, float], sides: tuple[float, float, float], seed: int) -> Mesh:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * np.array(sides) / 2
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return Mesh(vertices=corners @ turn + np.array(centre), faces=BOX_FACES)


def icosphere(centre: tuple[float, float, float], radius: float, levels: int) -> Mesh:
    golden = (1 + 5**0.5) / 2
    vertices = [
        point for a in (-1.0, 1.0) for b in (-golden, golden) for point in ((0.0, a, b), (a, b, 0.0), (b, 0.0, a))
    ]
    points = np.array(vertices) / np.linalg.norm(vertices[0])
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    near = distance < 1.1
    faces = np.array([
        (i, j, k) for i in range(12) for j in range(i + 1, 12) for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ])  # fmt: skip
    assert len(faces) == 20
    for _ in range(levels):
        triangles = points[faces]
        middles = [triangles[:, a] + triangles[:, b] for a, b in ((0, 1), (1, 2), (2, 0))]
        first, second, third = (middle / np.linalg.norm(middle, axis=1, keepdims=True) for middle in middles)
        quarters = [
            (triangles[:, 0], first, third),
            (triangles[:, 1], second, first),
            (triangles[:, 2], third, second),
            (first, second, third),
        ]
        points = np.concatenate([np.stack(quarter, axis=1) for quarter in quarters]).reshape(-1, 3)
        faces = np.arange(len(points)).reshape(-1, 3)
    return Mesh(vertices=points * radius + np.array(centre), faces=faces)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


@for_each("seed", range(6))
def test_a_box_covers_the_pixels_whose_rays_hit_it(seed: int):
    rng = np.random.default_rng(seed)
    mesh = box((rng.uniform(-0.5, 0.5), rng.uniform(-0.4, 0.4), rng.uniform(3, 6)), tuple(rng.uniform(0.3, 2, 3)), seed)
    expected = hit_by_rays(mesh)
    assert expected.any()
    np.testing.assert_array_equal(silhouette(mesh, CAMERA, height=HEIGHT, width=WIDTH), expected)


@pytest.mark.parametrize("middle", [(0.3, 0.2), (-0.25, 0.4), (0.0, -0.3)])
def test_a_rod_that_passes_the_camera_is_cut(middle: tuple[float, float]):
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * (0.1, 0.08, 2.0)
    mesh = Mesh(vertices=corners + np.array([*middle, 1.0]), faces=BOX_FACES)
    expected = hit_by_rays(mesh)
    assert expected.any()
    assert mesh.vertices[:, 2].min() < 0
    assert iou(silhouette(mesh, CAMERA, height=HEIGHT, width=WIDTH), expected) >= 0.99


@pytest.mark.parametrize(
    ("centre", "radius"), [((0.1, 0.0, 4.0), 0.9), ((0.7, -0.3, 3.0), 0.5), ((1.5, 0.9, 4.0), 1.0)]
)
def test_a_sphere_covers_its_cone(centre: tuple[float, float, float], radius: float):
    middle, direction = np.array(centre), rays()
    along = direction @ middle
    expected = along**2 >= (direction**2).sum(axis=-1) * (middle @ middle - radius**2)
    found = silhouette(icosphere(centre, radius, levels=4), CAMERA, height=HEIGHT, width=WIDTH)
    assert iou(found, expected) >= 0.99


def test_what_is_behind_the_camera_covers_nothing():
    mesh = box((0, 0, -4), (1, 1, 1), seed=0)
    assert not silhouette(mesh, CAMERA, height=HEIGHT, width=WIDTH).any()


def test_vertices_have_to_be_finite():
    mesh = Mesh(vertices=np.array([[0, 0, 1], [1, 0, 1], [0, np.nan, 1]]), faces=np.array([[0, 1, 2]]))
    with pytest.raises(ValueError, match=r"^mesh: expected finite vertices$"):
        silhouette(mesh, CAMERA, height=HEIGHT, width=WIDTH)


def test_a_camera_is_found_again_from_the_points_it_saw():
    depth = np.random.default_rng(0).uniform(1, 9, size=(HEIGHT, WIDTH, 1))
    points = rays() * depth
    points[:5] = np.nan
    found = fit_camera(points)
    np.testing.assert_allclose([found.fx, found.fy, found.cx, found.cy], [80, 84, 31, 22.5], rtol=1e-9)


def test_points_of_no_camera_are_refused():
    points = np.random.default_rng(0).uniform(1, 9, size=(HEIGHT, WIDTH, 3))
    with pytest.raises(ValueError, match=r"pixels off$"):
        fit_camera(points)
    with pytest.raises(ValueError, match="expected at least 16 finite points before the camera, got 0"):
        fit_camera(-points)
