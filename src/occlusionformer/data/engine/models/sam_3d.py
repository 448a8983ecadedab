"""Amodal masks from SAM 3D Objects: each instance is reconstructed as a mesh and projected into the picture.

Needs the package `sam3d_objects` with its folder of checkpoints (facebook/sam-3d-objects, SAM Licence) and a GPU.

Arrays: V vertices, F faces, H rows, W columns.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from occlusionformer.data.engine.models.camera import Mesh, Pinhole, fit_camera, silhouette
from occlusionformer.data.engine.models.protocol import MaskedPicture

SEED = 42
"""That of the published demonstration."""
TO_PICTURE_AXES = np.array([-1.0, -1.0, 1.0])
"""PyTorch3D's cameras look along z too, but with x to the left and y up."""
GLB_TO_LOCAL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Row vectors of an exported mesh, y up, to the frame that the pose is given for, z up."""


class Inference(Protocol):
    """Interface of the package's `Inference` object."""

    def __call__(self, image: np.ndarray, mask: np.ndarray, *, seed: int) -> Mapping[str, Any]: ...


def load(argument: str | None) -> SolidCompleter:
    """`sam-3d-objects:FOLDER`: the package's checkout, with `notebook/` and `checkpoints/hf/pipeline.yaml` in it."""
    revision, config = revision_of(argument), _config(argument)
    sys.path.append(str(Path(argument or ".") / "notebook"))
    return SolidCompleter(import_module("inference").Inference(str(config), compile=False), revision=revision)


def revision_of(argument: str | None) -> str:
    """Of the pipeline's configuration, which names its checkpoints."""
    return hashlib.sha256(_config(argument).read_bytes()).hexdigest()[:12]


def _config(argument: str | None) -> Path:
    folder = Path(argument or ".")
    config = folder / "checkpoints" / "hf" / "pipeline.yaml"
    if not config.is_file() or not (folder / "notebook" / "inference.py").is_file():
        raise ValueError(f"model: expected sam-3d-objects:FOLDER with checkpoints/hf/pipeline.yaml, got {argument!r}")
    return config


class SolidCompleter:
    """Projects reconstructions in SAM 3D Objects' format through the camera of their point map."""

    def __init__(self, inference: Inference, *, revision: str) -> None:
        self.inference = inference
        self.revision = revision

    def complete(self, view: MaskedPicture, instances: Sequence[int]) -> np.ndarray:
        height, width = view.image.shape[:2]
        masks = []
        for place in instances:
            output = self.inference(view.image, view.masks[place], seed=SEED)
            camera = camera_of(_array(output["pointmap"]), height=height, width=width)
            masks.append(silhouette(mesh_of(output), camera, height=height, width=width))
        return np.stack(masks)


def mesh_of(output: Mapping[str, Any]) -> Mesh:
    """The exported mesh at its pose: scaled, turned, moved, in that order. Raises ValueError for an empty one."""
    exported = output["glb"]
    if exported is None or len(exported.faces) == 0:
        raise ValueError("reconstruction: expected a mesh, got none")
    scale, rotation, translation = (_array(output[name]).reshape(-1) for name in ("scale", "rotation", "translation"))
    local_V3 = _array(exported.vertices) @ GLB_TO_LOCAL
    turned_V3 = (local_V3 * scale) @ rotation_matrix(rotation) + translation
    return Mesh(vertices=turned_V3 * TO_PICTURE_AXES, faces=np.asarray(exported.faces, dtype=np.int64))


def camera_of(points_HW3: np.ndarray, *, height: int, width: int) -> Pinhole:
    """The camera of a point map in PyTorch3D's axes, which may be smaller than the picture."""
    camera = fit_camera(points_HW3 * TO_PICTURE_AXES)
    down, across = height / points_HW3.shape[0], width / points_HW3.shape[1]
    return Pinhole(fx=camera.fx * across, fy=camera.fy * down, cx=camera.cx * across, cy=camera.cy * down)


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """(3, 3) of a quaternion with its real part first; row vectors come from the left, as in PyTorch3D."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _array(value: Any) -> np.ndarray:
    """A tensor on any device, or an array, as a NumPy array."""
    plain = value.detach().float().cpu().numpy() if hasattr(value, "detach") else value
    return np.asarray(plain, dtype=np.float64)
