"""The way through three dimensions: outputs of the form SAM 3D Objects gives, of things whose place is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from occlusionformer.data.engine.models.protocol import Completer, MaskedPicture
from occlusionformer.data.engine.models.registry import load_model
from occlusionformer.data.engine.models.sam_3d import GLB_TO_LOCAL, SolidCompleter, mesh_of, rotation_matrix
from tests.data.engine.test_camera import BOX_FACES, CAMERA, HEIGHT, WIDTH, box, hit_by_rays, icosphere, iou, rays

TO_PYTORCH3D = np.array([-1.0, -1.0, 1.0])


@dataclass
class Exported:
    """What the exported mesh offers."""

    vertices: np.ndarray
    faces: np.ndarray


def output_of(mesh: Any, seed: int, *, shrink: int = 1) -> dict[str, Any]:
    """The output from which this mesh has to come back: the pose undone, axes turned, tensors with a batch."""
    rng = np.random.default_rng(seed)
    quaternion, translation, scale = rng.normal(size=4), rng.normal(size=3), rng.uniform(0.5, 2)
    turned = mesh.vertices * TO_PYTORCH3D
    local = (turned - translation) @ np.linalg.inv(rotation_matrix(quaternion)) / scale
    depth = rng.uniform(1, 9, size=(HEIGHT, WIDTH, 1))
    points = (rays() * depth * TO_PYTORCH3D)[::shrink, ::shrink]
    return {
        "glb": Exported(local @ np.linalg.inv(GLB_TO_LOCAL), mesh.faces),
        "rotation": torch.tensor(quaternion)[None],
        "translation": torch.tensor(translation)[None],
        "scale": torch.full((1, 3), scale, dtype=torch.float64),
        "pointmap": torch.tensor(points),
    }


def test_the_whole_silhouette_comes_back_from_a_part_of_it():
    meshes = [box((0.2, 0.1, 4.0), (1.2, 0.8, 1.0), seed=3), icosphere((-0.4, 0.0, 5.0), 0.7, levels=3)]
    wholes = [hit_by_rays(mesh) for mesh in meshes]
    hidden = np.zeros((HEIGHT, WIDTH), dtype=bool)
    hidden[:, 28:] = True
    view = MaskedPicture(
        key="k",
        ids=("box", "ball"),
        image=np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8),
        masks=np.stack([whole & ~hidden for whole in wholes]),
    )
    outputs = {view.masks[place].tobytes(): output_of(mesh, seed=place) for place, mesh in enumerate(meshes)}

    def inference(image: np.ndarray, mask: np.ndarray, *, seed: int) -> dict[str, Any]:
        return outputs[mask.tobytes()]

    completed = SolidCompleter(inference, revision="r").complete(view, [1, 0])
    assert iou(completed[1], wholes[0]) >= 0.99
    assert iou(completed[0], wholes[1]) >= 0.99
    assert iou(view.masks[0], wholes[0]) < 0.7


def test_rotations_are_pytorch3ds():
    """Half a turn about x: row vectors times the matrix, as `Transform3d().rotate` does."""
    quarter = rotation_matrix(np.array([np.cos(np.pi / 4), 0, 0, np.sin(np.pi / 4)]))
    np.testing.assert_allclose(quarter, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)


def test_a_reconstruction_without_a_mesh_is_refused():
    empty = output_of(box((0, 0, 4), (1, 1, 1), seed=0), seed=0) | {"glb": Exported(np.zeros((0, 3)), BOX_FACES[:0])}
    with pytest.raises(ValueError, match=r"^reconstruction: expected a mesh, got none$"):
        mesh_of(empty)


def test_it_is_a_completer_and_says_where_it_expects_its_files(tmp_path: Any):
    assert isinstance(SolidCompleter(lambda image, mask, *, seed: {}, revision="r"), Completer)
    with pytest.raises(ValueError, match=r"expected sam-3d-objects:FOLDER with checkpoints/hf/pipeline\.yaml"):
        load_model(f"sam-3d-objects:{tmp_path}")
    assert CAMERA.fx == 80
