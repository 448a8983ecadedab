"""Checks Authorization headers against the tokens and passwords of the users file."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from occlusionformer.apps.studio.passwords import Entry, hash_password

REMEMBERED = 256
"""Number of right credentials that are remembered; of wrong ones four times as many. Neither is hashed again."""

LONGEST_CREDENTIAL = 1024


@dataclass(frozen=True, kw_only=True)
class Credential:
    """The credential in a header, not checked yet."""

    fingerprint: bytes
    """Keyed hash of the header, kept in memory in place of the header."""
    name: str
    """Empty for a token that is unknown."""
    is_known: bool
    """Whether a user of this name exists."""
    is_slow: bool
    """Whether checking it is slow, as for passwords."""
    secret: str = field(repr=False)


class Authority:
    """Thread-safe."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._passwords = {entry.name: entry for entry in entries if entry.salt}
        self._tokens = [entry for entry in entries if not entry.salt]
        self._nobody = hash_password("", secrets.token_hex())
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, str] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def remembered(self, header: str) -> str | None:
        """The user's name if this header was found right before."""
        with self._lock:
            return self._right.get(self._fingerprint(header))

    def credential(self, header: str) -> Credential | None:
        """The credential in a header; None if it is malformed, or was found wrong before."""
        scheme, _, value = header.partition(" ")
        fingerprint = self._fingerprint(header)
        with self._lock:
            wrong_before = fingerprint in self._wrong
        if len(header) > LONGEST_CREDENTIAL or wrong_before:
            return None
        if scheme.lower() == "bearer":
            return self._of_token(fingerprint, value.strip())
        return _of_password(fingerprint, value.strip(), self._passwords) if scheme.lower() == "basic" else None

    def check(self, credential: Credential) -> bool:
        """Check a credential and remember the result. Unknown names take as long as known ones."""
        if credential.is_slow:
            entry = self._passwords.get(credential.name, self._nobody)
            right = entry.fits(credential.secret) and credential.is_known
        else:
            right = credential.is_known
        with self._lock:
            if right:
                _remember(self._right, credential.fingerprint, credential.name, REMEMBERED)
            else:
                _remember(self._wrong, credential.fingerprint, None, 4 * REMEMBERED)
        return right

    def _fingerprint(self, header: str) -> bytes:
        return hmac.digest(self._key, header.encode(errors="surrogatepass"), "sha256")

    def _of_token(self, fingerprint: bytes, token: str) -> Credential:
        """Tokens are long and random, so that comparing them is quick and guessing them is hopeless."""
        fitting = [entry.name for entry in self._tokens if entry.fits(token)]
        return Credential(
            fingerprint=fingerprint,
            name=fitting[0] if fitting else "",
            is_known=bool(fitting),
            is_slow=False,
            secret=token,
        )


def _of_password(fingerprint: bytes, encoded: str, names: dict[str, Entry]) -> Credential | None:
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    if not colon:
        return None
    return Credential(fingerprint=fingerprint, name=name, is_known=name in names, is_slow=True, secret=password)


def _remember(memory: OrderedDict, fingerprint: bytes, value: str | None, most: int) -> None:
    memory[fingerprint] = value
    while len(memory) > most:
        memory.popitem(last=False)
