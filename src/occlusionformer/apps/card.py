"""Model cards: what a checkpoint or model holds, read from file headers without loading the weights."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from occlusionformer.model import BackboneShape, BranchConfig, instance_assemble, paper, published
from occlusionformer.model.checkpoint import (
    BUNDLE_FILE,
    LAYOUT_FILES,
    LORA_FILES,
    published_shapes,
)
from occlusionformer.tensors.files import misfits, read_header, read_json

BRANCH_PARTS = (
    ("LoRA on borrowed layers", re.compile(r"\.deltas\.|lora_[AB]\.")),
    ("layout embedder", re.compile(r"^(embedder|layout_net)\.")),
    ("density", re.compile(r"density|norm1_layout\.linear")),
    ("query and mask head", re.compile(r"mask_head|mask_predictor|query_liner")),
    ("layer projections", re.compile(r"\.project\.|layout_forward")),
    ("appearance", re.compile(r"(^|\.)appearance(_out)?\.")),
    ("instance MLP and coordinates", re.compile(r"\.instance_mlp\.|\.coordinates\.")),
)
"""Parts of a branch by parameter name, ours and the published ones."""

OTHER_PART = "other"
OUR_BLOCK = re.compile(r"^(dual|single)\.(\d+)\.")
PUBLISHED_BLOCK = re.compile(r"^(single_)?transformer_blocks\.(\d+)\.")
SIZE_FIELDS = frozenset({"num_heads", "head_dim", "pooled_dim", "dual_blocks", "single_blocks"})
"""Fields of a branch config that follow its backbone; the others are the method."""

MOST_NAMES = 8
"""Names of files that a message shows."""

Kind = Literal["pipeline", "branch", "published checkpoint"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSize:
    """One tensor of a file or module."""

    shape: tuple[int, ...]
    bytes: int
    is_float: bool

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Tensors that belong together."""

    name: str
    tensors: int
    parameters: int
    bytes: int
    """As stored."""
    integer_bytes: int
    """Of those, what no choice of dtype changes."""
    floats: int

    def bytes_in(self, float_bytes: int) -> int:
        """With this many bytes for every floating point number."""
        return float_bytes * self.floats + self.integer_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What there is to know about weights before running them."""

    source: str
    kind: Kind
    parts: tuple[Part, ...]
    """Components of a pipeline, or the parts of a branch alone."""
    branch_parts: tuple[Part, ...]
    dual_blocks: tuple[int, ...]
    """Dual-stream blocks of the backbone that a layout block follows."""
    single_blocks: tuple[int, ...]
    lora_rank: int
    settings: Mapping[str, Any]
    """The branch config; empty for published files, which carry none."""
    presets: Mapping[str, tuple[str, ...]]
    """For every preset the settings that differ from it, sizes aside."""
    fit: tuple[str, ...] | None
    """For published files: what keeps them from FLUX.1-dev with the published settings; None where not asked."""
    files: Mapping[str, int]
    """Bytes on disk."""

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)

    def memory(self) -> dict[str, int]:
        """Bytes of the weights as stored, in float32 and in bfloat16; activations come on top.

        Offloading needs the largest component of a pipeline at once.
        """
        largest = {"largest part in bfloat16": max((part.bytes_in(2) for part in self.parts), default=0)}
        return {
            "as stored": sum(part.bytes for part in self.parts),
            "float32": sum(part.bytes_in(4) for part in self.parts),
            "bfloat16": sum(part.bytes_in(2) for part in self.parts),
            **(largest if self.kind == "pipeline" else {}),
        }

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "parameters": self.parameters, "memory": self.memory()}


def card_of_path(path: Path) -> Card:
    """The card of a pipeline folder, a branch folder, or a published checkpoint (folder, bundle or one of its files).

    Raises ValueError for anything else.
    """
    if (path / "model_index.json").is_file():
        return _pipeline_folder_card(path)
    if (path / "config.json").is_file() and "branch" in read_json(path / "config.json"):
        return _branch_folder_card(path)
    files = _published_files(path) if path.is_dir() else [path]
    tensors = _headers_of(files)
    if not any(PUBLISHED_BLOCK.match(key) or "lora_A" in key for key in map(_without_bundle_prefix, tensors)):
        raise ValueError(
            f"{path}: expected a pipeline folder (model_index.json), a branch folder (config.json with a branch) or a "
            f"published checkpoint, got {_content(path)}"
        )
    return _published_card(path, files, {_without_bundle_prefix(key): size for key, size in tensors.items()})


def _content(path: Path) -> str:
    if path.is_file():
        return "a file without keys of a layout branch"
    names = sorted(item.name for item in path.iterdir())
    listed = ", ".join(names[:MOST_NAMES]) or "nothing in it"
    return f"a folder with {listed}{', ...' if len(names) > MOST_NAMES else ''}"


def card_of_components(source: str, components: Mapping[str, object], files: Mapping[str, int]) -> Card:
    """The card of a pipeline that is loaded already, by its components; one that serves twice counts once."""
    modules: dict[str, nn.Module] = {}
    for name, part in components.items():
        if isinstance(part, nn.Module) and not any(part is other for other in modules.values()):
            modules[name] = part
    tensors = {
        name: {key: _tensor_size(value) for key, value in module.state_dict().items()}
        for name, module in modules.items()
    }
    branch = modules.get("branch")
    config = branch.shape if branch is not None and isinstance(branch.shape, BranchConfig) else None
    return _pipeline_card(source, tensors, config, files)


def _pipeline_folder_card(folder: Path) -> Card:
    index = read_json(folder / "model_index.json")
    names = [name for name, value in index.items() if isinstance(value, list) and (folder / name).is_dir()]
    weights = {name: _weight_files(folder / name) for name in names}
    tensors = {name: _headers_of(paths) for name, paths in weights.items() if paths}
    config = _branch_config(folder / "branch") if (folder / "branch" / "config.json").is_file() else None
    files = {str(path.relative_to(folder)): path.stat().st_size for paths in weights.values() for path in paths}
    return _pipeline_card(str(folder), tensors, config, files)


def _pipeline_card(
    source: str, tensors: Mapping[str, Mapping[str, TensorSize]], config: BranchConfig | None, files: Mapping[str, int]
) -> Card:
    branch = tensors.get("branch", {})
    return Card(
        source=source,
        kind="pipeline",
        parts=tuple(_part(name, sizes.values()) for name, sizes in tensors.items() if sizes),
        branch_parts=_branch_parts(branch),
        files=files,
        **_branch_facts(branch, config),
    )


def _branch_folder_card(folder: Path) -> Card:
    files = _weight_files(folder)
    tensors = _headers_of(files)
    parts = _branch_parts(tensors)
    return Card(
        source=str(folder),
        kind="branch",
        parts=parts,
        branch_parts=parts,
        files={file.name: file.stat().st_size for file in files},
        **_branch_facts(tensors, _branch_config(folder)),
    )


def _published_card(path: Path, files: list[Path], tensors: Mapping[str, TensorSize]) -> Card:
    parts = _branch_parts(tensors)
    facts = _branch_facts(tensors, None)
    return Card(
        source=str(path),
        kind="published checkpoint",
        parts=parts,
        branch_parts=parts,
        files={file.name: file.stat().st_size for file in files},
        **{**facts, "fit": _published_problems(path, tensors)},
    )


def _published_problems(path: Path, tensors: Mapping[str, TensorSize]) -> tuple[str, ...]:
    """What a strict load into the published model at FLUX.1-dev size would report; nothing is loaded for it."""
    return tuple(misfits({key: size.shape for key, size in tensors.items()}, published_shapes(published())))


def _branch_facts(tensors: Mapping[str, TensorSize], config: BranchConfig | None) -> dict[str, Any]:
    blocks: dict[str, set[int]] = {"dual": set(), "single": set()}
    for key in tensors:
        if match := OUR_BLOCK.match(key):
            blocks[match[1]].add(int(match[2]))
        elif match := PUBLISHED_BLOCK.match(key):
            blocks["single" if match[1] else "dual"].add(int(match[2]))
    ranks = {size.shape[0] for key, size in tensors.items() if re.search(r"\.down\.weight$|lora_A\.weight$", key)}
    return {
        "dual_blocks": tuple(sorted(blocks["dual"])),
        "single_blocks": tuple(sorted(blocks["single"])),
        "lora_rank": max(ranks, default=0),
        "settings": {} if config is None else config.to_json(),
        "presets": {} if config is None else _presets(config),
        "fit": None,
    }


def _presets(config: BranchConfig) -> dict[str, tuple[str, ...]]:
    shape = BackboneShape(
        num_dual=0, num_single=0, num_heads=config.num_heads, head_dim=config.head_dim, pooled_dim=config.pooled_dim
    )
    makers: dict[str, Callable[[BackboneShape], BranchConfig]] = {
        "published": published,
        "paper": paper,
        "instance_assemble": instance_assemble,
    }
    own = config.to_json()
    return {
        name: tuple(
            f"{field}: {own[field]} instead of {value}"
            for field, value in make(shape).to_json().items()
            if field not in SIZE_FIELDS and own[field] != value
        )
        for name, make in makers.items()
    }


def _branch_parts(tensors: Mapping[str, TensorSize]) -> tuple[Part, ...]:
    groups: dict[str, list[TensorSize]] = {}
    for key, size in tensors.items():
        name = next((name for name, pattern in BRANCH_PARTS if pattern.search(key)), OTHER_PART)
        groups.setdefault(name, []).append(size)
    order = [*(name for name, _ in BRANCH_PARTS), OTHER_PART]
    return tuple(_part(name, groups[name]) for name in order if name in groups)


def _part(name: str, sizes: Iterable[TensorSize]) -> Part:
    sizes = list(sizes)
    return Part(
        name=name,
        tensors=len(sizes),
        parameters=sum(size.numbers for size in sizes),
        bytes=sum(size.bytes for size in sizes),
        integer_bytes=sum(size.bytes for size in sizes if not size.is_float),
        floats=sum(size.numbers for size in sizes if size.is_float),
    )


def _tensor_size(tensor: Tensor) -> TensorSize:
    return TensorSize(
        shape=tuple(tensor.shape),
        bytes=tensor.numel() * tensor.element_size(),
        is_float=tensor.is_floating_point(),
    )


def _branch_config(folder: Path) -> BranchConfig:
    return BranchConfig.from_json(read_json(folder / "config.json")["branch"])


def _weight_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".safetensors")


def _published_files(folder: Path) -> list[Path]:
    """The first layout and LoRA file of their names, or else the bundle, as loading chooses them."""
    kinds = [[folder / name for name in names if (folder / name).is_file()] for names in (LAYOUT_FILES, LORA_FILES)]
    chosen = [found[0] for found in kinds if found]
    return chosen or [path for path in [folder / BUNDLE_FILE] if path.is_file()]


def _headers_of(files: Iterable[Path]) -> dict[str, TensorSize]:
    return {key: size for file in files for key, size in _headers(file).items()}


def _headers(file: Path) -> dict[str, TensorSize]:
    return {key: _stored_size(shape, dtype) for key, (shape, dtype) in read_header(file).items()}


def _stored_size(shape: tuple[int, ...], dtype: str) -> TensorSize:
    """dtype as safetensors or torch write it: f32, bf16, f8_e4m3, i8, bool, float32."""
    bits = re.search(r"\d+", dtype)
    return TensorSize(
        shape=shape,
        bytes=math.prod(shape) * (int(bits[0]) if bits else 8) // 8,
        is_float=dtype.startswith(("f", "bf")),
    )


def _without_bundle_prefix(key: str) -> str:
    return key.removeprefix("layout::").removeprefix("lora::")
