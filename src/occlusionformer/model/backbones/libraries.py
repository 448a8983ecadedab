"""diffusers, imported without the libraries that it can work with: those are loaded when they are first used."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial, wraps
from types import SimpleNamespace
from typing import Any

import huggingface_hub  # noqa: F401 - which loads its parts when they are asked for, and stands behind its stand-in
import torch

from occlusionformer.model.stand_ins import is_loaded, stand_in, standing_in, when_loaded

STAND_INS: Mapping[str, tuple[str, ...]] = {
    "diffusers.quantizers.gguf": ("GGUFQuantizer",),
    "huggingface_hub": (
        "ModelCard",
        "ModelCardData",
        "create_repo",
        "get_cached_repo_tree",
        "get_organization_overview",
        "hf_hub_download",
        "model_info",
        "resolve_revision",
        "snapshot_download",
        "split_torch_state_dict_into_shards",
        "upload_folder",
    ),
    "peft": ("PeftModel",),
    "peft.helpers": ("disable_input_dtype_casting",),
    "peft.tuners.tuners_utils": ("BaseTunerLayer",),
    "requests": (),
    "scipy.integrate": (),
    "scipy.stats": (),
    "torch.distributed._functional_collectives": (),
    "torch.nn.attention.flex_attention": (),
    "transformers": (
        "AutoImageProcessor",
        "CLIPImageProcessor",
        "CLIPTextModel",
        "CLIPTokenizer",
        "CLIPVisionModelWithProjection",
        "PreTrainedModel",
        "PreTrainedTokenizer",
        "PreTrainedTokenizerBase",
        "SiglipImageProcessor",
        "SiglipVisionModel",
        "T5EncoderModel",
        "T5TokenizerFast",
    ),
    "transformers.utils.quantization_config": ("QuantizationConfigMixin",),
}
"""Classes and functions that diffusers and this project name where they are imported, and use where somebody does."""

CONSTANTS: Mapping[str, Mapping[str, Any]] = {
    "huggingface_hub.file_download": {"REGEX_COMMIT_HASH": re.compile(r"[0-9a-f]{40}")},
    "transformers.utils": {"SAFE_WEIGHTS_NAME": "model.safetensors", "WEIGHTS_NAME": "pytorch_model.bin"},
}
"""What diffusers takes from a library where it is imported: names of files, and how a commit is written."""

COMPILER = "torch._dynamo"

UNOPENED = (
    "diffusers.models.autoencoders",
    "diffusers.models.controlnets",
    "diffusers.models.transformers",
    "diffusers.models.unets",
)
"""Packages whose own file imports all models of diffusers."""


@contextmanager
def libraries_standing_in() -> Iterator[None]:
    """While this lasts, what diffusers imports of other libraries loads none of them."""
    given = {module: {name: stand_in(module, name) for name in names} for module, names in STAND_INS.items()}
    with standing_in({**given, **CONSTANTS, COMPILER: _compiler()}, UNOPENED):
        yield


def _compiler() -> dict[str, Any]:
    """What torch's compiler gives to those who prepare for it, and does once it is loaded."""
    blocks: list[Any] = []

    def allow_in_graph(block: Any) -> Any:
        if is_loaded(COMPILER):
            return torch.compiler.allow_in_graph(block)
        if not blocks:
            when_loaded(COMPILER, lambda compiler: compiler.allow_in_graph(blocks))
        blocks.append(block)
        return block

    made_by_compiling = stand_in(f"{COMPILER}.eval_frame", "OptimizedModule")
    eval_frame = SimpleNamespace(OptimizedModule=made_by_compiling)
    return {"allow_in_graph": allow_in_graph, "disable": _uncompiled, "eval_frame": eval_frame}


def _uncompiled(function: Any = None, recursive: bool = True, **reason: Any) -> Any:
    """`torch.compiler.disable`: as long as nothing is compiled there is nothing to switch off."""
    if function is None:
        return partial(_uncompiled, recursive=recursive, **reason)

    @wraps(function)
    def uncompiled(*arguments: Any, **keywords: Any) -> Any:
        if is_loaded(COMPILER):
            return torch.compiler.disable(function, recursive)(*arguments, **keywords)
        return function(*arguments, **keywords)

    uncompiled._torchdynamo_disable = True  # type: ignore[attr-defined]
    return uncompiled


class _Listed(Mapping[str, list[str]]):
    """A mapping that is made when the first key is asked of it."""

    def __init__(self, make: Callable[[], Mapping[str, list[str]]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Mapping[str, list[str]]:
        return self._make()

    def __getitem__(self, key: str) -> list[str]:
        return self._made[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


@contextmanager
def _distributions_listed_later() -> Iterator[None]:
    """While this lasts, listing the packages of everything installed is put off until somebody reads the list.

    diffusers makes the list when it is imported, and looks there for few packages, of those that are installed.
    """
    metadata: Any = importlib.metadata
    listing = metadata.packages_distributions
    metadata.packages_distributions = lambda: _Listed(listing)
    try:
        yield
    finally:
        metadata.packages_distributions = listing


with libraries_standing_in(), _distributions_listed_later():
    import diffusers.hooks
    import diffusers.loaders.peft
    import diffusers.models.autoencoders.autoencoder_kl
    import diffusers.pipelines.flux.pipeline_flux
    import diffusers.schedulers.scheduling_flow_match_euler_discrete  # noqa: F401
