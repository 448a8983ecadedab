"""Checks model folders before a library imports, runs or reads anything in them.

Releases of diffusers differ in what they import for a folder: any installed module that its index names, or Python
files beside the weights. Here only the classes listed below are taken, whatever release is installed.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from occlusionformer.methods.registry import method_places
from occlusionformer.pipelines.adapters import adapter_problems
from occlusionformer.tensors.files import CheckpointError, first_line, printable_name, read_header, read_json

INDEX = "model_index.json"

LIBRARY_CLASSES: Mapping[str, frozenset[str]] = {
    "diffusers": frozenset(
        {
            "AutoencoderKL",
            "AutoencoderTiny",
            "FlowMatchEulerDiscreteScheduler",
            "FlowMatchHeunDiscreteScheduler",
            "FlowMatchLCMScheduler",
            "FluxTransformer2DModel",
        }
    ),
    "transformers": frozenset(
        {
            "CLIPImageProcessor",
            "CLIPImageProcessorFast",
            "CLIPImageProcessorPil",
            "CLIPTextModel",
            "CLIPTokenizer",
            "CLIPTokenizerFast",
            "CLIPVisionModelWithProjection",
            "PreTrainedTokenizerFast",
            "T5EncoderModel",
            "T5Tokenizer",
            "T5TokenizerFast",
            "TokenizersBackend",
        }
    ),
}
"""What FLUX pipelines are made of, under all names that releases gave it."""

OWN_CLASSES: Mapping[str, frozenset[str]] = {
    "occlusionformer.embedded.autoencoder": frozenset({"SceneAutoencoder"}),
    "occlusionformer.embedded.codec": frozenset({"PixelCodec"}),
    "occlusionformer.embedded.text": frozenset({"StaticTextModel"}),
    "occlusionformer.model.backbones.flux_transformer": frozenset({"LayoutFluxTransformer2DModel"}),
    "occlusionformer.model.branch": frozenset({"OcclusionBranch"}),
    "occlusionformer.pipelines.tokenizer": frozenset({"PlainTokenizer"}),
}
"""Ours, by the module that defines them, beside the layout methods that are installed."""

NEVER_RUN = frozenset({"pipeline.py", "block.py"})
"""Code that a folder may carry for diffusers' `trust_remote_code`; nothing here reads it."""

CODE_ENDINGS = frozenset({".py", ".pyc", ".pyd", ".so", ".dll", ".dylib"})

SIZED = ("config.json", "scheduler_config.json")
"""Configurations whose numbers are sizes; tokenizers write 10^30 for a length without limit."""

CODE_KEYS = frozenset(
    {"auto_map", "custom_pipelines", "attn_implementation", "_attn_implementation", "_attn_implementation_internal",
     "experts_implementation", "_experts_implementation"}
)  # fmt: skip
"""Entries of a configuration by which transformers finds code in files or on the hub."""

LARGEST_NUMBER = 2**24
"""Whole numbers of configurations, which size what is made before a weight is read."""

MOST_STEPS, MOST_LAYERS = 100_000, 1000
"""Training steps of a scheduler, which tabulates them; layers of a component that has no weights."""

SETTINGS: Mapping[str, tuple[type, float, float]] = {
    "max_sequence_length": (int, 1, 512),
    "default_steps": (int, 1, 1000),
    "default_guidance": (float, 0, 1000),
    "default_grounding_ratio": (float, 0, 1),
    "default_size": (int, 16, 65536),
    "captions_in_prompt": (bool, 0, 1),
}
"""Type and range of what the index says beside the components."""


def check_model_folder(folder: Path) -> None:
    """Raise CheckpointError for a folder that names or holds code or is damaged; import our own classes it names."""
    index = read_json(folder / INDEX)
    reasons = [*_index_reasons(index), *_code_files(folder)]
    if not reasons:
        named = (name for name, value in index.items() if isinstance(value, list) and value[0] is not None)
        reasons += [
            reason for name in named if (folder / name).is_dir() for reason in _component_reasons(folder / name)
        ]
    if reasons:
        raise CheckpointError(folder, reasons)
    for module in {value[0] for value in index.values() if isinstance(value, list)} & own_classes().keys():
        importlib.import_module(module)  # diffusers does not


def own_classes() -> dict[str, frozenset[str]]:
    """Classes that a folder may name beside the libraries': ours, and the methods of installed packages."""
    return {**OWN_CLASSES, **method_places()}


def check_all_loaded(folder: Path, name: str, module: nn.Module) -> None:
    """Raise CheckpointError for weights that the folder lacks or has in another shape.

    Libraries fill them with random numbers, log that, and go on. A key counts as the same when one ends with the other:
    libraries add and drop prefixes while loading. Quantised components, whose shapes are others, are left out, as are
    tensors without numbers, which some releases do not store.
    """
    files = sorted((folder / name).glob("*.safetensors"))
    if not files or getattr(module, "hf_quantizer", None) is not None:
        return
    stored = {key: shape for file in files for key, (shape, _) in read_header(file).items()}
    ends = {tail: shape for key, shape in stored.items() for tail in _tails(key)}
    own = {key: value for key, value in module.state_dict(keep_vars=True).items() if value.numel()}
    shapes = {
        key: stored.get(key) or ends.get(key) or next((stored[tail] for tail in _tails(key) if tail in stored), None)
        for key in own
    }
    tied = {id(own[key]) for key, found in shapes.items() if found is not None}
    reasons = [
        f"{key}: missing, expected shape {tuple(own[key].shape)}"
        for key, found in shapes.items()
        if found is None and id(own[key]) not in tied
    ]
    reasons += [
        f"{key}: expected shape {tuple(own[key].shape)}, got {found}"
        for key, found in shapes.items()
        if found is not None and tuple(own[key].shape) != found
    ]
    if reasons:
        raise CheckpointError(folder / name, reasons)


def damaged_components(folder: Path) -> list[str]:
    """Reasons for which models of a checked folder cannot be loaded, found without reading their numbers."""
    reasons = []
    for name, value in read_json(folder / INDEX).items():
        if not (isinstance(value, list) and value[0] is not None and (folder / name).is_dir()):
            continue
        made_of = getattr(importlib.import_module(value[0]), value[1], None)
        if not (isinstance(made_of, type) and issubclass(made_of, nn.Module)):
            continue
        if not any((folder / name).glob("*.safetensors")):
            reasons.append(f"{name}: expected weights in a file of safetensors, got none")
            continue
        try:
            with torch.device("meta"):
                module = _without_weights(made_of, folder / name)
            check_all_loaded(folder, name, module)
        except CheckpointError as error:
            reasons += [f"{name}: {reason}" for reason in error.reasons]
        except Exception as error:  # what a damaged configuration raises depends on where it is damaged
            reasons.append(f"{name}/config.json: {first_line(error)}")
    return reasons


def setting_problems(name: str, value: object) -> Iterator[str]:
    """What is wrong with the value of a setting, one of SETTINGS; without its name."""
    kind, least, most = SETTINGS[name]
    fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if not fits or (kind is not bool and isinstance(value, bool)):
        yield f"expected {kind.__name__}, got {printable_name(repr(value))}"
    elif isinstance(value, int | float) and not (math.isfinite(value) and least <= value <= most):
        yield f"expected {least:g} to {most:g}, got {printable_name(value)}"


def _without_weights(made_of: Any, folder: Path) -> nn.Module:
    """A model built from its configuration, without weights."""
    if hasattr(made_of, "from_config"):
        model: nn.Module = made_of.from_config(made_of.load_config(folder))
    else:
        model = made_of(made_of.config_class.from_pretrained(folder))
    return model


def _tails(key: str) -> Iterator[str]:
    """Suffixes of a dotted key: a.b.c, then b.c, then c."""
    yield key
    yield from (key[at + 1 :] for at, letter in enumerate(key) if letter == ".")


def _index_reasons(index: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(index.get("_class_name"), str):
        yield f"{INDEX}: _class_name: expected the name of a pipeline, got {printable_name(index.get('_class_name'))}"
    for name, value in index.items():
        if isinstance(value, list | dict):
            yield from (f"{INDEX}: {printable_name(name)}: {reason}" for reason in _entry_reasons(value))
        elif name in SETTINGS:
            yield from (f"{INDEX}: {name}: {reason}" for reason in setting_problems(name, value))


def _entry_reasons(value: object) -> Iterator[str]:
    if value == [None, None]:
        return
    if not (isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)):
        yield f"expected a library and a class, got {printable_name(value)}"
        return
    library, name = value
    known = {**LIBRARY_CLASSES, **own_classes()}
    if library not in known:
        yield f"expected a library of {', '.join(known)}, got {printable_name(library)!r}"
    elif name not in known[library]:
        yield f"expected one of {', '.join(sorted(known[library]))} of {library}, got {printable_name(name)!r}"


def _code_files(folder: Path) -> list[str]:
    """Code files in the folder and its component folders, which is as deep as libraries look."""
    found = [path for path in [*folder.glob("*"), *folder.glob("*/*")] if path.suffix.lower() in CODE_ENDINGS]
    return [
        f"{printable_name(path.relative_to(folder).as_posix())}: expected no code in a model folder"
        for path in sorted(found)
        if not (path.parent == folder and path.name in NEVER_RUN)
    ]


def _component_reasons(folder: Path) -> Iterator[str]:
    """Problems of a component: invalid configurations or ones that name code, damaged weight headers, adapters."""
    if (folder / "adapter_config.json").exists():
        yield f"{folder.name}/adapter_config.json: expected a component without adapters, which can name other models"
    yield from adapter_problems(folder)
    weights = sorted(folder.glob("*.safetensors"))
    if weights and not (folder / "config.json").is_file():  # transformers would take the defaults of the class
        yield f"{folder.name}/config.json: expected a file beside {weights[0].name}, got none"
    tensors, damaged = 0, []
    for path in weights:
        try:
            tensors += len(read_header(path))
        except CheckpointError as error:
            damaged += [f"{folder.name}/{path.name}: {reason}" for reason in error.reasons]
        except SafetensorError as error:
            damaged.append(f"{folder.name}/{path.name}: {first_line(error)}")
    for path in sorted(folder.glob("*.json")):
        try:
            values = read_json(path)
        except CheckpointError as error:
            yield from (f"{folder.name}/{path.name}: {reason}" for reason in error.reasons)
            continue
        yield from (f"{folder.name}/{path.name}: {reason}" for reason in _config_reasons(values))
        if path.name in SIZED and not damaged:
            most_layers = tensors if weights else MOST_LAYERS
            yield from (f"{folder.name}/{path.name}: {reason}" for reason in _size_reasons(values, most_layers))
    yield from damaged


def _config_reasons(values: object, path: str = "") -> Iterator[str]:
    if isinstance(values, list):
        values = {f"[{place}]": value for place, value in enumerate(values)}
    if not isinstance(values, dict):
        return
    for key, value in values.items():
        here = f"{path}.{key}" if path else key
        if key in CODE_KEYS and not _harmless(value):
            yield f"{printable_name(here)}: expected nothing that names code, got {printable_name(value)}"
        else:
            yield from _config_reasons(value, here)


def _size_reasons(values: object, most_layers: int, path: str = "") -> Iterator[str]:
    """Whole numbers that would have far more made than the weights of the component are for; numbers that are none."""
    if isinstance(values, list):
        values = {f"[{place}]": value for place, value in enumerate(values)}
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _size_reasons(value, most_layers, f"{path}.{key}" if path else key)
    elif isinstance(values, int):
        most = most_layers if "layers" in path else MOST_STEPS if "timesteps" in path else LARGEST_NUMBER
        if abs(values) > most:
            yield f"{printable_name(path)}: expected at most {most}, got {printable_name(values)}"
    elif isinstance(values, float) and not math.isfinite(values):
        yield f"{printable_name(path)}: expected a finite number, got {values}"


def _harmless(value: object) -> bool:
    """Whether a value is empty, or names an attention implementation of transformers itself."""
    return not value or value in ("eager", "sdpa", "flash_attention_2", "flex_attention")
