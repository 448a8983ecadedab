"""Files and functions stay small enough to be read, and are named for what they are about."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.structure.sources import ROOT, Source, sources

MOST_LINES = 400
MOST_FUNCTION_LINES = 60
LONG_FUNCTIONS = {
    ("pipelines/occlusionformer.py", "__call__"),
}
"""The pipeline's call takes FluxPipeline's arguments, one a line."""

SAME_LINES = 12
"""Lines that say the same in two files are one function too few; fewer are how Python looks."""

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}


def test_files_are_short():
    long = {source.name: count for source in sources() if (count := len(source.text.splitlines())) > MOST_LINES}
    assert long == {}


def test_functions_are_short():
    long = [
        f"{source.name}: {function.name}: {lines} lines"
        for source in sources()
        for function in source.functions()
        if (lines := function.end_lineno - function.lineno + 1) > MOST_FUNCTION_LINES
        and (source.name, function.name) not in LONG_FUNCTIONS
    ]
    assert long == []


def test_a_file_says_in_its_first_line_what_it_is_about():
    silent = [s.name for s in sources() if not ast.get_docstring(s.tree) or not s.text.startswith('"""')]
    vague = [s.name for s in sources() if set(s.path.with_suffix("").parts[-2:]) & VAGUE_NAMES]
    assert (silent, vague) == ([], [])


def test_no_arguments_are_passed_through_unseen():
    """`**kwargs` hides typing mistakes; a transformers config has to take what its base class knows."""
    unseen = [
        f"{source.name}: {function.name}"
        for source in sources()
        for function in source.functions()
        if function.args.kwarg and function.args.kwarg.arg == "kwargs"
    ]
    assert unseen == []


def test_nothing_stands_in_two_files():
    """No run of so many lines of code, blank lines and comments aside, is the same in two places."""
    places: dict[tuple[str, ...], str] = {}
    twice = []
    for source in (source for source in sources() if source.name != "model/backbone.py"):
        lines = list(_code_lines(source))
        for start in range(len(lines) - SAME_LINES + 1):
            window = tuple(text for _, text in lines[start : start + SAME_LINES])
            here = f"{source.name}:{lines[start][0]}"
            if window in places and places[window].split(":")[0] != source.name:
                twice.append(f"{places[window]} and {here}")
            places.setdefault(window, here)
    assert twice == []


def _code_lines(source: Source) -> Iterator[tuple[int, str]]:
    """Numbered lines of bodies: no imports, docstrings or signatures, which options of commands repeat."""
    skipped: set[int] = set()
    for node in source.nodes:
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if text or isinstance(node, ast.Import | ast.ImportFrom):
            skipped |= set(range(node.lineno, node.end_lineno + 1))
        if isinstance(node, ast.FunctionDef):
            skipped |= set(range(node.lineno, node.body[0].lineno))
    for number, line in enumerate(source.text.splitlines(), 1):
        stripped = line.strip()
        if number not in skipped and stripped and not stripped.startswith("#"):
            yield number, stripped


def test_no_large_files_but_weights_and_art():
    large = [
        path.relative_to(ROOT).as_posix()
        for folder in ("src", "tests", "examples")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".safetensors", ".webp") and path.stat().st_size > 2**20
    ]
    assert not [path for path in large if "__pycache__" not in path]


TWO_PLACES = {
    "Canvas": "of a background, and of a benchmark's pictures",
    "Found": "by a search in a picture, and among checkpoints",
    "LayoutEmbedder": "of CreatiLayout, and of the layout branch",
    "Probe": "of a picture with an object, and of a training run",
    "Problem": "of a document, and as the studio's API describes it",
    "Result": "of a benchmark, and as the studio's API describes a job's",
}
"""Public classes that two files call the same, and what each is of. No new ones, please."""


def test_one_name_is_one_class():
    places: dict[str, list[str]] = {}
    for source in sources():
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(source.name)
    twice = {name: files for name, files in places.items() if len(files) > 1}
    assert {name: files for name, files in twice.items() if name not in TWO_PLACES or len(files) > 2} == {}
    assert sorted(TWO_PLACES.keys() - twice.keys()) == [], "these are one class now"
