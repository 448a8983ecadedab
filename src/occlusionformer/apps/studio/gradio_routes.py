"""Routes to gradio: only the paths its client needs, with checked bodies, sessions and calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path, Query, Request
from pydantic import AfterValidator, ConfigDict, Field
from starlette.responses import Response

from occlusionformer.apps.studio.errors import ApiError, FieldProblem
from occlusionformer.apps.studio.gradio_forward import Forwarded
from occlusionformer.apps.studio.gradio_sessions import GradioSessions
from occlusionformer.apps.studio.handlers import Sender
from occlusionformer.apps.studio.lazy_app import LazyApplication
from occlusionformer.layout import LayoutError
from occlusionformer.layout.document import Document
from occlusionformer.layout.problems import shown

FILE_MARK = "gradio.FileData"
"""Marks values whose file or address gradio would fetch; they are refused."""

Endpoint = Literal["generate", "validate", "convert", "models", "cancel"]
"""Names of the endpoints, in the order in which gradio numbers them."""

ARGUMENTS: dict[Endpoint, int] = {"generate": 1, "validate": 1, "convert": 1, "models": 0, "cancel": 1}
"""Number of arguments of each endpoint."""

PREFIX = "/gradio_api"

NAME = "^[A-Za-z0-9_-]{1,64}$"


def _checked_name(value: str) -> str:
    if not value.isascii() or not 0 < len(value) <= 64 or not value.replace("-", "").replace("_", "a").isalnum():
        raise LayoutError(f"expected up to 64 letters, digits, - and _, got {shown(value)}")
    return value


Name = Annotated[str, AfterValidator(_checked_name)]
NameInPath = Annotated[str, Path(pattern=NAME)]
NamesInQuery = Annotated[list[Annotated[str, Field(pattern=NAME)]], Query(min_length=1, max_length=1)]
Number = Annotated[int, Field(strict=True, ge=0, lt=len(ARGUMENTS))]


class CallBody(Document):
    """A call by name; other fields are ignored."""

    model_config = ConfigDict(extra="ignore")

    data: list[Any]


class JoinBody(CallBody):
    """A call by number, in a session."""

    fn_index: Number
    session_hash: Name


class ResetBody(Document):
    """A call to be forgotten."""

    model_config = ConfigDict(extra="ignore")

    event_id: Name


class CancelBody(ResetBody):
    """A call to be stopped."""

    fn_index: Number
    session_hash: Name


class GradioRoutes:
    """Each handler checks the request and passes it on."""

    def __init__(self, gradio: LazyApplication) -> None:
        self._gradio = gradio
        self._sessions = GradioSessions()

    def add_routes(self, app: FastAPI) -> None:
        for method, path, answer in (
            ("GET", "/config", self.forward),
            ("GET", f"{PREFIX}/info", self.forward_with_query),
            ("POST", f"{PREFIX}/queue/join", self.join),
            ("GET", f"{PREFIX}/queue/data", self.data),
            ("GET", f"{PREFIX}/heartbeat/{{session}}", self.heartbeat),
            ("POST", f"{PREFIX}/cancel", self.cancel),
            ("POST", f"{PREFIX}/reset", self.reset),
            ("POST", f"{PREFIX}/call/{{endpoint}}", self.call),
            ("GET", f"{PREFIX}/call/{{endpoint}}/{{event}}", self.called),
        ):
            app.router.add_api_route(path, answer, methods=[method], include_in_schema=False)

    async def forward(self, sender: Sender) -> Response:
        return self._forwarded(sender)

    async def forward_with_query(self, request: Request, sender: Sender) -> Response:
        return self._forwarded(sender, query=request.url.query)

    async def join(self, body: JoinBody, sender: Sender) -> Response:
        self._sessions.check_free(sender.name, body.session_hash)
        _check_arguments(body.data, list(ARGUMENTS)[body.fn_index])
        self._sessions.hold(sender.name, body.session_hash)
        return self._forwarded(sender, body=self._renamed(body, sender))

    async def data(self, session_hash: NamesInQuery, sender: Sender) -> Response:
        self._sessions.check_held(sender.name, session_hash[0])
        inner = self._sessions.inner_name(sender.name, session_hash[0])
        return self._forwarded(sender, query=f"session_hash={inner}")

    async def heartbeat(self, session: NameInPath, sender: Sender) -> Response:
        self._sessions.check_free(sender.name, session)
        inner = self._sessions.inner_name(sender.name, session)
        return self._forwarded(sender, path=f"{PREFIX}/heartbeat/{inner}")

    async def cancel(self, body: CancelBody, sender: Sender) -> Response:
        self._sessions.check_held(sender.name, body.event_id)
        return self._forwarded(sender, body=self._renamed(body, sender))

    async def reset(self, body: ResetBody, sender: Sender) -> Response:
        self._sessions.check_held(sender.name, body.event_id)
        return self._forwarded(sender, body=dict(body))

    async def call(self, endpoint: Endpoint, body: CallBody, sender: Sender) -> Response:
        _check_arguments(body.data, endpoint)
        return self._forwarded(sender, body=dict(body))

    async def called(self, endpoint: Endpoint, event: NameInPath, sender: Sender) -> Response:
        self._sessions.check_held(sender.name, event)
        return self._forwarded(sender)

    def _renamed(self, body: JoinBody | CancelBody, sender: Sender) -> dict[str, Any]:
        return {**dict(body), "session_hash": self._sessions.inner_name(sender.name, body.session_hash)}

    def _forwarded(
        self, sender: Sender, *, path: str | None = None, query: str = "", body: Mapping[str, Any] | None = None
    ) -> Forwarded:
        changes: dict[str, Any] = {"query_string": query.encode()}
        if path is not None:
            changes |= {"path": path, "raw_path": path.encode()}
        return Forwarded(self._gradio, self._sessions, sender, changes, body)


def _check_arguments(arguments: list[Any], endpoint: Endpoint) -> None:
    """Raises ApiError for a wrong number of arguments, and for files among them."""
    count = ARGUMENTS[endpoint]
    if len(arguments) != count:
        text = f"expected {count} arguments for {endpoint}, got {len(arguments)}"
        raise ApiError("invalid", [FieldProblem("data", text)])
    if _names_a_file(arguments):
        raise ApiError("invalid", [FieldProblem("data", "expected values without files")])


def _names_a_file(value: object) -> bool:
    pending = [value]
    while pending:
        part = pending.pop()
        if part == FILE_MARK:
            return True
        if isinstance(part, Mapping):
            pending += part.values()
        elif isinstance(part, list):
            pending += part
    return False
