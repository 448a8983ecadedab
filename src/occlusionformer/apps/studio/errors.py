"""Requests that are not served: a status, a code, and every problem with its place in what was sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from occlusionformer.layout import LayoutError
from occlusionformer.layout.problems import Path, path_text, shown

CODES = {
    "malformed": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method": 405,
    "slow": 408,
    "not_ready": 409,
    "too_large": 413,
    "content_type": 415,
    "invalid": 422,
    "rate_limited": 429,
    "queue_full": 429,
    "internal": 500,
    "busy": 503,
    "model_failed": 503,
}
"""HTTP status of each code. A full queue is the client's pace, not the server's fault."""


MOST_LISTED = 100
"""Problems in one answer."""


@dataclass(frozen=True)
class FieldProblem:
    """One thing wrong; `field` is a path into the body, or empty."""

    field: str
    message: str

    def as_json(self) -> dict[str, str]:
        return {"field": self.field, "message": self.message}


def listed(problems: Sequence[FieldProblem]) -> list[dict[str, str]]:
    """Problems for a client; the number of those beyond MOST_LISTED is told."""
    found = [problem.as_json() for problem in problems[:MOST_LISTED]]
    rest = len(problems) - len(found)
    return [*found, {"field": "", "message": f"and {rest} problems more"}] if rest else found


class ApiError(Exception):
    """A request that is not served."""

    def __init__(
        self,
        code: str,
        problems: Sequence[FieldProblem] | str,
        *,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.problems = (FieldProblem("", problems),) if isinstance(problems, str) else tuple(problems)
        assert self.problems, "a refusal without a problem"
        told = "; ".join(f"{each['field']}: {each['message']}".removeprefix(": ") for each in listed(self.problems))
        super().__init__(told)
        self.code = code
        self.status = CODES[code]
        waiting = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after + 0.5)))}
        self.headers = {**(headers or {}), **waiting}

    def as_json(self) -> dict[str, Any]:
        return {"problems": listed(self.problems), "code": self.code}

    def response(self, *, close: bool = False) -> Response:
        """`close`: end the connection, so that nothing more of a refused body is taken."""
        closing = {"Connection": "close"} if close else {}
        return json_response(self.as_json(), status=self.status, headers={**self.headers, **closing})


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """ASCII JSON: text that is no valid Unicode can be quoted back."""
    return Response(json.dumps(value, allow_nan=False), status, dict(headers or {}), "application/json")


def problems_under(error: LayoutError, parent: Path = ()) -> list[FieldProblem]:
    """The problems of a layout or document that was sent at `parent`."""
    return [FieldProblem(path_text(detail.path), detail.text) for detail in error.under(parent).details]


def problems_of_request(errors: Iterable[Mapping[str, Any]]) -> list[FieldProblem]:
    """What FastAPI found in a body or query, in our words; documents tell their own problems."""
    found = []
    for error in errors:
        place, *path = error["loc"]
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, LayoutError):
            found += problems_under(cause, tuple(path))
        elif place == "body":
            found.append(FieldProblem(path_text(tuple(path)), f"expected an object, got {shown(error['input'])}"))
        else:
            found.append(FieldProblem(str(path[0]), f"expected one {path[0]} in the {place}: {error['msg']}"))
    return list(dict.fromkeys(found))


def problems_of_lines(lines: Iterable[str], fields: Iterable[str]) -> list[FieldProblem]:
    """Problems written "field: message", as models raise them; `fields` are the names that may be meant."""
    known = set(fields)
    found = []
    for line in lines:
        name, colon, message = line.partition(": ")
        found.append(FieldProblem(name, message) if colon and name in known else FieldProblem("", line))
    return found
