"""Branches of layout blocks: found among ComfyUI's model_patches, loaded, and kept where ComfyUI wants them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from occlusionformer.layout.problems import one_of
from occlusionformer.methods.instanceassemble import InstanceAssemble
from occlusionformer.methods.occlusionformer import OcclusionFormer
from occlusionformer.model import OcclusionBranch
from occlusionformer.model.checkpoint import BUNDLE_FILE, LAYOUT_FILES, read_published
from occlusionformer.model.config import FLUX_DEV, BackboneShape
from occlusionformer.tensors.files import CheckpointError, read_json

CONFIG, WEIGHTS, TRAINED = "config.json", "diffusion_pytorch_model.safetensors", "branch"
"""Of a branch that this project saved, and the folder it has in that of a pipeline or of a training run."""

FOLDER_FILES = {*LAYOUT_FILES, BUNDLE_FILE, WEIGHTS}
"""A folder with one of these is offered as a branch."""

OURS = {each.__name__: each for each in (OcclusionBranch, OcclusionFormer, InstanceAssemble)}
"""Classes of branches by the name in a configuration."""

DENSITY = "norm1_layout.linear"
"""In the names of OcclusionFormer's tensors; InstanceAssemble, which averages, has none."""


class Held(nn.Module):
    """A branch where ComfyUI may note what it notes on the models it loads."""

    def __init__(self, branch: OcclusionBranch) -> None:
        super().__init__()
        self.branch = branch


@dataclass(frozen=True, eq=False)
class Branch:
    """A branch in one number format, and the patcher by which ComfyUI loads and unloads it with a model."""

    method: OcclusionBranch
    dtype: torch.dtype
    patcher: ModelPatcher

    @classmethod
    def of(cls, method: OcclusionBranch, dtype: torch.dtype) -> Branch:
        """A copy unless the method has the format already."""
        if any(parameter.dtype != dtype for parameter in method.parameters()):
            method = nn.Module.to(copy.deepcopy(method), dtype)
        patcher = ModelPatcher(
            Held(method),
            load_device=comfy.model_management.get_torch_device(),
            offload_device=comfy.model_management.unet_offload_device(),
        )
        return cls(method, dtype, patcher)

    def on(self, device: torch.device) -> None:
        """See that all of it is there: where memory is short, ComfyUI leaves parts of a model behind.

        A branch has 3% of FLUX's parameters; it is not computed in parts.
        """
        if any(parameter.device != device for parameter in self.method.parameters()):
            nn.Module.to(self.method, device)


@dataclass(frozen=True, eq=False)
class BranchWeights:
    """A branch as its file has it, and copies in the number formats that models have asked for."""

    method: OcclusionBranch
    name: str
    formats: dict[torch.dtype, Branch] = field(default_factory=dict)

    def in_format(self, dtype: torch.dtype) -> Branch:
        """Models of one format share a branch."""
        if dtype not in self.formats:
            self.formats[dtype] = Branch.of(self.method, dtype)
        return self.formats[dtype]


def branch_names(files: Iterable[str]) -> list[str]:
    """What can be a branch among files below model_patches: folders, with a slash, and single bundles."""
    paths = [PurePosixPath(name.replace("\\", "/")) for name in files]
    folders = {str(path.parent) for path in paths if path.name in FOLDER_FILES and path.parent.name}
    singles = {str(path) for path in paths if path.suffix == ".safetensors" and str(path.parent) not in folders}
    return sorted(f"{folder}/" for folder in folders) + sorted(singles)


def find_branch(name: str, roots: Sequence[str]) -> Path:
    """The folder or file of a name below one of several folders. ValueError lists where it was looked for."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"branch: expected a name below models/model_patches, got {name!r}")
    for root in roots:
        path = Path(root, *relative.parts)
        if path.exists():
            return path
    raise ValueError(f"branch: expected {name!r} in {', '.join(map(str, roots))}, got no such file or folder")


def load_branch(path: Path, shape: BackboneShape = FLUX_DEV) -> OcclusionBranch:
    """The branch of a folder or bundle: released weights, or what this project saved or trained.

    shape: the model it is for, which published files do not say. CheckpointError lists everything that does not fit.
    """
    for folder in (path, path / TRAINED):
        if (folder / CONFIG).is_file():
            name = read_json(folder / CONFIG).get("_class_name")
            if name not in OURS:
                raise CheckpointError(folder / CONFIG, [f"_class_name: expected {one_of(OURS)}, got {name!r:.60}"])
            return _frozen(OURS[name].from_pretrained(folder))
    state = read_published(path)
    kind = OcclusionFormer if any(DENSITY in key for key in state.layout) else InstanceAssemble
    return _frozen(kind.load(path, shape=shape))


def _frozen(method: OcclusionBranch) -> OcclusionBranch:
    method.requires_grad_(False)
    return method.eval()
