"""Which part of the package may know which."""

from __future__ import annotations

import ast
from collections.abc import Container

from tests.structure.sources import Source, sources

MAY_IMPORT = {
    "": set(),
    "layout": set(),
    "reporting": set(),
    "pictures": {"layout"},
    "tensors": {"layout"},
    "model": {"layout", "tensors"},
    "methods": {"layout", "tensors", "model"},
    "generation": {"layout"},
    "pipelines": {"layout", "pictures", "tensors", "model", "methods", "generation"},
    "embedded": {"layout", "pictures", "tensors", "model", "methods", "generation", "pipelines"},
    "data": {"layout", "pictures", "tensors", "reporting"},
    "training": {
        "layout", "pictures", "tensors", "model", "methods", "generation", "pipelines", "embedded", "data", "reporting",
    },
    "evaluation": {"layout", "pictures", "tensors", "generation", "data", "reporting"},
    "study": {"layout", "generation", "evaluation", "training", "reporting"},
    "apps": {
        "layout", "pictures", "tensors", "model", "methods", "generation", "pipelines", "embedded", "data", "training",
        "evaluation", "reporting", "study",
    },
}  # fmt: skip
"""For every part the parts it may import, beside itself. Generators reach `evaluation` through `generation` alone."""

WITHOUT_NUMBERS = {"layout", "generation"}
"""Parts that import neither torch nor numpy when they are loaded."""

NUMERIC = {"numpy", "torch", "diffusers", "transformers"}

KNOW_FLUX = ("model/backbones/", "pipelines/")
"""Where diffusers' Flux classes may be named."""


def test_imports_point_to_the_left():
    wrong = [
        f"{source.name} must not import {sorted(reached)}"
        for source in sources()
        if (reached := _parts_reached(source) - MAY_IMPORT[source.part] - {source.part})
    ]
    assert wrong == []


def _parts_reached(source: Source) -> set[str]:
    known = {module for module, _ in source.imports() if module.startswith("occlusionformer.")}
    known |= {f"{module}.{name}" for module, name in source.imports() if module == "occlusionformer" and name}
    return {module.split(".")[1] for module in known if module.split(".")[1] != "__version__"}


def test_layout_and_generation_name_no_numeric_library():
    wrong = [
        f"{source.name} imports {sorted(heavy)}"
        for source in sources()
        if (source.part in WITHOUT_NUMBERS or source.name == "__init__.py")
        and (heavy := {module.split(".")[0] for module in _imported_at_once(source)} & NUMERIC)
    ]
    assert wrong == []


def test_only_the_backbone_and_the_pipelines_know_flux():
    wrong = [
        f"{source.name} imports {module}.{name}"
        for source in sources()
        if not source.name.startswith(KNOW_FLUX)
        for module, name in source.imports()
        if module.startswith("diffusers") and ("flux" in module.lower() or "flux" in name.lower())
    ]
    assert wrong == []


def test_no_file_imports_itself_by_way_of_others():
    """Imports at the top of files, those for type checking aside, make no circle."""
    known = {source.module: source for source in sources()}
    reached = {name: _imported_at_once(source, known) & known.keys() for name, source in known.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        if name in path:
            return [(*path[path.index(name) :], name)]
        if name in done:
            return []
        circles = [circle for other in sorted(reached[name]) for circle in visit(other, (*path, name))]
        done.add(name)
        return circles

    assert [circle for name in sorted(known) for circle in visit(name, ())] == []


def _imported_at_once(source: Source, known: Container[str] = ()) -> set[str]:
    """Modules that importing the file loads: `from package import name` may name a module of it."""
    found = set()
    for node in source.tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if name in known}
            found |= modules if modules == names else modules | {node.module}
    return found - {source.module}


def test_the_rules_cover_every_part():
    assert {source.part for source in sources()} <= set(MAY_IMPORT)
