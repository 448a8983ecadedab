"""Models by name: those of this package, and those that others offer."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from occlusionformer.data.engine.models.protocol import Model

ENTRY_POINT_GROUP = "occlusionformer.data_models"
"""An entry point names a function (argument: str | None) -> Captioner, Orderer or Completer."""

_HERE = "occlusionformer.data.engine.models"
BUILT_IN = {
    "nearest-art": f"{_HERE}.nearest_art:load",
    "pair-network": f"{_HERE}.pair_order:load",
    "completion-network": f"{_HERE}.completion:load",
    "recorded": f"{_HERE}.recorded:load",
    "describe-anything": f"{_HERE}.describe_anything:load",
    "sam-3d-objects": f"{_HERE}.sam_3d:load",
}


def model_names() -> list[str]:
    """All that can be loaded, sorted."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})


def load_model(spec: str) -> Model:
    """Load "name" or "name:argument". Raises ValueError for an unknown name."""
    name, _, argument = spec.partition(":")
    if name in BUILT_IN:
        module, _, function = BUILT_IN[name].partition(":")
        return cast("Model", getattr(import_module(module), function)(argument or None))
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            return cast("Model", entry.load()(argument or None))
    raise ValueError(f"model: expected one of ({', '.join(model_names())}), got {spec!r}")
