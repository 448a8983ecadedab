"""The users file: names with hashed passwords and tokens. Only its owner may read it."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from occlusionformer.apps.studio.passwords import Entry

MOST_BYTES = 2**20

DIGITS = {"scrypt": {"salt": 32, "hash": 128}, "sha256": {"hash": 64}}
"""Number of hexadecimal digits of each part of a line, by method."""


class AuthFileError(ValueError):
    """A users file that cannot be used; `problems` has a line for each problem and contains no secrets."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_users_file(path: Path) -> list[Entry]:
    """Entries of the file. Raises AuthFileError with all its problems."""
    lines = _text_of(path).splitlines()
    entries: list[Entry] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            found = _problems_of(line.strip())
            problems += [f"auth-file: line {number}: {text}" for text in found]
            entries += [] if found else [_parsed(line.strip())]
    names = [entry.name for entry in entries if entry.salt]
    repeated = sorted({name for name in names if names.count(name) > 1})
    problems += [f"auth-file: expected every name once, got {name!r} again" for name in repeated]
    if not entries and not problems:
        problems.append("auth-file: expected at least one name or token, got none")
    if problems:
        raise AuthFileError(problems)
    return entries


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            _check_mode(path, os.fstat(file.fileno()))
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        text = f"auth-file: expected a file that can be read, got {str(path)!r} ({error.strerror})"
        raise AuthFileError([text]) from None
    if len(content) > MOST_BYTES:
        raise AuthFileError([f"auth-file: expected at most {MOST_BYTES} bytes, got more in {str(path)!r}"])
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        text = f"auth-file: expected UTF-8 text, got byte {content[error.start]:#04x} at {error.start} in {str(path)!r}"
        raise AuthFileError([text]) from None


def _check_mode(path: Path, found: os.stat_result) -> None:
    """Refuse a file that others may read or write: with the hashes, passwords can be guessed offline.

    A file of root that its reader's group may read is allowed: containers are given secrets this way.
    """
    mode = stat.S_IMODE(found.st_mode)
    is_given_by_root = os.name == "posix" and found.st_uid == 0 != os.geteuid()
    allowed = stat.S_IRWXU | (stat.S_IRGRP if is_given_by_root else 0)
    if os.name == "posix" and stat.S_ISREG(found.st_mode) and mode & ~allowed:
        raise AuthFileError(
            [f"auth-file: expected a file for its owner alone, got mode {mode:04o}: chmod 600 {shlex.quote(str(path))}"]
        )


def _problems_of(line: str) -> list[str]:
    """Problems of a line. They never quote what stands in place of a hash: it may be a password."""
    name, colon, rest = line.partition(":")
    method, *parts = rest.split(":")
    if not colon or method not in DIGITS:
        return ["expected NAME:scrypt:SALT:HASH or NAME:sha256:HASH as made by python -m "
                "occlusionformer.apps.studio.passwords"]  # fmt: skip
    wanted = DIGITS[method]
    found = [] if name.strip() else ["expected a name in front of the first colon"]
    if len(parts) != len(wanted):
        form = ":".join(wanted).upper()
        return [*found, f"expected NAME:{method}:{form}, got {len(parts)} parts after {method}"]
    for (part, digits), value in zip(wanted.items(), parts, strict=True):
        if len(value) != digits:
            found.append(f"{part}: expected {digits} hexadecimal digits, got {len(value)} characters")
        elif not all(digit in "0123456789abcdefABCDEF" for digit in value):
            found.append(f"{part}: expected {digits} hexadecimal digits, got other characters")
    return found


def _parsed(line: str) -> Entry:
    name, method, *parts = line.split(":")
    values = [bytes.fromhex(part) for part in parts]
    return Entry(name, values[0], values[1]) if method == "scrypt" else Entry(name, b"", values[0])
