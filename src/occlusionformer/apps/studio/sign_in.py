"""Signing in with bounded cost: passwords are counted before they are hashed.

A wrong password counts against its user at its address, not against other users at the same address, since behind a
proxy all users may share one. Right passwords are remembered and not counted again. Wrong ones are remembered too: a
program that keeps sending an old password costs nothing and locks nobody out.
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
"""Passwords hashed concurrently; each uses a core and 16 MB for a twentieth of a second."""

MOST_WAITING = 256
"""Most passwords waiting to be hashed."""

WAITING_SECONDS = 5.0
"""Retry-After when too many are waiting."""

COUNTED = "wrong_password"


class SignIn:
    """Only for use in the event loop's thread; passwords are hashed in a thread pool of their own."""

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
        """Count the password as wrong, hash it, and undo the count if it is right."""
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
    """The unit in which addresses are counted: an IPv4 address, or an IPv6 /64 network."""
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
