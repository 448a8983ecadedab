"""How pipelines are loaded: from folders and the hub without running code in them, published weights beside a base."""

from __future__ import annotations

import copy
import inspect
import os
import shutil
import threading
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch
from diffusers.pipelines import pipeline_utils
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline
from torch import nn

from occlusionformer.model import BranchConfig, published
from occlusionformer.model.checkpoint import load_published
from occlusionformer.pipelines.adapters import (
    FOLDER,
    adapters_of,
    load_adapters,
    save_adapters,
    unsaved,
    without_adapters,
)
from occlusionformer.pipelines.folder import INDEX, check_all_loaded, check_model_folder, damaged_components
from occlusionformer.tensors.files import CheckpointError, printable_name

DTYPE_KEYWORD = "dtype" if hasattr(pipeline_utils, "_resolve_dtype") else "torch_dtype"
"""diffusers renamed it: releases that know the new name warn of the old one, earlier ones ignore the new one."""

REFUSED = ("trust_remote_code", "custom_pipeline", "dduf_file", "use_onnx", "use_flashpack", "load_connected_pipeline")
"""Arguments of diffusers that load code, or files that are not looked at first."""


LOADING = threading.RLock()
"""Held while models are made: meanwhile libraries change what every thread sees of torch, such as default formats."""


class LoadablePipeline(FluxPipeline):
    """The part of the pipeline that loads itself."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[str], **arguments: Any) -> Self:
        """As diffusers': a folder or a hub id, with the same arguments (`transformer=`, `quantization_config=`,
        `dtype=` or `torch_dtype=`, `variant=`, `token=`, `cache_dir=`, `revision=`, `device_map=` and so on).

        Only classes of FLUX pipelines and of this project are loaded, from safetensors alone. A folder with code,
        another class, damaged files or missing weights raises CheckpointError, which lists every problem, an argument
        that would run code ValueError.
        """
        arguments = checked_arguments(arguments)
        folder = Path(pretrained_model_name_or_path)
        if folder.is_dir() and not (folder / INDEX).exists():
            raise CheckpointError(folder, [f"expected a folder with a {INDEX}"])
        try:
            with LOADING:
                pipeline: Self = super().from_pretrained(pretrained_model_name_or_path, **arguments)
        except (CheckpointError, ImportError, MemoryError, NotImplementedError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # what a damaged configuration raises depends on where it is damaged
            if not folder.is_dir():
                raise
            said = [printable_name(line) for line in str(error).splitlines()] or [repr(error)]
            raise CheckpointError(folder, damaged_components(folder) or said) from error
        if folder.is_dir():
            for name, component in pipeline.components.items():
                if isinstance(component, nn.Module) and name not in arguments:
                    check_all_loaded(folder, name, component)
                    load_adapters(component, folder / name)
        return pipeline

    @classmethod
    def load_config(cls, pretrained_model_name_or_path: str | PathLike[str], **arguments: Any) -> Any:
        """As diffusers'; of a folder only after a look at everything in it. Everything loaded passes here first."""
        if os.path.isdir(pretrained_model_name_or_path):
            check_model_folder(Path(pretrained_model_name_or_path))
        return super().load_config(pretrained_model_name_or_path, **arguments)

    @classmethod
    def from_published(
        cls,
        base: str | PathLike[str],
        checkpoint: str | PathLike[str],
        *,
        config: BranchConfig | None = None,
        **arguments: Any,
    ) -> Self:
        """FLUX.1-dev (a folder or a hub id) with a published branch checkpoint (a folder or a bundle).

        config: None for OcclusionFormer's released weights. All other arguments are those of `from_pretrained`, so the
        transformer may be quantised, or given ready. The branch is not quantised; it gets the number format named for
        it by `dtype`, otherwise that of the prompt embeddings it works with.
        Raises CheckpointError for weights that do not fit.
        """
        arguments = checked_arguments(arguments)
        branch = load_published(os.fspath(checkpoint), published() if config is None else config)
        pipeline = cls.from_pretrained(base, branch=branch, **arguments)
        given = arguments.get(DTYPE_KEYWORD)
        dtype = given.get("branch", given.get("default")) if isinstance(given, Mapping) else given
        cast(branch, activations_dtype(pipeline) if dtype is None else dtype)
        if arguments.get("device_map") is not None:
            nn.Module.to(branch, pipeline.transformer.device)
        return pipeline

    def save_pretrained(self, save_directory: str | PathLike[str], *arguments: Any, **keywords: Any) -> None:
        """As diffusers', always as safetensors: nothing else is loaded again.

        LoRAs are stored beside the weights and loaded with them. Raises ValueError, before anything is written, for
        those that cannot be: of a quantised component, or with settings beside rank, alpha and layers.
        """
        given = inspect.signature(super().save_pretrained).bind(save_directory, *arguments, **keywords)
        given.arguments["safe_serialization"] = True
        adapted = {name: component for name, component in self.components.items() if adapters_of(component)}
        if problems := [line for name, component in adapted.items() for line in unsaved(name, component)]:
            raise ValueError("\n".join(problems))
        plain = copy.copy(self)
        for name, component in self.components.items():
            shutil.rmtree(Path(save_directory) / name / FOLDER, ignore_errors=True)
            if name in adapted:
                setattr(plain, name, without_adapters(component))
                save_adapters(component, Path(save_directory) / name)
        super(LoadablePipeline, plain).save_pretrained(*given.args, **given.kwargs)

    def enable_group_offload(self, *arguments: Any, **keywords: Any) -> None:
        """As diffusers', of everything but the branch, which stays at work inside the transformer's blocks."""
        given = inspect.signature(super().enable_group_offload).bind(*arguments, **keywords).arguments
        left = given.get("exclude_modules") or []
        given["exclude_modules"] = [*([left] if isinstance(left, str) else left), "branch"]
        super().enable_group_offload(**given)


def checked_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of from_pretrained with the number format under the name this diffusers knows, pickles ruled out.

    ValueError lists those that would run code or read pickles.
    """
    problems = [
        f"{name}: expected no such argument, got {arguments[name]!r}" for name in REFUSED if arguments.get(name)
    ]
    if arguments.get("use_safetensors", True) not in (True, None):
        problems.append(f"use_safetensors: expected True, got {arguments['use_safetensors']!r}")
    spellings = [name for name in ("dtype", "torch_dtype") if arguments.get(name) is not None]
    if len(spellings) > 1:
        problems.append("dtype, torch_dtype: expected one of the two, got both")
    if problems:
        raise ValueError("\n".join(problems))
    rest = {name: value for name, value in arguments.items() if name not in ("dtype", "torch_dtype", *REFUSED)}
    if spellings:
        rest[DTYPE_KEYWORD] = arguments[spellings[0]]
    return {**rest, "use_safetensors": True}


def activations_dtype(pipeline: FluxPipeline) -> torch.dtype:
    """The number format of the prompt embeddings, in which transformer and branch work."""
    dtype: torch.dtype = (pipeline.text_encoder_2 or pipeline.transformer).dtype
    return dtype if dtype.is_floating_point and dtype.itemsize > 1 else torch.bfloat16


def cast(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Cast in place; ModelMixin.to would log a warning about modules to keep in float32 where there are none."""
    if dtype is not None:
        nn.Module.to(module, dtype)


def best_device() -> str:
    """An accelerator where there is one."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def best_dtype(device: str) -> torch.dtype:
    """bfloat16 is slower than float32 on most CPUs."""
    return torch.float32 if device == "cpu" else torch.bfloat16
