"""Rates, finished jobs and names of models, by themselves."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from occlusionformer.apps.studio.catalogue import Catalogue, public_name
from occlusionformer.apps.studio.finished_jobs import FinishedJobs, Retention
from occlusionformer.apps.studio.job import Job, JobResult
from occlusionformer.apps.studio.pictures import keep_preview
from occlusionformer.apps.studio.rates import Rate, RateLimiter, Rates
from occlusionformer.generation import FormingPictures


def test_buckets_fill_again_with_time():
    now = 0.0
    limiter = RateLimiter(Rates(read=Rate(2, 0.5)), clock=lambda: now)
    assert [limiter.take("ada", "read") for _ in range(3)] == [0, 0, 2.0]
    assert limiter.take("bob", "read") == 0
    assert limiter.take("ada", "generate") == 0
    now = 1.0
    assert limiter.take("ada", "read") == 1.0
    now = 2.0
    assert [limiter.take("ada", "read") for _ in range(2)] == [0, 2.0]
    limiter.give_back("ada", "read")
    assert limiter.take("ada", "read") == 0
    now = 1000.0
    assert [limiter.take("ada", "read") for _ in range(3)] == [0, 0, 2.0]
    now = 2000.0
    limiter.give_back("ada", "read")
    assert [limiter.take("ada", "read") for _ in range(3)] == [0, 0, 2.0], "never more than the burst"


def test_only_so_many_clients_are_remembered():
    limiter = RateLimiter(Rates(read=Rate(1, 0.001)), most_clients=3, clock=lambda: 0.0)
    for client in "abcd":
        limiter.take(client, "read")
    assert [limiter.take(client, "read") > 0 for client in "dcb"] == [True, True, True]
    assert limiter.take("a", "read") == 0


def done_job(num_bytes: int) -> Job:
    job = Job(request=None, model="m", owner="")
    job.result = JobResult(pictures=(), instance_ids=(), timings={}, num_bytes=num_bytes)
    return job


def test_the_oldest_results_go_first():
    now = 0.0
    archive = FinishedJobs(Retention(jobs=3, num_bytes=100, seconds=10), clock=lambda: now)
    jobs = [done_job(30) for _ in range(4)]
    for job in jobs:
        archive.add(job)
    assert [archive.get(job.id) is job for job in jobs] == [False, True, True, True]
    large = done_job(95)
    archive.add(large)
    assert (len(archive), archive.num_bytes) == (1, 95)
    huge = done_job(500)
    archive.add(huge)
    assert (len(archive), archive.num_bytes, archive.get(huge.id)) == (1, 500, huge)
    now = 4.0
    assert archive.expires_in(huge.id) == 6.0
    now = 11.0
    assert archive.get(huge.id) is None
    assert archive.num_bytes == 0


def test_ids_cannot_be_guessed():
    ids = {Job(request=None, model="m", owner="").id for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(name) for name in ids} == {22}


def test_models_are_named_without_their_place(tmp_path):
    folder = tmp_path / "my-model"
    folder.mkdir()
    assert public_name(str(folder)) == "my-model"
    assert public_name("flux-dev:/home/ada/branch") == "flux-dev"
    assert public_name("embedded") == "embedded"
    with pytest.raises(ValueError, match="names that differ"):
        Catalogue([str(folder), str(folder)])


def test_a_preview_is_a_picture_of_its_own():
    """The model may hand out the same picture again, as its result."""
    image = Image.new("RGB", (1024, 768))
    preview = keep_preview(FormingPictures(step=1, total=2, positions=(0,), images=lambda: [image]))
    assert image.size == (1024, 768)
    sent = base64.b64decode(preview.images[0][1].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(sent)).size == (512, 384)
