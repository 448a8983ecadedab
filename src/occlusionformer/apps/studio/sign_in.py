"""Who sends an Authorization header, at a bounded cost: passwords are counted first and hashed after that.

A wrong password counts against its user at its address, never against others who come from the same address, as all
do behind a proxy. A password that was right is remembered and never counted. One that was found wrong is remembered
too: a program that keeps sending last year's password costs nothing and locks nobody out.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from occlusionformer.apps.studio.authority import Authority, Credential
from occlusionformer.apps.studio.errors import ApiError
from occlusionformer.apps.studio.rates import RateLimiter

HASHED_AT_ONCE = 2
"""Passwords; each takes a core and 16 MB for a twentieth of a second."""

MOST_WAITING = 256
"""Passwords that wait to be hashed, over all users and addresses."""

WAITING_SECONDS = 5.0
"""When to come back after that."""

COUNTED = "wrong_password"


class SignIn:
    """Used in the event loop's thread; the hashing happens in two threads of its own."""

    def __init__(self, authority: Authority, limiter: RateLimiter) -> None:
        self._authority = authority
        self._limiter = limiter
        self._pool = ThreadPoolExecutor(HASHED_AT_ONCE, thread_name_prefix="studio-passwords")
        self._hashing: dict[bytes, asyncio.Future[bool]] = {}

    async def name_of(self, header: str, address: str) -> str:
        """The user's name. Raises ApiError: unauthorized, rate_limited or busy."""
        if not header:
            raise _unauthorized("expected a name and password, or a token")
        name = self._authority.remembered(header)
        if name is None:
            credential = self._authority.credential(header)
            if credential is None or not await self._is_right(credential, address):
                raise _unauthorized("wrong name, password or token")
            name = credential.name
        return name

    async def _is_right(self, credential: Credential, address: str) -> bool:
        if not credential.is_slow:
            return self._authority.check(credential)
        if credential.fingerprint not in self._hashing:
            self._hashing[credential.fingerprint] = self._start(credential, address)
        return await asyncio.shield(self._hashing[credential.fingerprint])

    def _start(self, credential: Credential, address: str) -> asyncio.Future[bool]:
        """Count it as wrong, and take that back if it is right. The same password sent twice at once is hashed once."""
        counted_as = f"{credential.name if credential.is_known else ''} at {network_of(address)}"
        if wait := self._limiter.take(counted_as, COUNTED):
            raise ApiError("rate_limited", "too many wrong passwords", retry_after=wait)
        if len(self._hashing) >= MOST_WAITING:
            self._limiter.give_back(counted_as, COUNTED)
            raise ApiError("busy", "too many people sign in at this moment", retry_after=WAITING_SECONDS)
        hashing = asyncio.get_running_loop().run_in_executor(self._pool, self._authority.check, credential)
        hashing.add_done_callback(self._ended(credential, counted_as))
        return hashing

    def _ended(self, credential: Credential, counted_as: str) -> Callable[[asyncio.Future[bool]], None]:
        def ended(hashing: asyncio.Future[bool]) -> None:
            del self._hashing[credential.fingerprint]
            if not hashing.cancelled() and hashing.exception() is None and hashing.result():
                self._limiter.give_back(counted_as, COUNTED)

        return ended


def network_of(address: str) -> str:
    """What one party can choose from: an IPv4 address, or the 64 bits of an IPv6 network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    mapped = found.ipv4_mapped  # type: ignore[union-attr]
    return str(mapped or ipaddress.ip_network((int(found) >> 64 << 64, 64)))


def _unauthorized(text: str) -> ApiError:
    challenge = 'Basic realm="occlusionformer studio", charset="UTF-8"'
    return ApiError("unauthorized", text, headers={"WWW-Authenticate": challenge})
