"""Network settings: listening address and port, root path, trusted proxies, connection limits."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace

BACKLOG = 512
"""Connections waiting to be accepted by the operating system."""

OWN_PATHS = frozenset({"api", "static", "config", "gradio_api"})
"""First parts of the server's own paths."""


FILES_FOR_OTHERS = 128
"""File descriptors reserved for files other than connections."""


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """Numbers of connections, and times in seconds."""

    most: int = 512
    """Open connections. Above it, each new one closes one that is waiting for its client."""
    head_seconds: float = 10.0
    """For receiving the request line and headers."""
    unread_seconds: float = 30.0
    """For a client that does not read its response."""

    def within_open_files(self) -> ConnectionLimits:
        """The same limits with no more connections than this process may open files."""
        try:
            import resource
        except ImportError:  # Windows
            return self
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if allowed == resource.RLIM_INFINITY:
            return self
        return replace(self, most=max(1, min(self.most, max(allowed - FILES_FOR_OTHERS, allowed // 2))))


class ListeningError(ValueError):
    """An address, port, root path or proxy that cannot be used; `problems` says why."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problems = [problem]


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket that accepts connections. Raises ListeningError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)  # whoever is told the address may come before the server runs
    except OSError as error:
        made.close()
        raise ListeningError(listening_problem(error, host, port)) from None
    return made


def listening_problem(error: OSError, host: str, port: int) -> str:
    """The message for an error of the operating system: which option to change."""
    if error.errno == errno.EADDRINUSE:
        return f"port: expected a free one, got {port}, which another program listens on: choose another with --port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port: expected one that this user may listen on, mostly 1024 or above, got {port}"
    if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL):
        return f"host: expected an address of this machine, got {host!r}"
    return f"host: expected an address and port that can be listened on, got {host!r} and {port} ({error.strerror})"


def checked_root_path(path: str) -> str:
    """`/studio` for `/studio` and `/studio/`, empty for `/`. Raises ListeningError."""
    trimmed = path.rstrip("/")
    if trimmed and not re.fullmatch(r"(/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+", trimmed):
        raise ListeningError(f"root-path: expected a path such as /studio, got {path!r}")
    if trimmed.split("/")[1:2] and trimmed.split("/")[1] in OWN_PATHS:
        raise ListeningError(f"root-path: expected a path that is not the server's own, got {path!r}")
    return trimmed


def checked_proxies(proxies: Sequence[str]) -> list[str]:
    """Proxies as networks for uvicorn, IPv4 also in its IPv6-mapped form. Raises ListeningError."""
    found = []
    for proxy in proxies:
        try:
            network = ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            text = f"proxy: expected an address or a network such as 10.0.0.0/8, got {proxy!r}"
            raise ListeningError(text) from None
        found.append(str(network))
        if network.version == 4:
            found.append(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
    return found
