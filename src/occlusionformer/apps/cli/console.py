"""How a command ends: what it prints, where, and with which exit code."""

from __future__ import annotations

import errno
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer

BAD_INPUT = 2
FAILURE = 1
INTERRUPTED = 130
"""128 and the number of SIGINT, as shells count."""


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a terminal's cursor, changes its colours or turns its text around, and what UTF-8 cannot hold."""


def printable(line: str) -> str:
    """A line of text from anywhere as a terminal may show it: escape sequences stand there as they are written."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), line)


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """A value as JSON that a terminal may show; reading it gives the same value."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


BAD_PATHS = {errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
"""What the system says of a path that somebody gave wrongly."""


class RefusedError(ValueError):
    """Input that a command does not take; `problems` holds one line for each thing wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class CommandOutput:
    """The output of a command: lines for a person, or a single JSON value."""

    as_json: bool
    quiet: bool = False
    """Whether warnings and notes are left out."""

    def result(self, value: Any, lines: Sequence[str]) -> None:
        """The result on stdout: `value` as JSON, or `lines`."""
        typer.echo(json_text(value) if self.as_json else "\n".join(map(printable, lines)))

    def note(self, line: str) -> None:
        """A note on stderr that is not part of the result."""
        if not self.quiet:
            typer.echo(printable(line), err=True)

    def problems(self, problems: Sequence[str]) -> None:
        """Everything wrong with the input, one a line on stderr, or as JSON on stdout."""
        if self.as_json:
            typer.echo(json_text({"problems": list(problems)}))
        else:
            typer.echo("\n".join(map(printable, problems)), err=True)

    def failure(self, text: str) -> None:
        """Report a failure that is not caused by the input."""
        if self.as_json:
            typer.echo(json_text({"error": text}, indent=None))
        else:
            typer.echo("\n".join(map(printable, text.split("\n"))), err=True)


@contextmanager
def ending(as_json: bool, *, quiet: bool = False) -> Iterator[CommandOutput]:
    """Turn what a command raises into messages and exit codes.

    ValueError, and a path that names nothing or something else, is the user's input, any other OSError and RuntimeError
    the world's fault; anything else is ours and keeps its traceback.
    """
    outcome = CommandOutput(as_json, quiet)
    try:
        with _warnings_as_notes(outcome):
            yield outcome
    except KeyboardInterrupt:
        outcome.failure("interrupted: nothing was written")
        raise typer.Exit(INTERRUPTED) from None
    except ValueError as error:
        outcome.problems(problems_of(error))
        raise typer.Exit(BAD_INPUT) from None
    except (OSError, RuntimeError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno in BAD_PATHS and error.filename:
            outcome.problems([f"{error.filename}: {(error.strerror or str(error)).lower()}"])
            raise typer.Exit(BAD_INPUT) from None
        if isinstance(error, (NotImplementedError, RecursionError, typer.Exit, typer.Abort)):
            raise
        outcome.failure(f"{type(error).__name__}: {error}")
        raise typer.Exit(FAILURE) from None


@contextmanager
def _warnings_as_notes(outcome: CommandOutput) -> Iterator[None]:
    """What the library warns about, without the place in its code.

    Pillow warns of what it reads all the same; whatever keeps a picture from being read is an error with its name.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        try:
            yield
        finally:
            for text in dict.fromkeys(str(warning.message) for warning in caught):
                outcome.note(f"warning: {text}")


def problems_of(error: ValueError) -> list[str]:
    """The problems an error lists, or the lines of its text."""
    listed = getattr(error, "problems", None)
    return list(listed) if listed else str(error).splitlines()
