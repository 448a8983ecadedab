"""Error responses: status, code, and every problem with the field it concerns."""

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
"""HTTP status of each error code."""


MOST_LISTED = 100
"""Most problems in one response."""


@dataclass(frozen=True)
class FieldProblem:
    """One problem; `field` is a path into the body, or empty."""

    field: str
    message: str

    def as_json(self) -> dict[str, str]:
        return {"field": self.field, "message": self.message}


def problems_as_json(problems: Sequence[FieldProblem]) -> list[dict[str, str]]:
    """Problems as JSON, at most MOST_LISTED and then how many more there are."""
    found = [problem.as_json() for problem in problems[:MOST_LISTED]]
    rest = len(problems) - len(found)
    return [*found, {"field": "", "message": f"and {rest} problems more"}] if rest else found


class ApiError(Exception):
    """A request that is refused, as a status, a code and its problems."""

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
        told = "; ".join(
            f"{each['field']}: {each['message']}".removeprefix(": ") for each in problems_as_json(self.problems)
        )
        super().__init__(told)
        self.code = code
        self.status = CODES[code]
        waiting = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after + 0.5)))}
        self.headers = {**(headers or {}), **waiting}

    def as_json(self) -> dict[str, Any]:
        return {"problems": problems_as_json(self.problems), "code": self.code}

    def response(self, *, close: bool = False) -> Response:
        """`close` ends the connection, so that the rest of a refused body is not read."""
        closing = {"Connection": "close"} if close else {}
        return json_response(self.as_json(), status=self.status, headers={**self.headers, **closing})


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON in ASCII: messages may quote text that is not valid Unicode."""
    return Response(json.dumps(value, allow_nan=False), status, dict(headers or {}), "application/json")


def problems_under(error: LayoutError, parent: Path = ()) -> list[FieldProblem]:
    """The problems of a layout or document that was sent at `parent`."""
    return [FieldProblem(path_text(detail.path), detail.text) for detail in error.under(parent).details]


def problems_of_request(errors: Iterable[Mapping[str, Any]]) -> list[FieldProblem]:
    """FastAPI's validation errors of a body or query; those of documents are LayoutErrors inside them."""
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
    """Problems from lines of "field: message", as models raise them; `fields` are the known field names."""
    known = set(fields)
    found = []
    for line in lines:
        name, colon, message = line.partition(": ")
        found.append(FieldProblem(name, message) if colon and name in known else FieldProblem("", line))
    return found
