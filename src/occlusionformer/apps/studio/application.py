"""The studio as a FastAPI application behind its middleware: API, editor, and gradio's protocol."""

from __future__ import annotations

import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from occlusionformer import __version__
from occlusionformer.apps.studio.access import Access
from occlusionformer.apps.studio.errors import ApiError, problems_of_request
from occlusionformer.apps.studio.gradio_routes import GradioRoutes
from occlusionformer.apps.studio.handlers import Handlers
from occlusionformer.apps.studio.lazy_app import LazyApplication
from occlusionformer.apps.studio.middleware import Admission, SecurityHeaders, UnderPath, add_security_headers
from occlusionformer.apps.studio.service import Service
from occlusionformer.apps.studio.strict_json import JsonRoute

EDITOR = Path(__file__).with_name("static")


class EditorFiles(StaticFiles):
    """Starlette's static files without its threads: the files are small, and threads are slow while a model loads."""

    config_checked = True
    types: ClassVar[dict[str, str]] = {".webp": "image/webp"}
    """Those that Python knows only from 3.13 on; before, a machine without a list of its own calls them text."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            raise StarletteHTTPException(405, headers={"Allow": "GET, HEAD"})
        try:
            full_path, found = self.lookup_path(path)
        except (OSError, ValueError):  # a name too long for the file system, or with a null byte
            full_path, found = "", None
        if found is None or not stat.S_ISREG(found.st_mode):
            raise StarletteHTTPException(404)
        response = self.file_response(full_path, found, scope)
        if response.status_code != 200:  # not modified
            return response
        headers = {name: response.headers[name] for name in ("content-type", "etag", "last-modified")}
        headers["content-type"] = self.types.get(Path(full_path).suffix, headers["content-type"])
        return Response(Path(full_path).read_bytes(), headers=headers)


REFUSED = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}


class StudioApi(FastAPI):
    """FastAPI with response schemas and security schemes in its OpenAPI description.

    Responses are built by hand, so their schemas are imported only when the description is asked for.
    """

    def __init__(self, *, asks_for_user: bool, **settings: Any) -> None:
        self._asks_for_user = asks_for_user
        super().__init__(**settings)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            from occlusionformer.apps.studio.response_schemas import ANSWERS

            described = super().openapi()
            _, schemas = models_json_schema(ANSWERS, ref_template="#/components/schemas/{model}")
            described["components"]["schemas"] |= schemas["$defs"]
            if self._asks_for_user:
                schemes = {name: {"type": "http", "scheme": name} for name in ("basic", "bearer")}
                described["components"]["securitySchemes"] = schemes
                described["security"] = [{name: []} for name in schemes]
        return super().openapi()


def studio_application(
    service: Service, gradio: LazyApplication | None, *, access: Access, asks_for_user: bool
) -> FastAPI:
    """The complete application: routes, static files, error handlers and middleware."""
    app = StudioApi(
        asks_for_user=asks_for_user,
        title="OcclusionFormer studio",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": service.root_path or "/"}],
        lifespan=_lifespan(gradio),
        responses={status: {"content": REFUSED, "description": "Refused."} for status in ("4XX", "503")},
        generate_unique_id_function=_operation_id,
    )
    app.state.limits, app.state.turns = service.limits, service.turns
    app.router.route_class = JsonRoute
    editor = EditorFiles(directory=EDITOR)
    Handlers(service, editor).add_routes(app)
    if gradio is not None:
        GradioRoutes(gradio).add_routes(app)
    app.mount("/static", editor)
    app.add_exception_handler(ApiError, _answer_api_error)
    app.add_exception_handler(StarletteHTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(Exception, _answer_unexpected_error)
    app.add_middleware(Admission, access=access, limits=service.limits)
    app.add_middleware(UnderPath, root_path=service.root_path)
    app.add_middleware(SecurityHeaders)
    return app


def _lifespan(gradio: LazyApplication | None) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if gradio is None:
            yield
        else:
            async with gradio.running():
                yield

    return lifespan


def _operation_id(route: APIRoute) -> str:
    """`get_jobs_job_events` for GET /api/jobs/{job}/events."""
    return "_".join([*sorted(route.methods or ()), *re.sub("[{}]", "", route.path).split("/")[2:]]).lower()


async def _answer_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """Errors of the router and of Starlette's static files."""
    assert isinstance(error, HTTPException | StarletteHTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return ApiError("method", f"expected {allowed}", headers={"Allow": allowed}).response()
    if error.status_code in (401, 404):
        return ApiError("not_found", "no such path").response()
    return ApiError("malformed", str(error.detail)).response()


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    """404 where a path parameter does not fit its pattern, 422 with all problems otherwise."""
    assert isinstance(error, RequestValidationError)
    if any(each["loc"][0] == "path" for each in error.errors()):
        return ApiError("not_found", "no such path").response()
    return ApiError("invalid", problems_of_request(error.errors())).response()


async def _answer_unexpected_error(request: Request, error: Exception) -> Response:
    """500. Starlette raises the error again afterwards, so that it is logged."""
    response = ApiError("internal", "the server failed; its log says more").response(close=True)
    add_security_headers(response.headers)
    return response
