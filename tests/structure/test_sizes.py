"""Files and functions stay small enough to be read, and are named for what they are about."""

from __future__ import annotations

import ast

import pytest

from tests.structure.sources import ROOT, Source, sources

MOST_LINES = 400
MOST_FUNCTION_LINES = 60
LONG_FUNCTIONS = {
    ("pipelines/occlusionformer.py", "__call__"),
}
"""The pipeline's call takes FluxPipeline's arguments, one a line."""

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}

EVERY_SOURCE = pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)


@EVERY_SOURCE
def test_files_are_short(source: Source):
    assert len(source.text.splitlines()) <= MOST_LINES


@EVERY_SOURCE
def test_functions_are_short(source: Source):
    long = {
        function.name: function.end_lineno - function.lineno + 1
        for function in source.functions()
        if function.end_lineno - function.lineno + 1 > MOST_FUNCTION_LINES
        and (source.name, function.name) not in LONG_FUNCTIONS
    }
    assert not long


@EVERY_SOURCE
def test_a_file_says_in_its_first_line_what_it_is_about(source: Source):
    docstring = ast.get_docstring(source.tree)
    assert docstring
    assert source.text.startswith('"""')
    assert not set(source.path.with_suffix("").parts[-2:]) & VAGUE_NAMES


@EVERY_SOURCE
def test_no_arguments_are_passed_through_unseen(source: Source):
    """`**kwargs` hides typing mistakes; a transformers config has to take what its base class knows."""
    unseen = {f.name for f in source.functions() if f.args.kwarg and f.args.kwarg.arg == "kwargs"}
    assert not unseen


def test_no_large_files_but_weights_and_art():
    large = [
        path.relative_to(ROOT).as_posix()
        for folder in ("src", "tests", "examples")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".safetensors", ".webp") and path.stat().st_size > 2**20
    ]
    assert not [path for path in large if "__pycache__" not in path]
