"""The routes of the HTTP API and the editor."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Request
from starlette.responses import Response, StreamingResponse
from starlette.staticfiles import StaticFiles

from occlusionformer import __version__
from occlusionformer.apps.studio.access import Client
from occlusionformer.apps.studio.errors import ApiError, json_response
from occlusionformer.apps.studio.events import server_sent_events
from occlusionformer.apps.studio.job import Job
from occlusionformer.apps.studio.pictures import ResultPicture
from occlusionformer.apps.studio.schemas import ConvertBody, GenerateBody, ValidateBody
from occlusionformer.apps.studio.service import Service
from occlusionformer.layout import FORMATS, Layout

EXAMPLES = FilePath(__file__).with_name("examples")

EVENTS = "text/event-stream"

PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "Done."}}

NEVER_STORED = {"Cache-Control": "no-store"}

JobId = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{22}$", description="As told when the job was started.")]
PictureNumber = Annotated[int, Path(ge=0, le=9, description="From 0.")]
InstanceNumber = Annotated[int, Path(ge=0, le=999, description="From 0, in the order of the layout.")]


def client_of(request: Request) -> Client:
    """The sender of the request, as checked by the middleware."""
    return request.state.client


Sender = Annotated[Client, Depends(client_of)]


class Handlers:
    """One method for each route."""

    def __init__(self, service: Service, editor: StaticFiles) -> None:
        self.service = service
        self._editor = editor

    def add_routes(self, app: FastAPI) -> None:
        get, post = app.router.get, app.router.post
        app.router.get("/", include_in_schema=False)(self.editor)
        for path, answer, told, summary in (
            ("health", self.health, "Health", "Is the server ready?"),
            ("models", self.models, "Models", "Models, and limits."),
            ("examples", self.examples, "ExampleLayouts", "Layouts to start from."),
            ("formats", self.formats, "Formats", "Layout formats."),
            ("vocabularies", self.vocabularies, "Vocabularies", "The words that models know."),
        ):
            get(f"/api/{path}", summary=summary, responses=_done(told))(answer)
        get("/api/layout.schema.json", summary="Schema of a layout.", responses={200: {"description": "Done."}})(
            self.schema
        )
        few = [Depends(self.check_count)]
        size = f"At most {self.service.limits.body_bytes} bytes."
        post("/api/validate", summary="Check a layout.", description=size, dependencies=few,
             responses=_done("Validity"))(self.validate)  # fmt: skip
        post("/api/convert", summary="From one layout format to another.", description=size,
             responses=_done("Converted"))(self.convert)  # fmt: skip
        post("/api/generate", summary="Start a job.", description=size, dependencies=few, status_code=202,
             responses=_done("State", 202))(self.generate)  # fmt: skip
        self._add_job_routes(app)

    def _add_job_routes(self, app: FastAPI) -> None:
        get, post, job = app.router.get, app.router.post, "/api/jobs/{job}"
        state = _done("State")
        get(job, summary="How a job stands.", responses=state)(self.job)
        get(f"{job}/events", summary="How a job stands, as it changes.", response_class=StreamingResponse,
            responses={200: {"content": {EVENTS: {"schema": {"type": "string"}}}}})(self.events)  # fmt: skip
        post(f"{job}/cancel", summary="Stop a job.", responses=state)(self.cancel)
        get(f"{job}/result", summary="What a job made.", responses=_done("Result"))(self.result)
        image = f"{job}/images/{{picture}}"
        get(f"{image}.png", summary="A picture.", response_class=Response, responses=PNG)(self.picture)
        for name, answer, summary in (
            ("masks", self.mask, "Where a picture shows an instance."),
            ("cutouts", self.cutout, "An instance cut out of a picture."),
        ):
            get(f"{image}/{name}/{{instance}}.png", summary=summary, response_class=Response, responses=PNG)(answer)

    async def editor(self, request: Request) -> Response:
        return await self._editor.get_response("index.html", request.scope)

    async def health(self) -> Response:
        catalogue = self.service.queue.catalogue
        status, queue = catalogue.status(catalogue.default), self.service.queue.counts()
        told = {"status": status, "model": catalogue.default, "version": __version__, "queue": queue}
        return json_response(told, headers=NEVER_STORED)

    async def models(self) -> Response:
        return json_response(self.service.models(), headers=NEVER_STORED)

    async def examples(self) -> Response:
        return json_response({"examples": read_examples()})

    async def formats(self) -> Response:
        found = [
            {
                "name": form.name,
                "description": form.description,
                "order": form.order,
                "options": sorted(form.options),
            }
            for form in FORMATS.values()
        ]
        return json_response({"formats": found})

    async def vocabularies(self) -> Response:
        return json_response(self.service.vocabularies(), headers=NEVER_STORED)

    async def schema(self) -> Response:
        return json_response(Layout.model_json_schema())

    async def check_count(self, request: Request) -> None:
        """Refuse layouts with too many instances before they are parsed."""
        body = await request.json()
        self.service.limits.check_count(body.get("layout") if isinstance(body, dict) else None, "layout")

    async def validate(self, body: ValidateBody, sender: Sender) -> Response:
        return json_response(await self.service.validate(body, sender.counted_as))

    async def convert(self, body: ConvertBody, sender: Sender) -> Response:
        return json_response(await self.service.convert(body, sender.counted_as))

    async def generate(self, body: GenerateBody, sender: Sender) -> Response:
        job = self.service.start(body, sender.name, sender.counted_as)
        headers = {**NEVER_STORED, "Location": f"{self.service.root_path}/api/jobs/{job.id}"}
        return json_response(self.service.state(job), status=202, headers=headers)

    async def job(self, job: JobId, sender: Sender) -> Response:
        return json_response(self.service.state(self._find(job, sender)), headers=NEVER_STORED)

    async def events(self, job: JobId, sender: Sender) -> Response:
        stream = server_sent_events(self.service, self._find(job, sender))
        headers = {**NEVER_STORED, "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type=EVENTS, headers=headers)

    async def cancel(self, job: JobId, sender: Sender) -> Response:
        found = self._find(job, sender)
        self.service.queue.cancel(found)
        return json_response(self.service.state(found), headers=NEVER_STORED)

    async def result(self, job: JobId, sender: Sender) -> Response:
        return json_response(self.service.result(self._find(job, sender)), headers=NEVER_STORED)

    async def picture(self, job: JobId, picture: PictureNumber, sender: Sender) -> Response:
        return _png(self._picture(job, picture, sender).png)

    async def mask(self, job: JobId, picture: PictureNumber, instance: InstanceNumber, sender: Sender) -> Response:
        return _png(_masks_up_to(self._picture(job, picture, sender), instance)[instance])

    async def cutout(self, job: JobId, picture: PictureNumber, instance: InstanceNumber, sender: Sender) -> Response:
        found = self._picture(job, picture, sender)
        _masks_up_to(found, instance)
        async with self.service.turns.turn(sender.counted_as):
            return _png(await asyncio.to_thread(found.cutout, instance))

    def _find(self, job: str, sender: Client) -> Job:
        return self.service.queue.find(job, sender.name)

    def _picture(self, job: str, number: int, sender: Client) -> ResultPicture:
        found = self._find(job, sender)
        if found.result is None:
            raise ApiError("not_ready", f"expected a job that is done, got one that is {found.state.status}")
        pictures = found.result.pictures
        if number >= len(pictures):
            raise ApiError("not_found", f"expected a picture from 0 to {len(pictures) - 1}, got {number}")
        return pictures[number]


def _png(content: bytes) -> Response:
    """May be cached: its address holds the job's id, and its content never changes."""
    return Response(content, media_type="image/png", headers={"Cache-Control": "private, max-age=1800, immutable"})


def _done(schema: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """OpenAPI description of a successful response; `schema` is the name of a class in response_schemas."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {status: {"content": content, "description": "Done."}}


def _masks_up_to(picture: ResultPicture, place: int) -> tuple[bytes, ...]:
    masks = picture.masks or ()
    if place >= len(masks):
        raise ApiError("not_found", f"no mask {place}: the picture has {len(masks)}")
    return masks


@cache
def read_examples(folder: FilePath = EXAMPLES) -> list[dict[str, Any]]:
    """The example layouts in the order of their file names, each checked."""
    found = []
    for path in sorted(folder.glob("*.json")):
        entry = json.loads(path.read_text(encoding="utf-8"))
        Layout.model_validate(entry["layout"])
        found.append({"name": path.stem.partition("-")[2], "title": entry["title"], "layout": entry["layout"]})
    return found
