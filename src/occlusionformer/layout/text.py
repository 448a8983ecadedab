"""Documents as text: strict JSON and Python literals in, tidy JSON out."""

from __future__ import annotations

import ast
import json
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from occlusionformer.layout.problems import LayoutError, Path, Problem, shown

MOST_BYTES = 64 * 2**20
MOST_LEVELS = 64
"""Guards against documents that are no layouts: real ones are a few kilobytes and eight levels."""

LINE_WIDTH = 110
"""Characters up to which an object or list is written on one line."""


class _Repeating(dict[str, Any]):
    """An object that names some fields more than once; it keeps the last value of each."""

    repeated: tuple[str, ...] = ()


def text_of(source: str | bytes | FilePath) -> str:
    """The text of a document: a str is the text, a Path a file. Raises OSError for a file that cannot be read."""
    if isinstance(source, FilePath):
        _check_size(source.stat().st_size)
        source = source.read_bytes()
    if isinstance(source, bytes):
        _check_size(len(source))
        try:
            return source.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            byte = source[error.start]
            raise LayoutError([f"byte {error.start}: expected UTF-8 text, got 0x{byte:02x}"]) from None
    _check_size(len(source) if source.isascii() else len(source.encode(errors="surrogatepass")))
    return source


def parse_json(text: str) -> object:
    """The value of a JSON text. Raises LayoutError with line and column of a syntax error.

    Repeated fields, NaN and numbers too large to hold do not stop it: `unfit_parts` finds them in the value.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        raise LayoutError([_syntax_error(text, error.pos, f"not JSON: {reason}")]) from None
    except RecursionError:
        raise LayoutError([_too_deep()]) from None


def parse_json_lines(text: str) -> list[object]:
    """One JSON value a line; blank lines do not count. All lines that are not JSON are reported."""
    values: list[object] = []
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                values.append(parse_json(line))
            except LayoutError as error:
                problems += [f"line {number}, {problem.removeprefix('line 1, ')}" for problem in error.problems]
    if problems:
        raise LayoutError(problems)
    return values


def parse_literal(text: str) -> object:
    """The value of a Python literal of text, numbers, lists and dicts; nothing is run. Otherwise like `parse_json`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # captions with a backslash
            tree = ast.parse(text.strip(), mode="eval")
        return _literal(tree.body)
    except SyntaxError as error:
        where = f"line {error.lineno or 1}, column {error.offset or 1}"
        raise LayoutError([f"{where}: not a Python literal: {error.msg}"]) from None
    except (RecursionError, MemoryError):
        raise LayoutError([_too_deep()]) from None
    except (ValueError, TypeError) as error:
        raise LayoutError([f"not a Python literal: {error}"]) from None


class Unfit(NamedTuple):
    """What no format can hold, wherever it is in a value."""

    names: list[Problem]
    """Repeated fields, and names that are no text."""
    numbers: list[Problem]
    """NaN, infinity, and numbers too large to hold."""


def unfit_parts(value: object) -> Unfit:
    """Raises LayoutError for a value that is nested too deeply to look at."""
    unfit = Unfit([], [])
    pending: list[tuple[Path, object]] = [((), value)]
    while pending:
        path, part = pending.pop()
        if len(path) > MOST_LEVELS:
            raise LayoutError([Problem(path[:3], _too_deep())])
        if isinstance(part, float) and not math.isfinite(part):
            unfit.numbers.append(Problem(path, f"expected a finite number, got {shown(part)}"))
        elif isinstance(part, Mapping):
            unfit.names.extend(Problem(path, text) for text in _name_problems(part))
            pending += [((*path, name), field) for name, field in part.items() if isinstance(name, str)]
        elif isinstance(part, list | tuple):
            pending += [((*path, place), item) for place, item in enumerate(part) if not isinstance(item, str | int)]
    return unfit


def tidy_json(value: object, *, indent: str = "") -> str:
    """JSON with every object and list that is short enough on a line of its own."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if len(indent) + len(line) <= LINE_WIDTH or not isinstance(value, dict | list | tuple) or not value:
        return line
    deeper = indent + "  "
    names = [f"{json.dumps(name, ensure_ascii=False)}: " for name in value] if isinstance(value, dict) else None
    items = list(value.values()) if isinstance(value, dict) else list(value)
    opening, closing = "{}" if names else "[]"
    lines = [
        f"{deeper}{name}{tidy_json(item, indent=deeper)}"
        for name, item in zip(names or [""] * len(items), items, strict=True)
    ]
    return f"{opening}\n" + ",\n".join(lines) + f"\n{indent}{closing}"


def _object(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    repeating = _Repeating(fields)
    repeating.repeated = tuple(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return repeating


def _literal(node: ast.expr) -> object:
    """What `ast.literal_eval` gives, but objects remember the fields they name twice."""
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_literal(key) for key in node.keys if key is not None]
        return _object(list(zip(keys, map(_literal, node.values), strict=True)))
    try:
        return ast.literal_eval(node)
    except ValueError:
        reason = "expected only text, numbers, lists and dicts"
        raise SyntaxError(reason, (None, node.lineno, node.col_offset + 1, None)) from None


def _whole_number(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts
        return float(digits)


def _name_problems(fields: Mapping[Any, object]) -> Iterator[str]:
    for name in fields:
        if not isinstance(name, str):
            yield f"expected text as the name of a field, got {shown(name)}"
    for name in fields.repeated if isinstance(fields, _Repeating) else ():
        yield f"expected every field once, got {shown(name)} again"


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise LayoutError([f"expected a document of at most {MOST_BYTES >> 20} MB, got {size / 2**20:.1f} MB"])


def _too_deep() -> str:
    return f"expected at most {MOST_LEVELS} levels of objects and lists inside each other, got more"


def _syntax_error(text: str, position: int, reason: str) -> str:
    line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
    is_like_a_name = len(text) < 1000 and "\n" not in text.strip() and not text.lstrip().startswith(("{", "["))
    hint = f", got {shown(text)}; a file is passed as a pathlib.Path" if is_like_a_name else ""
    return f"line {line}, column {column}: {reason}{hint}"
