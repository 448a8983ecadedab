"""Checkpoints of published layout methods -> branch state. Strict: every missing, unexpected or misshapen key is named.

Reads: a folder or files with `lora.safetensors` + `occ.pth` (or `layout.safetensors`), one bundle
`bundle_weights.safetensors`, and InstanceAssemble's `pytorch_lora_weights.safetensors` + `layout.pth`.
Whatever is wrong with them is a CheckpointError.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from occlusionformer.model.backbones.flux import DUAL_PATHS, SINGLE_PATHS
from occlusionformer.model.branch import OcclusionBranch
from occlusionformer.model.config import BranchConfig
from occlusionformer.model.delta import LowRankDelta
from occlusionformer.tensors.files import (
    CheckpointError,
    CheckpointNotFoundError,
    check_tensors,
    printable_name,
    read_tensors,
)

__all__ = [
    "BUNDLE_FILE",
    "LAYOUT_FILES",
    "LORA_FILES",
    "CheckpointError",
    "CheckpointNotFoundError",
    "PublishedState",
    "alphas",
    "branch_from_published",
    "key_map",
    "load_published",
    "lora_rank",
    "published_shapes",
    "published_state",
    "read_published",
    "with_alphas",
]

EMBEDDER_KEYS = {
    "text_in": "layout_net.text_embedder.linear_1",
    "text_out": "layout_net.text_embedder.linear_2",
    "joint_in": "layout_net.linears.linear_1",
    "joint_out": "layout_net.linears.linear_2",
}
BLOCK_KEYS = {
    "project": "layout_forward",
    "density.linear": "norm1_layout.linear",
    "mask_head.query": "norm1_layout.query_liner",
    "mask_head.predictor.0": "mask_predictor.0",
    "mask_head.predictor.2": "mask_predictor.2",
    "mask_head.predictor.4": "mask_predictor.4",
}
STREAMS = {"dual": ("transformer_blocks", DUAL_PATHS), "single": ("single_transformer_blocks", SINGLE_PATHS)}

LAYOUT_FILES = ("occ.pth", "layout.pth", "layout.safetensors", "occ.safetensors")
LORA_FILES = ("lora.safetensors", "pytorch_lora_weights.safetensors")
BUNDLE_FILE = "bundle_weights.safetensors"
ALPHAS = "network_alphas_json"
"""The entry of a bundle's metadata with the LoRA alphas."""
KINDS = ("layout::", "lora::")
"""Before every key of a bundle."""
MOST_NAMES = 20
"""Names in a folder that a message lists."""


@dataclass(frozen=True, slots=True)
class PublishedState:
    """Tensors of a published checkpoint under its own key names."""

    layout: dict[str, Tensor]
    lora: dict[str, Tensor]


def load_published(
    source: str | Path,
    config: BranchConfig,
    *,
    lora: str | Path | None = None,
    cls: type[OcclusionBranch] = OcclusionBranch,
) -> OcclusionBranch:
    """A branch (of class `cls`) from a published checkpoint.

    source: a folder, a bundle, or the layout file (then `lora` names the other file). Tensors keep the dtype of their
    file. Raises CheckpointError, which names the file and lists every key that is missing, unexpected, of another
    shape, no floating point number or not finite; CheckpointNotFoundError, a FileNotFoundError too, names what was
    looked for.
    """
    state = read_published(Path(source), None if lora is None else Path(lora))
    return branch_from_published(state, config, source=str(source), cls=cls)


def read_published(source: Path, lora: Path | None = None) -> PublishedState:
    """Find and read the files of any published kind, as stored."""
    if source.is_dir():
        return _read_folder(source)
    if not source.exists():
        raise CheckpointNotFoundError(source, ["expected a checkpoint, got no file or folder"])
    tensors, _ = read_tensors(source)
    if any(key.startswith(KINDS) for key in tensors):
        return _split_bundle(source, tensors)
    if lora is None:
        raise CheckpointNotFoundError(source, ["holds no LoRA; expected the LoRA file beside it as `lora`"])
    return PublishedState(tensors, read_tensors(lora)[0])


def _read_folder(folder: Path) -> PublishedState:
    if (folder / BUNDLE_FILE).is_file() and not any((folder / name).is_file() for name in LAYOUT_FILES):
        return read_published(folder / BUNDLE_FILE)
    layout = [folder / name for name in LAYOUT_FILES if (folder / name).is_file()]
    lora = [folder / name for name in LORA_FILES if (folder / name).is_file()]
    if not layout or not lora:
        raise CheckpointNotFoundError(
            folder,
            [
                f"needs one of {', '.join(LAYOUT_FILES)} and one of {', '.join(LORA_FILES)}, or {BUNDLE_FILE}; "
                f"found {_listing(folder)}"
            ],
        )
    return PublishedState(read_tensors(layout[0])[0], read_tensors(lora[0])[0])


def _listing(folder: Path) -> str:
    """The names in a folder, those of folders with a slash."""
    found = sorted(folder.iterdir())
    names = [printable_name(path.name) + ("/" if path.is_dir() else "") for path in found[:MOST_NAMES]]
    return ", ".join([*names, *(["..."] if len(found) > MOST_NAMES else [])]) or "nothing"


def _split_bundle(source: Path, tensors: dict[str, Tensor]) -> PublishedState:
    strays = [
        f"{printable_name(key)}: expected a layout:: or lora:: key" for key in tensors if not key.startswith(KINDS)
    ]
    if strays:
        raise CheckpointError(source, strays)
    parts = {
        kind: {key.removeprefix(kind): value for key, value in tensors.items() if key.startswith(kind)}
        for kind in KINDS
    }
    return PublishedState(parts["layout::"], parts["lora::"])


def key_map(branch: OcclusionBranch) -> dict[str, str]:
    """Our parameter name -> published key, for every parameter that the published format knows."""
    names = {
        f"embedder.{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in EMBEDDER_KEYS.items()
        for kind in ("weight", "bias")
    }
    parameters = dict(branch.named_parameters())
    for stream, (blocks, paths) in STREAMS.items():
        for index in getattr(branch, stream):
            names.update(_block_map(f"{stream}.{index}", f"{blocks}.{index}", paths, parameters))
    return names


def _block_map(
    ours: str, theirs: str, paths: Mapping[str, str], parameters: Mapping[str, object]
) -> Iterator[tuple[str, str]]:
    for part, published in BLOCK_KEYS.items():
        for kind in ("weight", "bias"):
            if f"{ours}.{part}.{kind}" in parameters:
                yield f"{ours}.{part}.{kind}", f"{theirs}.{published}.{kind}"
    for layer, path in paths.items():
        for half, published in (("down", "lora_A"), ("up", "lora_B")):
            if f"{ours}.deltas.{layer}.{half}.weight" in parameters:
                yield f"{ours}.deltas.{layer}.{half}.weight", f"transformer.{theirs}.{path}.{published}.weight"


def published_state(branch: OcclusionBranch) -> PublishedState:
    """The branch under published key names. ValueError lists parameters that format has no name for."""
    names = key_map(branch)
    _refuse_unnamed(branch, names)
    state = branch.state_dict()
    renamed = {names[ours]: value for ours, value in state.items()}
    return PublishedState(
        layout={key: value for key, value in renamed.items() if not key.startswith("transformer.")},
        lora={key: value for key, value in renamed.items() if key.startswith("transformer.")},
    )


def lora_rank(state: PublishedState) -> int:
    """The rank of a file's LoRA; 0 where it has none."""
    return next((value.shape[0] for key, value in state.lora.items() if key.endswith("lora_A.weight")), 0)


def with_alphas(state: PublishedState) -> PublishedState:
    """The same with every alpha in the file applied: the second half of its LoRA times alpha / rank."""
    lora = dict(state.lora)
    for name in [key.removesuffix(".alpha") for key in lora if key.endswith(".alpha")]:
        alpha, down, up = float(lora.pop(f"{name}.alpha")), f"{name}.lora_A.weight", f"{name}.lora_B.weight"
        if down in lora and up in lora:
            lora[up] = lora[up] * (alpha / lora[down].shape[0])
    return PublishedState(state.layout, lora)


def branch_from_published(
    state: PublishedState, config: BranchConfig, *, source: str, cls: type[OcclusionBranch] = OcclusionBranch
) -> OcclusionBranch:
    """Fill a new branch; alphas in the file are checked, not applied, since the published code ignores them."""
    branch, names = _blank(config, cls)
    lora = {key: value for key, value in state.lora.items() if not key.endswith(".alpha")}
    twice = [
        f"{printable_name(key)}: in the layout file and in the LoRA file"
        for key in sorted(lora.keys() & state.layout.keys())
    ]
    if twice:
        raise CheckpointError(source, twice)
    given = {**state.layout, **lora}
    check_tensors(source, given, _shapes(branch, names))
    branch.load_state_dict({names[key]: value.contiguous() for key, value in given.items()}, assign=True)
    for module in branch.modules():
        assert not isinstance(module, LowRankDelta) or module.scale == config.lora_scale
    return branch.eval()


def published_shapes(config: BranchConfig) -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor of a published checkpoint of this config."""
    return _shapes(*_blank(config))


def _blank(
    config: BranchConfig, cls: type[OcclusionBranch] = OcclusionBranch
) -> tuple[OcclusionBranch, dict[str, str]]:
    """A branch without numbers, and our parameter name by published key."""
    with torch.device("meta"):
        branch = cls.build(config)
    names = key_map(branch)
    _refuse_unnamed(branch, names)
    return branch, {theirs: ours for ours, theirs in names.items()}


def _shapes(branch: OcclusionBranch, names: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    shapes = {ours: tuple(value.shape) for ours, value in branch.state_dict().items()}
    return {theirs: shapes[ours] for theirs, ours in names.items()}


def _refuse_unnamed(branch: OcclusionBranch, names: Mapping[str, str]) -> None:
    strangers = sorted(set(branch.state_dict()) - set(names))
    if strangers:
        raise ValueError(f"not expressible in the published format: {', '.join(strangers)}")


def alphas(path: Path) -> dict[str, float]:
    """LoRA alphas recorded in a published file, by key or in a bundle's metadata; empty when there are none."""
    tensors, metadata = read_tensors(path)
    recorded = _recorded_alphas(path, metadata.get(ALPHAS, "{}"))
    ends = {key: value for key, value in tensors.items() if key.endswith(".alpha")}
    problems = [
        f"{printable_name(key)}: expected one number, got shape {tuple(value.shape)}"
        for key, value in ends.items()
        if value.numel() != 1 or value.is_complex()
    ]
    if problems:
        raise CheckpointError(path, problems)
    return recorded | {key: float(value) for key, value in ends.items()}


def _recorded_alphas(path: Path, text: str) -> dict[str, float]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, [f"{ALPHAS}: not JSON: {error}"]) from error
    if not isinstance(found, dict):
        raise CheckpointError(path, [f"{ALPHAS}: expected an object, got {type(found).__name__}"])
    problems = [
        f"{ALPHAS}.{printable_name(key)}: expected a finite number, got {value!r:.80}"
        for key, value in found.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
    ]
    if problems:
        raise CheckpointError(path, problems)
    return {key: float(value) for key, value in found.items()}
