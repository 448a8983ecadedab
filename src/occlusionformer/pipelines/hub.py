"""Writes a pipeline as a folder for the Hub that every way of loading takes: weights, indices, code of a few lines."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline

from occlusionformer.layout import Layout, write_atomic, write_layout
from occlusionformer.model import LayoutFluxTransformer2DModel, Method
from occlusionformer.pipelines.adapters import FOLDER as ADAPTERS
from occlusionformer.pipelines.fit import check_fit
from occlusionformer.pipelines.folder import INDEX, SETTINGS, check_model_folder, damaged_components
from occlusionformer.pipelines.hub_card import EXAMPLE, PICTURE, ModelDescription, card_text
from occlusionformer.pipelines.occlusionformer import OcclusionFormerPipeline
from occlusionformer.tensors.files import CheckpointError, printable_name, read_json

CARD, MODULAR_INDEX, MODULAR_CONFIG = "README.md", "modular_model_index.json", "modular_config.json"

PIPELINE_CODE = "from occlusionformer.pipelines import OcclusionFormerPipeline  # noqa: F401\n"
"""`pipeline.py`, for DiffusionPipeline.from_pretrained(..., custom_pipeline=...)."""

BLOCK_CLASS = "OcclusionFormerBlocks"
BLOCK_CODE = f'''from diffusers.modular_pipelines import SequentialPipelineBlocks
from occlusionformer.pipelines.modular import LayoutBlocks


class {BLOCK_CLASS}(LayoutBlocks, SequentialPipelineBlocks):
    """Flux with a z-ordered layout as an input."""
'''
"""`block.py`, for ModularPipeline.from_pretrained; diffusers-cli looks for a base class of diffusers in its text."""

KEPT = frozenset({".json", ".safetensors", ".txt", ".model", ".jinja"})
"""Endings of a component's files that are copied: configurations, weights, and what tokenizers keep."""

REQUIRED = ("scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "transformer")


@dataclass(frozen=True, kw_only=True)
class PipelineFolder:
    """A pipeline that lies in a folder, which is copied without loading its weights.

    branch: for a stock FLUX folder, or in the place of the branch it has. settings: stored beside the components, as
    `default_steps` (`setting_problems` says what is wrong with one); left out, those of the folder or FLUX.1-dev's.
    """

    path: Path
    branch: Method | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Everything that keeps it from being loaded again, found without reading the numbers of its components."""
        if not (self.path / INDEX).is_file():
            return [f"{self.path}: expected a pipeline folder with a {INDEX}"]
        try:
            check_model_folder(self.path)
        except CheckpointError as error:
            return str(error).splitlines()
        index = read_json(self.path / INDEX)
        known = inspect.signature(OcclusionFormerPipeline.__init__).parameters
        wrong = [
            f"{self.path}: {INDEX}: {printable_name(name)}: expected no component of this name"
            for name, value in index.items()
            if _is_component(value) and name not in known
        ]
        wrong += [
            f"{self.path}: {name}: expected a component of a FLUX pipeline, got none"
            for name in (*REQUIRED, *(() if self.branch is not None else ("branch",)))
            if not _is_component(index.get(name)) or not (self.path / name).is_dir()
        ]
        wrong += [
            f"{self.path}: {name}/{ADAPTERS}: expected no LoRA, which other programs do not load from there; "
            "fuse_lora() writes it into the weights"
            for name, value in index.items()
            if _is_component(value) and (self.path / name / ADAPTERS).is_dir()
        ]
        if wrong:
            return wrong
        return [f"{self.path}: {line}" for line in damaged_components(self.path)] or self._misfits()

    def write(self, target: Path) -> None:
        """Copy the components byte for byte, and write the branch and an index that names our pipeline."""
        index = read_json(self.path / INDEX)
        names = [name for name, value in index.items() if _is_component(value)]
        for name in names:
            if name != "branch" or self.branch is None:
                _copy(self.path / name, target / name)
        if self.branch is not None:
            self.branch.save_pretrained(target / "branch")
            index["branch"] = [type(self.branch).__module__, type(self.branch).__name__]
        index["_class_name"] = OcclusionFormerPipeline.__name__
        given = inspect.signature(OcclusionFormerPipeline.__init__).parameters
        for name in SETTINGS:
            index[name] = self.settings.get(name, index.get(name, given[name].default))
        write_atomic(target / INDEX, _json(index))

    def _misfits(self) -> list[str]:
        if self.branch is None:
            return []
        with torch.device("meta"):
            config = FluxTransformer2DModel.load_config(self.path / "transformer")
            transformer = LayoutFluxTransformer2DModel.from_config(config)
        try:
            check_fit(transformer, self.branch)
        except ValueError as error:
            return str(error).splitlines()
        return []


def downloaded(repo: str) -> Path:
    """The folder in the local cache of a FLUX pipeline on the Hub, without what it does not load."""
    return Path(FluxPipeline.download(repo, use_safetensors=True))


def write_hub_folder(folder: Path, write: Callable[[Path], None], described: ModelDescription) -> list[str]:
    """Fill an empty folder: what `write` writes into it (a pipeline's `save_pretrained`), and all that the Hub wants.

    Returns the names of its files, sorted. Raises CheckpointError where the result could not be loaded again.
    """
    write(folder)
    index = read_json(folder / INDEX)
    layout = example_layout(index["default_size"]) if described.layout is None else described.layout
    texts = {
        "pipeline.py": PIPELINE_CODE,
        "block.py": BLOCK_CODE,
        MODULAR_CONFIG: _json(_modular_config()),
        MODULAR_INDEX: _json(_modular_index(index, described.repo)),
        EXAMPLE: write_layout(layout),
        CARD: card_text(described, layout, index),
    }
    for name, text in texts.items():
        write_atomic(folder / name, text)
    if described.picture is not None:
        write_atomic(folder / PICTURE, described.picture)
    check_model_folder(folder)
    if reasons := damaged_components(folder):
        raise CheckpointError(folder, reasons)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def example_layout(size: int) -> Layout:
    """Two fruits on a canvas of the model's size, for a model that is published without a layout of its own."""
    apple = {"id": "apple", "caption": "a red apple", "box": [0.1, 0.18, 0.66, 0.72]}
    pear = {"id": "pear", "caption": "a green pear", "box": [0.36, 0.28, 0.92, 0.88]}
    order = {"front_to_back": ["apple", "pear"]}
    side = {"width": size, "height": size}
    return Layout.model_validate(
        {"version": 1, "prompt": "a plain light blue background", **side, "instances": [apple, pear], "order": order}
    )


def _modular_config() -> dict[str, Any]:
    return {"_class_name": BLOCK_CLASS, "auto_map": {"ModularPipelineBlocks": f"block.{BLOCK_CLASS}"}}


def _modular_index(index: Mapping[str, Any], repo: str) -> dict[str, Any]:
    """The same components for ModularPipeline, each with the place it is loaded from.

    The transformer is loaded as the drop-in, whatever class the folder's own index names.
    """
    drop_in = [LayoutFluxTransformer2DModel.__module__, LayoutFluxTransformer2DModel.__name__]
    found: dict[str, Any] = {"_class_name": "FluxModularPipeline", "_blocks_class_name": BLOCK_CLASS}
    for name, value in index.items():
        if _is_component(value):
            place = {"pretrained_model_name_or_path": repo, "subfolder": name, "variant": None, "revision": None}
            kind = drop_in if name == "transformer" else value
            found[name] = [None, None, {"type_hint": kind, **place}]
        elif name in SETTINGS:
            found[name] = value
    return found


def _is_component(value: object) -> bool:
    return isinstance(value, list) and value != [None, None]


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and path.suffix in KEPT:
            shutil.copyfile(path, target / path.name)


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
