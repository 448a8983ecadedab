"""Who may use the studio: names with hashed passwords, and hashed tokens, in a file.

    python -m occlusionformer.apps.studio.passwords ada >> studio-users

asks for a password and prints a line for the file; `--token` makes a token instead, shown once.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import getpass
import hashlib
import hmac
import secrets
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

COST, BLOCK, LANES = 2**14, 8, 1
"""Of scrypt: 16 MB and a twentieth of a second for every guess."""

REMEMBERED = 256
"""Credentials that were right before and are not hashed again."""

LONGEST_CREDENTIAL = 1024


class AuthFileError(ValueError):
    """An auth file that cannot be used; `problems` holds one line for each thing wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Entry:
    """One line of the file."""

    name: str
    salt: bytes
    """Empty for tokens: they are random and long, so that a fast hash will do."""
    digest: bytes

    def fits(self, secret: str) -> bool:
        """In a time that does not depend on where the secret is wrong."""
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
    """A token, and what the file keeps of it."""
    token = secrets.token_urlsafe(32)
    return token, Entry(name, b"", _digest(token, b""))


def read_auth_file(path: Path) -> Authority:
    """Raises AuthFileError with every line that is wrong, OSError for a file that cannot be read."""
    entries: list[Entry] = []
    problems: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            try:
                entries.append(_parse(line.strip()))
            except ValueError:
                problems.append(
                    f"auth-file: line {number}: expected NAME:scrypt:SALT:HASH or NAME:sha256:HASH as printed by "
                    "python -m occlusionformer.apps.studio.passwords"
                )
    names = [entry.name for entry in entries if entry.salt]
    problems += [f"auth-file: expected every name once, got {name!r} again" for name in _repeated(names)]
    if not entries and not problems:
        problems.append("auth-file: expected at least one name or token, got none")
    if problems:
        raise AuthFileError(problems)
    return Authority(entries)


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _parse(line: str) -> Entry:
    name, method, *rest = line.split(":")
    parts = [bytes.fromhex(part) for part in rest]
    lengths = {"scrypt": [16, 64], "sha256": [32]}.get(method)
    if not name or [len(part) for part in parts] != lengths:
        raise ValueError(line)
    return Entry(name, parts[0], parts[1]) if method == "scrypt" else Entry(name, b"", parts[0])


class Authority:
    """Tells who sent a request; safe to ask from several threads."""

    def __init__(self, entries: list[Entry]) -> None:
        self._passwords = {entry.name: entry for entry in entries if entry.salt}
        self._tokens = [entry for entry in entries if not entry.salt]
        self._nobody = hash_password("", secrets.token_hex())
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, str] = OrderedDict()
        self._lock = threading.Lock()
        self._hashing = threading.Semaphore(2)

    def remembers(self, header: str) -> str | None:
        """The name behind an Authorization header that was right before; costs nothing."""
        with self._lock:
            return self._known.get(self._fingerprint(header))

    def name_of(self, header: str) -> str | None:
        """The name behind an Authorization header, None when it is wrong. Takes as long for unknown names."""
        scheme, _, value = header.partition(" ")
        if len(header) > LONGEST_CREDENTIAL:
            return None
        if scheme.lower() == "bearer":
            name = self._of_token(value.strip())
        elif scheme.lower() == "basic":
            name = self._of_password(value.strip())
        else:
            return None
        if name is not None:
            with self._lock:
                self._known[self._fingerprint(header)] = name
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return name

    def _fingerprint(self, header: str) -> bytes:
        return hmac.digest(self._key, header.encode(errors="surrogatepass"), "sha256")

    def _of_token(self, token: str) -> str | None:
        fitting = [entry.name for entry in self._tokens if entry.fits(token)]
        return fitting[0] if fitting else None

    def _of_password(self, encoded: str) -> str | None:
        try:
            name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        entry = self._passwords.get(name, self._nobody)
        with self._hashing:
            right = entry.fits(password)
        return name if right and colon and name in self._passwords else None


def main() -> None:
    """Print a line for an auth file."""
    parser = argparse.ArgumentParser(prog="python -m occlusionformer.apps.studio.passwords", description=main.__doc__)
    parser.add_argument("name")
    parser.add_argument("--token", action="store_true", help="a token for programs instead of a password")
    asked = parser.parse_args()
    if not asked.name or ":" in asked.name or "\n" in asked.name or asked.name.startswith("#"):
        parser.error(f"name: expected text without colons and line breaks, got {asked.name!r}")
    if asked.token:
        token, entry = new_token(asked.name)
        sys.stderr.write(f"token, shown only now: {token}\n")
    else:
        password = getpass.getpass("password: ")
        if len(password) < 8 or password != getpass.getpass("again: "):
            parser.error("password: expected at least 8 characters, twice the same")
        entry = hash_password(asked.name, password)
    sys.stdout.write(entry.line() + "\n")


if __name__ == "__main__":
    main()
