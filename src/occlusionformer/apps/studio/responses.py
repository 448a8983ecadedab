"""Jobs and results as JSON values of the API."""

from __future__ import annotations

from typing import Any

from occlusionformer.apps.studio.errors import ApiError, problems_as_json
from occlusionformer.apps.studio.job import Job
from occlusionformer.apps.studio.job_queue import JobQueue


def state_json(queue: JobQueue, job: Job) -> dict[str, Any]:
    """The state of a job."""
    state = job.state
    position, waiting = queue.place(job)
    return {
        "job": job.id,
        "status": state.status,
        "position": position,
        "waiting_seconds": _rounded(waiting),
        "step": state.step,
        "total": state.total,
        "seconds_left": _rounded(job.seconds_left()),
        "problems": problems_as_json(state.problems),
        "preview": None if state.preview is None else state.preview.as_json(),
    }


def result_json(queue: JobQueue, job: Job, root_path: str) -> dict[str, Any]:
    """The result of a job, with paths under `root_path`. Raises ApiError for a job without a result."""
    result = job.result
    if result is None:
        raise ApiError("not_ready", f"expected a job that is done, got one that is {job.state.status}")
    place_of_images = f"{root_path}/api/jobs/{job.id}/images"
    images = [
        {
            "index": index,
            "seed": picture.provenance["seed"],
            "width": picture.provenance["width"],
            "height": picture.provenance["height"],
            "png": f"{place_of_images}/{index}.png",
            "instances": [
                {
                    "id": name,
                    "mask": f"{place_of_images}/{index}/masks/{place}.png" if picture.masks else None,
                    "cutout": f"{place_of_images}/{index}/cutouts/{place}.png" if picture.masks else None,
                }
                for place, name in enumerate(result.instance_ids)
            ],
            "weights": None if picture.weights is None else picture.weights.as_json(),
            "provenance": picture.provenance,
        }
        for index, picture in enumerate(result.pictures)
    ]
    waited = (job.started or job.created) - job.created
    return {
        "job": job.id,
        "model": job.model,
        "expires_in_seconds": int(queue.expires_in(job)),
        "timings": {"waiting": round(waited, 4), **result.timings},
        "images": images,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
