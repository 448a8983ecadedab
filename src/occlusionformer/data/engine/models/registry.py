"""Registry of data models: those of this package, and others by entry point."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from occlusionformer.data.engine.models.protocol import DataModel

ENTRY_POINT_GROUP = "occlusionformer.data_models"
"""An entry point names a function (argument: str | None) -> Captioner, Orderer or Completer.

Where the function has an attribute `revision_of`, that is asked for the revision instead of a model that is loaded.
"""

_HERE = "occlusionformer.data.engine.models"
BUILT_IN = {
    "nearest-art": f"{_HERE}.nearest_art",
    "pair-network": f"{_HERE}.pair_order",
    "completion-network": f"{_HERE}.completion",
    "recorded": f"{_HERE}.recorded",
    "describe-anything": f"{_HERE}.describe_anything",
    "sam-3d-objects": f"{_HERE}.sam_3d",
}
"""Modules with two functions of an argument: `load`, and `revision_of`, which says the revision without loading."""


def model_names() -> list[str]:
    """Names of all models that can be loaded, sorted."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})


def load_model(spec: str) -> DataModel:
    """Load "name" or "name:argument". Raises ValueError for an unknown name."""
    name, _, argument = spec.partition(":")
    if name in BUILT_IN:
        return cast("DataModel", import_module(BUILT_IN[name]).load(argument or None))
    return cast("DataModel", _offered(name, spec)(argument or None))


def model_revision(spec: str) -> str:
    """The revision that `load_model(spec)` would have. Raises ValueError for an unknown name."""
    name, _, argument = spec.partition(":")
    if name in BUILT_IN:
        return str(import_module(BUILT_IN[name]).revision_of(argument or None))
    function = _offered(name, spec)
    asked = getattr(function, "revision_of", None)
    return str(asked(argument or None) if asked else function(argument or None).revision)


def _offered(name: str, spec: str) -> Any:
    """The function that an entry point names."""
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            return entry.load()
    raise ValueError(f"model: expected one of ({', '.join(model_names())}), got {spec!r}")
