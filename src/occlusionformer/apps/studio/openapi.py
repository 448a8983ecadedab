"""The description of the API for machines: OpenAPI 3.1, made from the table of paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from occlusionformer import __version__
from occlusionformer.apps.studio.errors import CODES
from occlusionformer.apps.studio.limits import Limits
from occlusionformer.apps.studio.schemas import ConvertBody, GenerateBody, ValidateBody
from occlusionformer.apps.studio.table import PARAMETERS, Route
from occlusionformer.layout.document import Document

BODIES: dict[str, type[Document]] = {
    "/api/generate": GenerateBody,
    "/api/validate": ValidateBody,
    "/api/convert": ConvertBody,
}

PLACE = "#/components/schemas/"


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


_TEXT, _WHOLE, _NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
_MAYBE_NUMBER, _MAYBE_WHOLE = {"type": ["number", "null"]}, {"type": ["integer", "null"]}
_ANY_OBJECT = {"type": "object"}
_PAIRS = {"type": "array", "items": {"type": "array", "items": _TEXT}}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _of(name: str) -> dict[str, str]:
    return {"$ref": f"{PLACE}{name}"}


SCHEMAS: dict[str, Any] = {
    "Problem": _object(field=_TEXT, message=_TEXT),
    "Refusal": _object(problems=_list(_of("Problem")), code={"enum": sorted(CODES)}),
    "Preview": _object(step=_WHOLE, images=_list(_object(index=_WHOLE, src=_TEXT))),
    "State": _object(
        job=_TEXT,
        status={"enum": ["queued", "running", "done", "failed", "cancelled"]},
        position=_WHOLE,
        waiting_seconds=_MAYBE_NUMBER,
        step=_WHOLE,
        total=_MAYBE_WHOLE,
        seconds_left=_MAYBE_NUMBER,
        problems=_list(_of("Problem")),
        preview={"anyOf": [_of("Preview"), {"type": "null"}]},
    ),
    "Result": _object(
        job=_TEXT,
        model=_TEXT,
        expires_in_seconds=_WHOLE,
        timings={"type": "object", "additionalProperties": _NUMBER},
        images=_list(_ANY_OBJECT),
    ),
    "Health": _object(
        status={"enum": ["loading", "ready", "failed"]},
        model=_TEXT,
        version=_TEXT,
        queue=_object(running=_WHOLE, waiting=_WHOLE, capacity=_WHOLE),
    ),
    "Models": _object(default=_TEXT, models=_list(_ANY_OBJECT), limits=_ANY_OBJECT),
    "Examples": _object(examples=_list(_object(name=_TEXT, title=_TEXT, layout=_ANY_OBJECT))),
    "Formats": _object(formats=_list(_object(name=_TEXT, description=_TEXT, options=_list(_TEXT)))),
    "Validity": _object(
        valid={"type": "boolean"},
        problems=_list(_of("Problem")),
        cycles=_PAIRS,
        relations={"anyOf": [_PAIRS, {"type": "null"}]},
        broken=_PAIRS,
    ),
    "Converted": _object(document={"type": ["string", "null"]}, layouts=_list(_ANY_OBJECT)),
}

ANSWERS: dict[str, tuple[str, Any]] = {
    "/api/health": ("application/json", _of("Health")),
    "/api/models": ("application/json", _of("Models")),
    "/api/examples": ("application/json", _of("Examples")),
    "/api/formats": ("application/json", _of("Formats")),
    "/api/validate": ("application/json", _of("Validity")),
    "/api/convert": ("application/json", _of("Converted")),
    "/api/generate": ("application/json", _of("State")),
    "/api/jobs/{job}": ("application/json", _of("State")),
    "/api/jobs/{job}/cancel": ("application/json", _of("State")),
    "/api/jobs/{job}/result": ("application/json", _of("Result")),
    "/api/jobs/{job}/events": ("text/event-stream", _TEXT),
}
"""Media type and schema of what is answered when all is well; pictures and open objects are left out."""


def describe(routes: Sequence[Route], limits: Limits, *, asks_for_user: bool, root_path: str) -> dict[str, Any]:
    """The OpenAPI document of the paths under /api."""
    schemas = dict(SCHEMAS)
    paths: dict[str, Any] = {}
    for route in routes:
        if route.path.startswith("/api/"):
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas, limits)
    security: dict[str, Any] = {}
    if asks_for_user:
        schemes = {"basic": {"type": "http", "scheme": "basic"}, "bearer": {"type": "http", "scheme": "bearer"}}
        security = {"security": [{"basic": []}, {"bearer": []}]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "OcclusionFormer studio", "version": __version__},
        "servers": [{"url": root_path or "/"}],
        "paths": paths,
        "components": {"schemas": schemas, **({"securitySchemes": schemes} if asks_for_user else {})},
        **security,
    }


def _operation(route: Route, schemas: dict[str, Any], limits: Limits) -> dict[str, Any]:
    names = [part.split("}")[0] for part in route.path.split("{")[1:]]
    media, schema = ANSWERS.get(route.path, ("image/png" if route.path.endswith(".png") else "application/json", {}))
    refusal = {"description": "Refused.", "content": {"application/json": {"schema": _of("Refusal")}}}
    status = "202" if route.path == "/api/generate" else "200"
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": "_".join([route.method.lower(), *(part.strip("{}") for part in route.path.split("/")[2:])]),
        "parameters": [_parameter(name) for name in names],
        "responses": {status: {"description": "Done.", "content": {media: {"schema": schema}}}, "4XX": refusal},
    }  # fmt: skip
    if route.path in BODIES:
        described = BODIES[route.path].model_json_schema(ref_template=f"{PLACE}{{model}}")
        schemas.update(described.pop("$defs", {}))
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": described}}}
        operation["description"] = f"At most {limits.body_bytes} bytes."
    return operation


def _parameter(name: str) -> dict[str, Any]:
    return {
        "name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{PARAMETERS[name]}$"},
    }  # fmt: skip
