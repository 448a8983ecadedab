"""Code that stands twice: runs of equal tokens, whatever their layout, comments and docstrings.

    python -m tests.structure.duplication 40

prints every run of at least so many tokens that two places of the package share.
"""

from __future__ import annotations

import ast
import io
import itertools
import sys
import tokenize
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.structure.sources import Source, sources

LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


@dataclass(frozen=True)
class Twin:
    """The same tokens in two places."""

    first: str
    second: str
    tokens: int

    @property
    def files(self) -> set[str]:
        return {self.first.rpartition(":")[0], self.second.rpartition(":")[0]}

    def __str__(self) -> str:
        return f"{self.first} and {self.second}: {self.tokens} tokens"


@dataclass(frozen=True)
class Token:
    text: str
    line: int


def twins(found: Iterable[Source], least: int) -> list[Twin]:
    """Longest runs first; a run is told once, where it is met again."""
    files = [(source.name, list(tokens_of(source))) for source in found]
    numbers: dict[str, int] = {}
    texts = [array("I", (numbers.setdefault(token.text, len(numbers)) for token in tokens)) for _, tokens in files]
    places: dict[bytes, tuple[int, int]] = {}
    told = []
    for number, (name, tokens) in enumerate(files):
        position = 0
        while position + least <= len(tokens):
            other, start = places.setdefault(texts[number][position : position + least].tobytes(), (number, position))
            if other == number and start + least > position:  # itself, or a run that would overlap itself
                position += 1
                continue
            length = _shared(texts[other], start, texts[number], position)
            first, lines = files[other]
            told.append(Twin(f"{first}:{lines[start].line}", f"{name}:{tokens[position].line}", length))
            position += length
    return sorted(told, key=lambda twin: -twin.tokens)


def _shared(first: array[int], start: int, second: array[int], begin: int) -> int:
    """How many tokens are equal from these two places on."""
    ends = begin if first is second else len(first)
    pairs = zip(first[start:ends], second[begin:], strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def tokens_of(source: Source) -> Iterator[Token]:
    """Of the bodies of functions: imports, docstrings, signatures and fields look alike wherever they stand.

    Every function begins with a token of its own, so that no run goes from one into the next. An argument that is
    passed on under its own name, as in `seed=seed`, counts for nothing.
    """
    inside = {line: number for number, lines in enumerate(_bodies(source.nodes)) for line in lines}
    passed = {
        (word.lineno, word.col_offset + offset)
        for word in source.nodes
        if isinstance(word, ast.keyword) and isinstance(word.value, ast.Name) and word.value.id == word.arg
        for offset in (0, len(word.arg), len(word.arg) + 1)
    }
    last = None
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        number = inside.get(token.start[0])
        if token.type in LAYOUT or number is None or token.start in passed:
            continue
        if number != last:
            yield Token(f"a function of {source.name} at {token.start[0]}", token.start[0])
            last = number
        yield Token(token.string, token.start[0])


def _bodies(nodes: Iterable[ast.AST]) -> Iterator[set[int]]:
    """Lines of every function's statements, without docstring and imports; of one inside another, with the outer."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kept = [part for part in node.body if not _says_nothing(part)]
            yield {line for part in kept for line in range(part.lineno, (part.end_lineno or part.lineno) + 1)}


def _says_nothing(node: ast.stmt) -> bool:
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return text or isinstance(node, ast.Import | ast.ImportFrom)


if __name__ == "__main__":
    sys.stdout.writelines(f"{twin}\n" for twin in twins(sources(), int(sys.argv[1])))
