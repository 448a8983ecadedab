"""Entries of the users file: names with hashed passwords, and hashed tokens.

    python -m occlusionformer.apps.studio.passwords ada --file studio-users

asks for a password and adds a line to the file, which only its owner can read; `--token` makes a token instead, shown
once. Without `--file` the line is printed.
"""

from __future__ import annotations

import argparse
import getpass
import hashlib
import hmac
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

COST, BLOCK, LANES = 2**14, 8, 1
"""Parameters of scrypt: 16 MB and a twentieth of a second per password."""

SHORTEST_PASSWORD = 8

OWNER_ALONE = 0o600
"""Mode of a new users file."""


@dataclass(frozen=True)
class Entry:
    """One line of the users file."""

    name: str
    salt: bytes
    """Empty for tokens, which are long and random, so that a fast hash is enough."""
    digest: bytes

    def fits(self, secret: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(_digest(secret, self.salt), self.digest)

    def line(self) -> str:
        if not self.salt:
            return f"{self.name}:sha256:{self.digest.hex()}"
        return f"{self.name}:scrypt:{self.salt.hex()}:{self.digest.hex()}"


def _digest(secret: str, salt: bytes) -> bytes:
    data = secret.encode(errors="surrogatepass")
    if not salt:
        return hashlib.sha256(data).digest()
    return hashlib.scrypt(data, salt=salt, n=COST, r=BLOCK, p=LANES, maxmem=2**26)


def hash_password(name: str, password: str) -> Entry:
    salt = secrets.token_bytes(16)
    return Entry(name, salt, _digest(password, salt))


def new_token(name: str) -> tuple[str, Entry]:
    """A new token and its entry for the users file."""
    token = secrets.token_urlsafe(32)
    return token, Entry(name, b"", _digest(token, b""))


def add_line(path: Path, line: str) -> None:
    """Append to the file; a new file is readable by its owner only."""
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, OWNER_ALONE), "a", encoding="utf-8") as file:
        file.write(line + "\n")


def main() -> None:
    """Make a line of the users file."""
    parser = argparse.ArgumentParser(prog="python -m occlusionformer.apps.studio.passwords", description=main.__doc__)
    parser.add_argument("name")
    parser.add_argument("--token", action="store_true", help="a token for programs instead of a password")
    parser.add_argument("--file", type=Path, help="add the line to this file instead of printing it")
    asked = parser.parse_args()
    if not asked.name or asked.name != asked.name.strip() or ":" in asked.name or asked.name.startswith("#"):
        parser.error(f"name: expected text without colons and spaces around it, got {asked.name!r}")
    if not asked.name.isprintable():
        parser.error(f"name: expected characters that can be printed, got {asked.name!r}")
    if asked.token:
        token, entry = new_token(asked.name)
        sys.stderr.write(f"token, shown only now: {token}\n")
    else:
        password = getpass.getpass("password: ")
        if len(password) < SHORTEST_PASSWORD or password != getpass.getpass("again: "):
            parser.error(f"password: expected at least {SHORTEST_PASSWORD} characters, twice the same")
        entry = hash_password(asked.name, password)
    if asked.file is None:
        sys.stdout.write(entry.line() + "\n")
        return
    try:
        add_line(asked.file, entry.line())
    except OSError as error:
        parser.error(f"file: expected one that can be written, got {str(asked.file)!r} ({error.strerror})")


if __name__ == "__main__":
    main()
