"""Layout methods by name: those that come with the package, and others found through Python entry points."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from occlusionformer.model.branch import OcclusionBranch
from occlusionformer.model.method import Method
from occlusionformer.tensors.files import CheckpointError, read_json

ENTRY_POINT_GROUP = "occlusionformer.methods"
"""An entry point names a subclass of Method; other packages may add theirs."""

OURS = {
    "creatilayout": "occlusionformer.methods.creatilayout:CreatiLayout",
    "eligen": "occlusionformer.methods.eligen:Eligen",
    "gligen": "occlusionformer.methods.gligen:Gligen",
    "instanceassemble": "occlusionformer.methods.instanceassemble:InstanceAssemble",
    "larender": "occlusionformer.methods.larender:LaRender",
    "none": "occlusionformer.methods.none:NoLayout",
    "occlusionformer": "occlusionformer.methods.occlusionformer:OcclusionFormer",
}


class UnknownMethodError(ValueError):
    """No method answers to this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"method: expected one of ({', '.join(known)}), got {name!r}")


def method_names() -> list[str]:
    """The names that load_method takes, sorted."""
    return sorted({*OURS, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})


def method_places() -> dict[str, frozenset[str]]:
    """The classes of all methods by the module that defines them; nothing is imported."""
    places = {*OURS.values(), *(entry.value for entry in entry_points(group=ENTRY_POINT_GROUP))}
    parts = sorted(place.partition(":")[::2] for place in places)
    return {module: frozenset(name for other, name in parts if other == module) for module, _ in parts}


def method_class(name: str) -> type[Method]:
    """The class behind a name. UnknownMethodError lists the names there are; TypeError where it is no Method."""
    places = {OURS[name]} if name in OURS else set()
    places |= {entry.value for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name == name}
    if not places:
        raise UnknownMethodError(name, method_names())
    if len(places) > 1:
        raise ValueError(f"method: expected one package to offer {name!r}, got {', '.join(sorted(places))}")
    module, _, attribute = places.pop().partition(":")
    found = getattr(import_module(module), attribute)
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise TypeError(f"method: entry point {name!r} names {found!r}, which is no Method")
    return found


def load_method(folder: Path) -> Method:
    """A method as `save_pretrained` or a training run wrote it: its class by the name in config.json.

    A class may be that of an installed package's method, or OcclusionBranch, which published weights are read into.
    CheckpointError for a folder without one, for a class that no method here has, and for damaged weights.
    """
    name = str(read_json(folder / "config.json").get("_class_name"))
    places = {**method_places(), OcclusionBranch.__module__: frozenset({OcclusionBranch.__name__})}
    for module, names in places.items():
        if name in names:
            method: Method = getattr(import_module(module), name).from_pretrained(folder)
            return method
    raise CheckpointError(folder / "config.json", [f"_class_name: expected a layout method, got {name!r}"])
