"""What the studio answers, path by path."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from starlette.responses import RedirectResponse, Response, StreamingResponse

from occlusionformer import __version__
from occlusionformer.apps.studio.documents import check_layout, convert
from occlusionformer.apps.studio.errors import ApiError, json_response
from occlusionformer.apps.studio.events import server_sent_events
from occlusionformer.apps.studio.job import Job
from occlusionformer.apps.studio.job_queue import JobQueue
from occlusionformer.apps.studio.limits import Limits
from occlusionformer.apps.studio.pictures import Picture
from occlusionformer.apps.studio.responses import result_json, state_json
from occlusionformer.apps.studio.schemas import ConvertBody, ValidateBody, parse_as, parse_job
from occlusionformer.apps.studio.shares import Turns
from occlusionformer.apps.studio.static_files import StaticFiles
from occlusionformer.apps.studio.table import Call, Route
from occlusionformer.layout import FORMATS, Layout

EXAMPLES = Path(__file__).with_name("examples")

NEVER_STORED = {"Cache-Control": "no-store"}


class Handlers:
    """One method for each path; all that is slow runs in another thread."""

    def __init__(
        self, queue: JobQueue, limits: Limits, *, grace: float, static: StaticFiles, root_path: str = ""
    ) -> None:
        self.queue = queue
        self.limits = limits
        self.grace = grace
        self.root_path = root_path
        self._static = static
        self._examples = read_examples()
        self._turns = Turns()

    def routes(self) -> list[Route]:
        """All of them, without the description of themselves."""
        job = "/api/jobs/{job}"
        image = f"{job}/images/{{picture}}"
        return [
            Route(method="GET", path="", summary="To the editor.", answer=self.to_editor),
            Route(method="GET", path="/", summary="The editor.", answer=self.editor),
            Route(method="GET", path="/static/{file}", summary="A file of the editor.", answer=self.file),
            Route(method="GET", path="/api/health", summary="Is the server ready?", answer=self.health),
            Route(method="GET", path="/api/models", summary="Models, and limits.", answer=self.models),
            Route(method="GET", path="/api/examples", summary="Layouts to start from.", answer=self.examples),
            Route(method="GET", path="/api/formats", summary="Layout formats.", answer=self.formats),
            Route(method="GET", path="/api/layout.schema.json", summary="Schema of a layout.", answer=self.schema),
            Route(method="POST", path="/api/validate", summary="Check a layout.", kind="compute", body="json",
                  answer=self.validate),
            Route(method="POST", path="/api/convert", summary="From one layout format to another.", kind="compute",
                  body="json", answer=self.convert),
            Route(method="POST", path="/api/generate", summary="Start a job.", kind="generate", body="json",
                  answer=self.generate),
            Route(method="GET", path=job, summary="How a job stands.", answer=self.job),
            Route(method="GET", path=f"{job}/events", summary="How a job stands, as it changes.", answer=self.events),
            Route(method="POST", path=f"{job}/cancel", summary="Stop a job.", answer=self.cancel),
            Route(method="GET", path=f"{job}/result", summary="What a job made.", answer=self.result),
            Route(method="GET", path=f"{image}.png", summary="A picture.", answer=self.picture),
            Route(method="GET", path=f"{image}/masks/{{instance}}.png", summary="Where it shows an instance.",
                  answer=self.mask),
            Route(method="GET", path=f"{image}/cutouts/{{instance}}.png", summary="An instance cut out of it.",
                  answer=self.cutout),
        ]  # fmt: skip

    async def to_editor(self, call: Call) -> Response:
        """Under a root path; the editor's own addresses are relative to the slash."""
        return RedirectResponse(f"{self.root_path}/", 308)

    async def editor(self, call: Call) -> Response:
        return self._static.response("index.html", call.headers.get("if-none-match"))

    async def file(self, call: Call) -> Response:
        return self._static.response(call.parameters["file"], call.headers.get("if-none-match"))

    async def health(self, call: Call) -> Response:
        catalogue = self.queue.catalogue
        status = catalogue.status(catalogue.default)
        told = {"status": status, "model": catalogue.default, "version": __version__, "queue": self.queue.counts()}
        return json_response(told, headers=NEVER_STORED)

    async def models(self, call: Call) -> Response:
        return json_response(self.models_json(), headers=NEVER_STORED)

    def models_json(self) -> dict[str, Any]:
        catalogue = self.queue.catalogue
        return {"default": catalogue.default, "models": catalogue.as_json(), "limits": self.limits.as_json()}

    async def examples(self, call: Call) -> Response:
        return json_response({"examples": self._examples})

    async def formats(self, call: Call) -> Response:
        found = [
            {"name": form.name, "description": form.description, "options": sorted(form.options)}
            for form in FORMATS.values()
        ]
        return json_response({"formats": found})

    async def schema(self, call: Call) -> Response:
        return json_response(Layout.model_json_schema())

    async def validate(self, call: Call) -> Response:
        return json_response(await self.validated(call.body, call.client.counted_as))

    async def validated(self, value: Any, client: str) -> dict[str, Any]:
        """Raises ApiError for a body without a layout."""
        body = parse_as(ValidateBody, value)
        self.limits.check_count(body.layout, "layout")
        async with self._turns.turn(client):
            return await asyncio.to_thread(check_layout, body.layout, self.limits)

    async def convert(self, call: Call) -> Response:
        return json_response(await self.converted(call.body, call.client.counted_as))

    async def converted(self, value: Any, client: str) -> dict[str, Any]:
        """Raises ApiError."""
        body = parse_as(ConvertBody, value)
        async with self._turns.turn(client):
            return await asyncio.to_thread(convert, body, self.limits)

    async def generate(self, call: Call) -> Response:
        job = self.start(call.body, call.client.name, call.client.counted_as)
        headers = {**NEVER_STORED, "Location": f"{self.root_path}/api/jobs/{job.id}"}
        return json_response(state_json(self.queue, job), status=202, headers=headers)

    def start(self, body: Any, owner: str, client: str) -> Job:
        """A new job in the queue; raises ApiError."""
        catalogue = self.queue.catalogue
        request = parse_job(body, self.limits, catalogue.names, catalogue.default)
        return self.queue.submit(request, owner, client)

    def find(self, call: Call) -> Job:
        return self.queue.find(call.parameters["job"], call.client.name)

    async def job(self, call: Call) -> Response:
        return json_response(state_json(self.queue, self.find(call)), headers=NEVER_STORED)

    async def events(self, call: Call) -> Response:
        stream = server_sent_events(self.queue, self.find(call), grace=self.grace, root_path=self.root_path)
        headers = {**NEVER_STORED, "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def cancel(self, call: Call) -> Response:
        job = self.find(call)
        self.queue.cancel(job)
        return json_response(state_json(self.queue, job), headers=NEVER_STORED)

    async def result(self, call: Call) -> Response:
        return json_response(result_json(self.queue, self.find(call), self.root_path), headers=NEVER_STORED)

    async def picture(self, call: Call) -> Response:
        return _png(self._picture(call).png)

    async def mask(self, call: Call) -> Response:
        picture, place = self._picture(call), int(call.parameters["instance"])
        return _png(_masks_up_to(picture, place)[place])

    async def cutout(self, call: Call) -> Response:
        picture, place = self._picture(call), int(call.parameters["instance"])
        _masks_up_to(picture, place)
        async with self._turns.turn(call.client.counted_as):
            return _png(await asyncio.to_thread(picture.cutout, place))

    def _picture(self, call: Call) -> Picture:
        job = self.find(call)
        if job.result is None:
            raise ApiError("not_ready", f"expected a job that is done, got one that is {job.state.status}")
        index = int(call.parameters["picture"])
        if index >= len(job.result.pictures):
            raise ApiError("not_found", f"expected a picture from 0 to {len(job.result.pictures) - 1}, got {index}")
        return job.result.pictures[index]


def _masks_up_to(picture: Picture, place: int) -> tuple[bytes, ...]:
    masks = picture.masks or ()
    if place >= len(masks):
        raise ApiError("not_found", f"no mask {place}: the picture has {len(masks)}")
    return masks


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png", headers={"Cache-Control": "private, max-age=1800, immutable"})


def read_examples(folder: Path = EXAMPLES) -> list[dict[str, Any]]:
    """The gallery, in the order of the file names; each is checked by reading it as a layout."""
    found = []
    for path in sorted(folder.glob("*.json")):
        entry = json.loads(path.read_text(encoding="utf-8"))
        Layout.model_validate(entry["layout"])
        found.append({"name": path.stem.partition("-")[2], "title": entry["title"], "layout": entry["layout"]})
    return found
