"""Checkpoints of published layout methods -> branch state. Strict: every missing, unexpected or misshapen key is named.

Reads: a folder or files with `lora.safetensors` + `occ.pth` (or `layout.safetensors`), one bundle
`bundle_weights.safetensors`, and InstanceAssemble's `pytorch_lora_weights.safetensors` + `layout.pth`.
Pickles are read with weights_only=True, so no code in them runs.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from occlusionformer.model.backbone import DUAL_PATHS, SINGLE_PATHS
from occlusionformer.model.branch import OcclusionBranch
from occlusionformer.model.config import BranchConfig
from occlusionformer.model.delta import LowRankDelta

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


class CheckpointError(ValueError):
    """A checkpoint that does not fit; `problems` lists everything wrong with it."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join([f"{source}: {len(problems)} problem(s)", *problems]))


@dataclass(frozen=True, slots=True)
class PublishedState:
    """Tensors of a published checkpoint under its own key names."""

    layout: dict[str, Tensor]
    lora: dict[str, Tensor]


def load_published(source: str | Path, config: BranchConfig, *, lora: str | Path | None = None) -> OcclusionBranch:
    """A branch from a published checkpoint.

    source: a folder, a bundle, or the layout file (then `lora` names the other file). Tensors keep the dtype of their
    file. FileNotFoundError names what was looked for; CheckpointError lists every key that is missing, unexpected or of
    another shape.
    """
    state = read_published(Path(source), None if lora is None else Path(lora))
    return branch_from_published(state, config, source=str(source))


def read_published(source: Path, lora: Path | None = None) -> PublishedState:
    """Find and read the files of any published kind, as stored."""
    if source.is_dir():
        return _read_folder(source)
    if not source.is_file():
        raise FileNotFoundError(f"checkpoint: no file or folder {source}")
    tensors = _read_tensors(source)
    if any(key.startswith(("layout::", "lora::")) for key in tensors):
        return _split_bundle(source, tensors)
    if lora is None:
        raise FileNotFoundError(f"checkpoint: {source} holds no LoRA; expected the LoRA file beside it as `lora`")
    return PublishedState(tensors, _read_lora(lora))


def _read_folder(folder: Path) -> PublishedState:
    if (folder / BUNDLE_FILE).is_file() and not any((folder / name).is_file() for name in LAYOUT_FILES):
        return read_published(folder / BUNDLE_FILE)
    layout = [folder / name for name in LAYOUT_FILES if (folder / name).is_file()]
    lora = [folder / name for name in LORA_FILES if (folder / name).is_file()]
    if not layout or not lora:
        raise FileNotFoundError(
            f"checkpoint: {folder} needs one of {', '.join(LAYOUT_FILES)} and one of {', '.join(LORA_FILES)}, "
            f"or {BUNDLE_FILE}; found {', '.join(sorted(p.name for p in folder.iterdir())) or 'nothing'}"
        )
    return PublishedState(_read_tensors(layout[0]), _read_lora(lora[0]))


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return _read_safetensors(path)[0]
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, struct.error) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(str(path), [f"not a plain tensor file, refused: {reason}"]) from error
    if not isinstance(tensors, Mapping):
        raise CheckpointError(str(path), [f"expected a dictionary of tensors, got {type(tensors).__name__}"])
    problems = [
        f"{key}: expected a tensor, got {type(v).__name__}" for key, v in tensors.items() if not isinstance(v, Tensor)
    ]
    if problems:
        raise CheckpointError(str(path), problems)
    return dict(tensors)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(str(path), [f"not a safetensors file: {error}"]) from error


def _read_lora(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint: no LoRA file {path}")
    return _read_tensors(path)


def _split_bundle(source: Path, tensors: dict[str, Tensor]) -> PublishedState:
    kinds = ("layout::", "lora::")
    strays = [f"{key}: expected a layout:: or lora:: key" for key in tensors if not key.startswith(kinds)]
    if strays:
        raise CheckpointError(str(source), strays)
    parts = {
        kind: {key.removeprefix(kind): value for key, value in tensors.items() if key.startswith(kind)}
        for kind in kinds
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
    state = branch.state_dict()
    strangers = sorted(set(state) - set(names))
    if strangers:
        raise ValueError(f"not expressible in the published format: {', '.join(strangers)}")
    renamed = {names[ours]: value for ours, value in state.items()}
    return PublishedState(
        layout={key: value for key, value in renamed.items() if not key.startswith("transformer.")},
        lora={key: value for key, value in renamed.items() if key.startswith("transformer.")},
    )


def branch_from_published(state: PublishedState, config: BranchConfig, *, source: str) -> OcclusionBranch:
    """Fill a new branch; alphas in the file are checked, not applied, since the published code ignores them."""
    with torch.device("meta"):
        branch = OcclusionBranch.build(config)
    lora = {key: value for key, value in state.lora.items() if not key.endswith(".alpha")}
    given = {**state.layout, **lora}
    names = key_map(branch)
    expected = {names[ours]: (ours, value.shape) for ours, value in branch.state_dict().items()}
    problems = [
        f"{key}: missing, expected shape {tuple(shape)}"
        for key, (_, shape) in sorted(expected.items())
        if key not in given
    ]
    problems += [
        f"{key}: unexpected, shape {tuple(value.shape)}" for key, value in sorted(given.items()) if key not in expected
    ]
    problems += [
        f"{key}: expected shape {tuple(expected[key][1])}, got {tuple(value.shape)}"
        for key, value in sorted(given.items())
        if key in expected and value.shape != expected[key][1]
    ]
    if problems:
        raise CheckpointError(source, problems)
    branch.load_state_dict({expected[key][0]: value for key, value in given.items()}, assign=True)
    for module in branch.modules():
        assert not isinstance(module, LowRankDelta) or module.scale == config.lora_scale
    return branch.eval()


def alphas(path: Path) -> dict[str, float]:
    """LoRA alphas recorded in a published file, by key or in a bundle's metadata; empty when there are none."""
    tensors, metadata = _read_safetensors(path)
    recorded = json.loads(metadata.get("network_alphas_json", "{}"))
    recorded.update({key: float(value) for key, value in tensors.items() if key.endswith(".alpha")})
    return recorded
