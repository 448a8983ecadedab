"""The operations of the API, shared by the HTTP routes and gradio's calls."""

from __future__ import annotations

import asyncio
from typing import Any

from occlusionformer.apps.studio.documents import check_layout, convert
from occlusionformer.apps.studio.job import Job
from occlusionformer.apps.studio.job_queue import JobQueue
from occlusionformer.apps.studio.limits import StudioLimits
from occlusionformer.apps.studio.responses import result_json, state_json
from occlusionformer.apps.studio.schemas import ConvertBody, GenerateBody, ValidateBody, job_request
from occlusionformer.apps.studio.shares import Turns
from occlusionformer.generation.vocabulary import LINKS


class Service:
    """All methods may raise ApiError. Slow work runs in other threads, clients taking turns."""

    def __init__(self, queue: JobQueue, limits: StudioLimits, *, grace: float, root_path: str = "") -> None:
        self.queue = queue
        self.limits = limits
        self.grace = grace
        self.root_path = root_path
        self.turns = Turns()

    def models(self) -> dict[str, Any]:
        catalogue = self.queue.catalogue
        return {"default": catalogue.default, "models": catalogue.as_json(), "limits": self.limits.as_json()}

    def vocabularies(self) -> dict[str, Any]:
        catalogue = self.queue.catalogue
        found = {name: catalogue.vocabulary(name) for name in catalogue.names}
        told = [{"model": name, **known.as_json(), "links": sorted(LINKS)} for name, known in found.items() if known]
        return {"vocabularies": told}

    async def validate(self, body: ValidateBody, client: str) -> dict[str, Any]:
        async with self.turns.turn(client):
            return await asyncio.to_thread(check_layout, body.layout, self.limits)

    async def convert(self, body: ConvertBody, client: str) -> dict[str, Any]:
        async with self.turns.turn(client):
            return await asyncio.to_thread(convert, body, self.limits)

    def start(self, body: GenerateBody, owner: str, client: str) -> Job:
        """Add a job to the queue."""
        catalogue = self.queue.catalogue
        return self.queue.submit(job_request(body, self.limits, catalogue.names, catalogue.default), owner, client)

    def state(self, job: Job) -> dict[str, Any]:
        return state_json(self.queue, job)

    def result(self, job: Job) -> dict[str, Any]:
        return result_json(self.queue, job, self.root_path)
