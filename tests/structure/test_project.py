"""The files of the project agree with one another."""

from __future__ import annotations

import re

from occlusionformer import __version__
from tests.structure.sources import ROOT

PROJECT = (ROOT / "pyproject.toml").read_text()
CONSTRAINTS = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")
]


def test_constraints_hold_the_development_tools_at_their_pins():
    tools = re.findall(r'"([a-z-]+==[^"]+)"', re.search(r"^dev = \[\n(.*?)^\]", PROJECT, re.M | re.S)[1])
    assert sorted(tools) == sorted(line for line in CONSTRAINTS if not line.startswith("torch=="))


def test_make_installs_the_torch_of_the_constraints():
    torch = next(line for line in CONSTRAINTS if line.startswith("torch=="))
    assert f"TORCH ?= {torch}\n" in (ROOT / "Makefile").read_text()


def test_the_version_is_one():
    assert f'version = "{__version__}"' in PROJECT


def test_the_readme_shows_pictures_and_files_that_exist():
    text = (ROOT / "README.md").read_text()
    named = re.findall(r"\]\(([^)#:]+)\)", text)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_commands_of_the_readme_exist():
    from tests.structure.freeze import cli_options

    text = (ROOT / "README.md").read_text()
    options = cli_options()
    for line in re.findall(r"^occlusionformer .*$", text, re.M):
        words = line.partition("#")[0].split()[1:]
        command = next(name for name in (" ".join(words[:2]), words[0]) if name in options)
        names = {name for joined in options[command] for name in joined.split("/")}
        assert [word for word in words if word.startswith("-") and word not in names] == [], line
