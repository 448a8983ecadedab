"""Weights that methods' authors published: found in their files, told from the backbone's, and checked whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from occlusionformer.model.method import Method
from occlusionformer.tensors.files import CheckpointError, check_tensors, read_json, read_tensors

INDEX_FILE = "diffusion_pytorch_model.safetensors.index.json"
WHOLE_FILE = "diffusion_pytorch_model.safetensors"

M = TypeVar("M", bound=Method)


def adapter_tensors(path: Path, belongs: Callable[[str], bool]) -> dict[str, Tensor]:
    """The tensors of a file, or of a folder that diffusers saved (in one file or several), whose name `belongs`.

    CheckpointError names a folder or file without any.
    """
    found: dict[str, Tensor] = {}
    for file in _files(path, belongs):
        found |= {key: value for key, value in read_tensors(file)[0].items() if belongs(key)}
    if not found:
        raise CheckpointError(path, ["expected tensors of a layout adapter, got none"])
    return found


def _files(path: Path, belongs: Callable[[str], bool]) -> list[Path]:
    if not path.is_dir():
        return [path]
    if not (path / INDEX_FILE).is_file():
        return [path / WHOLE_FILE]
    places = read_json(path / INDEX_FILE).get("weight_map")
    if not isinstance(places, Mapping) or not all(isinstance(place, str) for place in places.values()):
        raise CheckpointError(path / INDEX_FILE, ["weight_map: expected names of tensors and of files"])
    names = {place for key, place in places.items() if belongs(key)}
    outside = sorted(name for name in names if Path(name).name != name)
    if outside:
        raise CheckpointError(path / INDEX_FILE, [f"weight_map: expected files of the folder, got {outside[0]!r}"])
    return [path / name for name in sorted(names)]


def block_indices(tensors: Mapping[str, Tensor], kind: str) -> tuple[int, ...]:
    """Indices i for which there is a tensor `kind.i.…`, rising."""
    found = (re.match(rf"{kind}\.(\d+)\.", key) for key in tensors)
    return tuple(sorted({int(match[1]) for match in found if match}))


def required(tensors: Mapping[str, Tensor], ending: str, path: Path) -> Tensor:
    """The first tensor whose name ends so. CheckpointError where there is none."""
    for key in sorted(tensors):
        if key.endswith(ending):
            return tensors[key]
    raise CheckpointError(path, [f"{ending.lstrip('.')}: missing"])


def fill(method: M, tensors: Mapping[str, Tensor], path: Path) -> M:
    """The method with exactly these tensors for weights, in the number format of the file."""
    check_tensors(path, tensors, {key: value.shape for key, value in method.state_dict().items()})
    method.load_state_dict(dict(tensors), assign=True)
    method.requires_grad_(False)
    return method.eval()
