"""What gradio is given to read: its paths, and bodies made anew from the few fields that its client sends."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from occlusionformer.apps.studio.errors import ApiError, FieldProblem
from occlusionformer.apps.studio.table import PARAMETERS, Route
from occlusionformer.layout.problems import shown

FILE_MARK = "gradio.FileData"
"""gradio copies what such a value names, be it a file of this machine or an address."""

ENDPOINTS = {"generate": 1, "validate": 1, "convert": 1, "models": 0, "cancel": 1}
"""In the order gradio numbers them; how many arguments each takes."""

_PREFIX = "/gradio_api"

ROUTES = (
    Route(method="GET", path="/config", summary="What gradio's client starts with.", answer=None),
    Route(method="GET", path=f"{_PREFIX}/info", summary="gradio's list of calls.", answer=None),
    Route(method="POST", path=f"{_PREFIX}/queue/join", summary="A call.", kind="generate", body="json", answer=None),
    Route(method="GET", path=f"{_PREFIX}/queue/data", summary="How calls go on.", query={"session_hash": "session"},
          answer=None),
    Route(method="GET", path=f"{_PREFIX}/heartbeat/{{session}}", summary="The client is there.", answer=None),
    Route(method="POST", path=f"{_PREFIX}/cancel", summary="Stop a call.", body="json", answer=None),
    Route(method="POST", path=f"{_PREFIX}/reset", summary="Forget a call.", body="json", answer=None),
    Route(method="POST", path=f"{_PREFIX}/call/{{endpoint}}", summary="A call by name.", kind="generate", body="json",
          answer=None),
    Route(method="GET", path=f"{_PREFIX}/call/{{endpoint}}/{{event}}", summary="How it goes on.", answer=None),
)  # fmt: skip


def clean_body(path: str, body: Any, endpoint: str | None = None) -> dict[str, Any]:
    """The fields gradio needs, of the types it expects, for an endpoint or the one that the body numbers.

    Raises ApiError with every problem.
    """
    if not isinstance(body, dict):
        raise ApiError("invalid", f"expected an object, got {shown(body)}")
    fields = _FIELDS[path.removeprefix(_PREFIX) if not path.startswith(f"{_PREFIX}/call/") else "/call"]
    problems = [
        FieldProblem(name, f"expected {expected}, got {shown(body.get(name))}")
        for name, (expected, fits) in fields.items()
        if not fits(body.get(name))
    ]
    if not problems and "data" in fields:
        problems += _argument_problems(body["data"], endpoint or list(ENDPOINTS)[body["fn_index"]])
    if problems:
        raise ApiError("invalid", problems)
    return {name: body[name] for name in fields if name in body}


def _argument_problems(arguments: list[Any], endpoint: str) -> list[FieldProblem]:
    count = ENDPOINTS[endpoint]
    if len(arguments) != count:
        return [FieldProblem("data", f"expected {count} arguments for {endpoint}, got {len(arguments)}")]
    return [FieldProblem("data", "expected values without files")] if _names_a_file(arguments) else []


def check_endpoint(name: str) -> None:
    if name not in ENDPOINTS:
        raise ApiError("not_found", "no such path")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(PARAMETERS["session"], value) is not None


def _is_number_of_call(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(ENDPOINTS)


def _is_arguments(value: object) -> bool:
    return isinstance(value, list)


_SESSION = ("up to 64 letters, digits, - and _", _is_name)
_NUMBER = (f"a whole number below {len(ENDPOINTS)}", _is_number_of_call)
_ARGUMENTS = ("a list of arguments", _is_arguments)

_FIELDS: Mapping[str, Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "/queue/join": {"data": _ARGUMENTS, "fn_index": _NUMBER, "session_hash": _SESSION},
    "/cancel": {"session_hash": _SESSION, "fn_index": _NUMBER, "event_id": _SESSION},
    "/reset": {"event_id": _SESSION},
    "/call": {"data": _ARGUMENTS},
}


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
