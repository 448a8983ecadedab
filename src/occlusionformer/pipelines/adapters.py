"""LoRAs of a saved pipeline: kept beside the weights of their component, which are stored as they are without them.

Libraries differ in what they write of a component with LoRAs: transformers the LoRA alone, with the name of another
folder for the weights; diffusers weights under names that no model has.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from occlusionformer.layout import write_atomic
from occlusionformer.tensors.files import (
    CheckpointError,
    check_tensors,
    first_line,
    printable_name,
    read_header,
    read_json,
    read_tensors,
)

FOLDER, INDEX = "lora", "lora.json"
PATTERNS, SWITCHES = ("rank_pattern", "alpha_pattern"), ("use_rslora", "use_dora", "fan_in_fan_out")
KEPT = ("r", "lora_alpha", "target_modules", *PATTERNS, *SWITCHES)
"""Fields of a LoRA's configuration that are stored; one that differs from peft's defaults in another is refused."""
NO_MATTER = (
    "base_model_name_or_path", "init_lora_weights", "inference_mode", "lora_dropout", "peft_version", "revision",
    "task_type", "auto_mapping",
)  # fmt: skip
"""Fields that are about training or about where a LoRA comes from."""
NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
LARGEST_RANK = 2**14


def adapters_of(component: object) -> Mapping[str, Any]:
    """The LoRA configurations of a component by name, empty where it has none."""
    found = getattr(component, "peft_config", None) if isinstance(component, nn.Module) else None
    return found if isinstance(found, Mapping) else {}


def unsaved(name: str, component: object) -> list[str]:
    """Reasons for which the LoRAs of a component cannot be stored."""
    adapters = adapters_of(component)
    problems = [
        f"{name}: {adapter}: expected a LoRA with peft's own value of {field}, got {getattr(config, field)!r:.100}"
        for adapter, config in adapters.items()
        for field in _unusual(config)
    ]
    problems += [
        f"{name}: {adapter!r:.100}: expected a name of letters, digits, '.', '_' and '-'"
        for adapter in adapters
        if not NAME.fullmatch(adapter)
    ]
    if adapters and (getattr(component, "hf_quantizer", None) is not None):
        problems.append(f"{name}: expected no LoRA on a quantised component, got {', '.join(adapters)}")
    return problems


def without_adapters(component: Any) -> nn.Module:
    """The component as it is without its LoRAs; shares its weights."""
    state = {
        key.replace(".base_layer.", "."): value for key, value in component.state_dict().items() if ".lora_" not in key
    }
    with torch.device("meta"):
        made_of = type(component)
        plain: Any = (
            made_of.from_config(component.config) if hasattr(made_of, "from_config") else made_of(component.config)
        )
    plain.load_state_dict(state, assign=True)
    if hasattr(plain, "tie_weights"):
        plain.tie_weights()
    return plain.eval()


def save_adapters(component: Any, folder: Path) -> None:
    """Write a component's LoRAs, their strengths and which of them act, into `lora` in its folder."""
    from peft.utils import get_peft_model_state_dict

    target = folder / FOLDER
    target.mkdir(parents=True)
    adapters = {}
    for place, (name, config) in enumerate(adapters_of(component).items()):
        fields = {field: _plain(getattr(config, field)) for field in KEPT}
        scaling = {path: float(layer.scaling[name]) for path, layer in _layers(component) if name in layer.scaling}
        adapters[name] = {"file": f"{place}.safetensors", "config": fields, "scaling": scaling}
        state = get_peft_model_state_dict(component, adapter_name=name)
        tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
        save_file(tensors, target / f"{place}.safetensors")
    layers = [layer for _, layer in _layers(component)]
    active = [] if any(layer.disable_adapters for layer in layers) else list(layers[0].active_adapters)
    write_atomic(target / INDEX, json.dumps({"adapters": adapters, "active": active}, indent=1) + "\n")


def adapter_problems(folder: Path) -> Iterator[str]:
    """What is wrong with the stored LoRAs of a component, found without reading their numbers."""
    where = f"{folder.name}/{FOLDER}/{INDEX}"
    if not (folder / FOLDER).exists():
        return
    try:
        told = read_json(folder / FOLDER / INDEX)
    except CheckpointError as error:
        yield from (f"{where}: {reason}" for reason in error.reasons)
        return
    adapters, active = told.get("adapters"), told.get("active")
    if not isinstance(adapters, dict) or not all(isinstance(entry, dict) for entry in adapters.values()):
        yield f"{where}: adapters: expected an object for each LoRA, got {printable_name(adapters)}"
        return
    if not isinstance(active, list) or not all(isinstance(name, str) and name in adapters for name in active):
        yield f"{where}: active: expected a list of names of LoRAs, got {printable_name(active)}"
    for place, (name, entry) in enumerate(adapters.items()):
        here = f"{where}: {printable_name(name)}"
        if not NAME.fullmatch(name):
            yield f"{here}: expected a name of letters, digits, '.', '_' and '-'"
        yield from (f"{here}: {problem}" for problem in _entry_problems(entry, place))
        try:
            read_header(folder / FOLDER / f"{place}.safetensors")
        except CheckpointError as error:
            yield from (f"{folder.name}/{FOLDER}/{place}.safetensors: {reason}" for reason in error.reasons)
        except SafetensorError as error:
            yield f"{folder.name}/{FOLDER}/{place}.safetensors: {first_line(error)}"


def load_adapters(component: Any, folder: Path) -> None:
    """Give a component the LoRAs that are stored in its folder, if there are any.

    The folder has been looked at by `adapter_problems`. Raises CheckpointError for weights that do not fit.
    """
    if not (folder / FOLDER / INDEX).is_file():
        return
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

    told = read_json(folder / FOLDER / INDEX)
    for name, entry in told["adapters"].items():
        file = folder / FOLDER / entry["file"]
        try:
            component.add_adapter(LoraConfig(**entry["config"]), adapter_name=name)
        except ValueError as error:
            raise CheckpointError(folder / FOLDER / INDEX, [f"{name}: {first_line(error)}"]) from error
        tensors, _ = read_tensors(file)
        blank = get_peft_model_state_dict(component, adapter_name=name)
        check_tensors(file, tensors, {key: value.shape for key, value in blank.items()})
        like_it = {key: value.to(blank[key].dtype) for key, value in tensors.items()}
        set_peft_model_state_dict(component, like_it, adapter_name=name)
        for path, layer in _layers(component):
            if name in layer.scaling:
                layer.scaling[name] = entry["scaling"].get(path, layer.scaling[name])
    if told["active"]:
        component.set_adapter(told["active"])
    else:
        component.disable_adapters()
    component.eval()


def _layers(component: nn.Module) -> list[tuple[str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [(path, layer) for path, layer in component.named_modules() if isinstance(layer, BaseTunerLayer)]


def _unusual(config: Any) -> list[str]:
    from peft import LoraConfig

    given, usual = config.to_dict(), LoraConfig().to_dict()
    fields = [field for field, value in given.items() if field not in (*KEPT, *NO_MATTER) and value != usual.get(field)]
    return [*fields, *(["target_modules"] if not isinstance(config.target_modules, list | set | tuple) else [])]


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | tuple | list) else value


def _entry_problems(entry: Mapping[str, Any], place: int) -> Iterator[str]:
    config, scaling = entry.get("config"), entry.get("scaling")
    if entry.get("file") != f"{place}.safetensors":
        yield f"file: expected '{place}.safetensors', got {printable_name(entry.get('file'))!r}"
    if not isinstance(scaling, dict) or not all(_is_number(value) for value in scaling.values()):
        yield f"scaling: expected a finite number for each layer, got {printable_name(scaling)}"
    if not isinstance(config, dict) or set(config) != set(KEPT):
        yield f"config: expected an object with {', '.join(KEPT)}, got {printable_name(config)}"
        return
    yield from _config_problems(config)


def _config_problems(config: Mapping[str, Any]) -> Iterator[str]:
    layers, rank, alpha = config["target_modules"], config["r"], config["lora_alpha"]
    if not isinstance(layers, list) or not all(isinstance(name, str) and NAME.fullmatch(name) for name in layers):
        yield f"config.target_modules: expected a list of layers' names, got {printable_name(layers)}"
    for field in PATTERNS:
        if not _is_pattern(config[field]):
            yield f"config.{field}: expected a number for each layer's name, got {printable_name(config[field])}"
    for field in SWITCHES:
        if not isinstance(config[field], bool):
            yield f"config.{field}: expected true or false, got {printable_name(config[field])}"
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= LARGEST_RANK:
        yield f"config.r: expected a whole number from 1 to {LARGEST_RANK}, got {printable_name(rank)}"
    if not _is_number(alpha):
        yield f"config.lora_alpha: expected a finite number, got {printable_name(alpha)}"


def _is_pattern(value: object) -> bool:
    return isinstance(value, dict) and all(
        NAME.fullmatch(key) and _is_number(number) and 0 < number <= LARGEST_RANK for key, number in value.items()
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
