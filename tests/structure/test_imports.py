"""Which part of the package may know which."""

from __future__ import annotations

import pytest

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
    "apps": {
        "layout", "pictures", "tensors", "model", "methods", "generation", "pipelines", "embedded", "data", "training",
        "evaluation", "reporting",
    },
}  # fmt: skip
"""For every part the parts it may import, beside itself. Generators reach `evaluation` through `generation` alone."""

WITHOUT_NUMBERS = {"layout", "generation"}
"""Parts that import neither torch nor numpy when they are loaded."""

KNOW_FLUX = ("model/backbone.py", "model/backbones/", "pipelines/")
"""Where diffusers' Flux classes may be named."""

EVERY_SOURCE = pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)


@EVERY_SOURCE
def test_imports_point_to_the_left(source: Source):
    allowed = MAY_IMPORT[source.part] | {source.part}
    known = {module for module, _ in source.imports() if module.startswith("occlusionformer.")}
    known |= {f"{module}.{name}" for module, name in source.imports() if module == "occlusionformer" and name}
    reached = {module.split(".")[1] for module in known if module.split(".")[1] != "__version__"}
    assert reached <= allowed, f"{source.name} must not import {sorted(reached - allowed)}"


@EVERY_SOURCE
def test_layout_and_generation_name_no_numeric_library(source: Source):
    if source.part in WITHOUT_NUMBERS or source.name == "__init__.py":
        heavy = {module.split(".")[0] for module, _ in source.imports()} & {"torch", "diffusers", "transformers"}
        assert not heavy, f"{source.name} imports {sorted(heavy)}"


@EVERY_SOURCE
def test_only_the_backbone_and_the_pipelines_know_flux(source: Source):
    if not source.name.startswith(KNOW_FLUX):
        named = {
            f"{module}.{name}"
            for module, name in source.imports()
            if module.startswith("diffusers") and ("flux" in module.lower() or "flux" in name.lower())
        }
        assert not named, f"{source.name} imports {sorted(named)}"


def test_the_rules_cover_every_part():
    assert {source.part for source in sources()} <= set(MAY_IMPORT)
