"""Paths the server answers to, and what each costs: what is not in the table does not exist."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.responses import Response

from occlusionformer.apps.studio.access import Client
from occlusionformer.apps.studio.errors import ApiError

Kind = Literal["generate", "compute", "read"]
BodyKind = Literal["json", "none"]

PARAMETERS = {
    "job": r"[A-Za-z0-9_-]{22}",
    "picture": r"[0-9]",
    "instance": r"[0-9]{1,3}",
    "file": r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*\.[a-z0-9]+",
    "session": r"[A-Za-z0-9_-]{1,64}",
    "event": r"[A-Za-z0-9_-]{1,64}",
    "endpoint": r"[a-z]{1,32}",
}
"""What may stand in a path under each name."""


@dataclass(frozen=True)
class Call:
    """A request that has been let in and parsed."""

    parameters: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    """The value of its JSON body, None for requests without one."""
    client: Client
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One path and method."""

    method: Literal["GET", "POST"]
    path: str
    summary: str
    kind: Kind = "read"
    body: BodyKind = "none"
    answer: Callable[[Call], Awaitable[Response]] | None
    """None for those that gradio answers."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Names of what has to stand in the query, with what it may be (a key of PARAMETERS)."""

    @property
    def pattern(self) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", self.path)
        text = "".join(
            f"(?P<{part}>{PARAMETERS[part]})" if place % 2 else re.escape(part) for place, part in enumerate(parts)
        )
        return re.compile(text)


class Table:
    """Finds the route of a request."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._patterns = [(route.pattern, route) for route in routes]

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Raises ApiError for what is not in the table."""
        matches = [(route, match) for pattern, route in self._patterns if (match := pattern.fullmatch(path))]
        for route, match in matches:
            if route.method == method:
                return route, match.groupdict()
        if matches:
            allowed = ", ".join(sorted({route.method for route, _ in matches}))
            raise ApiError("method", f"expected {allowed}", headers={"Allow": allowed})
        raise ApiError("not_found", "no such path")
