"""Access control: the Host header, users, the page a request comes from, and request rates."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Scope

from occlusionformer.apps.studio.authority import Authority
from occlusionformer.apps.studio.errors import ApiError
from occlusionformer.apps.studio.rates import RateLimiter
from occlusionformer.apps.studio.sign_in import SignIn, network_of

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Sent with every response."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether a server on this address can be reached from its own machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_of(host: str, extra: Iterable[str] = ()) -> frozenset[str]:
    """The names a server on this address goes by.

    Behind an address of a network these are its own name, and addresses: a page of another site reaches a server
    under a name of that site only.
    """
    own = {host, *extra}
    if not is_loopback(host):
        own |= {socket.gethostname(), socket.getfqdn()}
    return frozenset(name.lower() for name in own | LOOPBACK_NAMES)


@dataclass(frozen=True)
class Client:
    """The sender of a request."""

    name: str
    """Of the user, empty where there are none."""
    address: str

    @property
    def counted_as(self) -> str:
        return f"user {self.name}" if self.name else f"address {network_of(self.address)}"


class Access:
    """Checks every request; raises ApiError for those that are not allowed."""

    def __init__(
        self,
        *,
        names: frozenset[str],
        shown_as: Iterable[str] = (),
        any_address: bool,
        authority: Authority | None,
        limiter: RateLimiter,
    ) -> None:
        """`shown_as`: names that pages of this server may have behind a proxy, whatever Host it passes on."""
        self._names = names
        self._any_address = any_address
        self._shown_as = frozenset(name.lower() for name in shown_as)
        self._sign_in = None if authority is None else SignIn(authority, limiter)
        self._limiter = limiter

    async def admit(self, scope: Scope, headers: Headers) -> Client:
        """Check the Host header, then the user, then the page that sent the request."""
        self._check_host(headers)
        address = (scope.get("client") or ("unknown",))[0]
        client = Client(await self._user(headers, address), address)
        self._check_origin(scope, headers)
        return client

    def check_rate(self, client: Client, kind: str) -> None:
        wait = self._limiter.take(client.counted_as, kind)
        if wait:
            raise ApiError("rate_limited", "too many requests", retry_after=wait)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """A browser says which page a request comes from; programs say nothing."""
        origin, host = headers.get("origin"), headers.get("host", "")
        own = {f"{scheme}://{name}".lower() for scheme in ("http", "https") for name in (host, *self._shown_as)}
        if origin is not None and origin.lower() not in own:
            raise ApiError("forbidden", "expected a request from a page of this server")
        is_visit = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") and not is_visit:
            raise ApiError("forbidden", "expected a request from a page of this server")

    def _check_host(self, headers: Headers) -> None:
        values = headers.getlist("host")
        name = _host_name(values[0]) if len(values) == 1 else None
        if name is None or not (name in self._names or (self._any_address and _is_address(name))):
            raise ApiError("malformed", "expected a Host that this server goes by")

    async def _user(self, headers: Headers, address: str) -> str:
        return "" if self._sign_in is None else await self._sign_in.name_of(headers.get("authorization", ""), address)


def _host_name(value: str) -> str | None:
    """The name in a Host header, without port, brackets and trailing dot."""
    if value.startswith("["):
        name, bracket, rest = value[1:].partition("]")
        well_formed = bracket and re.fullmatch("(:[0-9]*)?", rest)
    else:
        name, _, port = value.partition(":")
        well_formed = re.fullmatch("[0-9]*", port)
    return name.lower().rstrip(".") if name and well_formed else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
