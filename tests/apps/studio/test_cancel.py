"""Jobs that are stopped, left, or that fail: the device is free again and the server goes on."""

from __future__ import annotations

import gc
import threading
import time
import weakref

from occlusionformer.apps.studio import job_queue
from occlusionformer.apps.studio.limits import StudioLimits
from occlusionformer.generation import GenerationInterruptedError
from tests.apps.studio.fake import FakeGenerator, fruit


def until(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def start(studio, **body) -> str:
    return studio.client.post("/api/generate", json={"layout": fruit(1), **body}).json()["job"]


def test_cancel_stops_before_the_next_step_is_over(serve):
    """The step that is being drawn when the cancel arrives is the last."""
    in_step, go = threading.Semaphore(0), threading.Semaphore(0)

    def before_step(step: int) -> None:
        in_step.release()
        assert go.acquire(timeout=20)

    generator = FakeGenerator(before_step=before_step)
    studio = serve(generator)
    job = start(studio, steps=50)
    for _ in range(3):
        assert in_step.acquire(timeout=20)
        go.release()
    assert in_step.acquire(timeout=20)
    assert studio.client.post(f"/api/jobs/{job}/cancel").status_code == 200
    go.release()
    state = studio.wait_for(job)
    assert (state["status"], state["step"], state["total"]) == ("cancelled", 3, 50)
    assert generator.steps_done == 4
    assert studio.client.get(f"/api/jobs/{job}/result").json()["code"] == "not_ready"


def test_a_waiting_job_is_cancelled_at_once_and_never_drawn(serve):
    go = threading.Event()
    generator = FakeGenerator(before_step=lambda step: go.wait(20))
    studio = serve(generator)
    first, second, third = start(studio), start(studio), start(studio)
    assert studio.client.post(f"/api/jobs/{second}/cancel").json()["status"] == "cancelled"
    assert studio.client.get(f"/api/jobs/{third}").json()["position"] == 1
    go.set()
    assert studio.wait_for(first)["status"] == "done"
    assert studio.wait_for(third)["status"] == "done"
    assert generator.steps_done == 8


def test_cancelling_what_has_ended_changes_nothing(serve):
    studio = serve()
    result = studio.draw(layout=fruit(1))
    assert studio.client.post(f"/api/jobs/{result['job']}/cancel").json()["status"] == "done"
    assert studio.client.get(result["images"][0]["png"]).status_code == 200


def test_a_job_that_takes_too_long_is_stopped(serve):
    """Others wait; what is refused names the limit, and the next job is drawn."""
    studio = serve(FakeGenerator(seconds_per_step=0.1), limits=StudioLimits(job_seconds=1))
    state = studio.wait_for(start(studio, steps=90))
    assert (state["status"], 5 < state["step"] < 30) == ("failed", True)
    message = "expected a job of at most 1 seconds: ask for fewer pictures, steps or pixels"
    assert state["problems"] == [{"field": "", "message": message}]
    assert studio.wait_for(start(studio, steps=2))["status"] == "done"
    assert studio.client.get("/api/models").json()["limits"]["job_seconds"] == 1


def test_a_job_that_everybody_has_left_is_cancelled(serve):
    studio = serve(FakeGenerator(seconds_per_step=0.1), grace=0.2)
    left, kept, unwatched = start(studio, steps=100), start(studio, keep=True), start(studio)
    for job in (left, kept):
        with studio.client.stream("GET", f"/api/jobs/{job}/events") as stream:
            next(stream.iter_lines())
    until(lambda: studio.client.get(f"/api/jobs/{left}").json()["status"] == "cancelled", 9)
    until(lambda: studio.client.get(f"/api/jobs/{kept}").json()["status"] == "done")
    until(lambda: studio.client.get(f"/api/jobs/{unwatched}").json()["status"] == "done")


def test_a_page_that_is_loaded_again_finds_its_job(serve):
    studio = serve(FakeGenerator(seconds_per_step=0.05), grace=0.3)
    job = start(studio, steps=20)
    with studio.client.stream("GET", f"/api/jobs/{job}/events") as stream:
        next(stream.iter_lines())
    assert studio.wait_for(job)["status"] == "done"


class Failing(FakeGenerator):
    """Raises what it is given, once per job."""

    errors: list[BaseException]

    def generate_watched(self, requests, *, on_step, on_preview):
        pictures = super().generate_watched(requests, on_step=on_step, on_preview=on_preview)
        if self.errors:
            raise self.errors.pop(0)
        return pictures


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


def test_failures_end_the_job_and_not_the_server(serve):
    generator = Failing()
    generator.errors = [
        RuntimeError("secret /place/on/this/machine"),
        OutOfMemoryError("tried to allocate 80 GB"),
        ValueError("steps: expected fewer"),
        KeyError("anything"),
    ]
    studio = serve(generator)
    states = [studio.wait_for(start(studio)) for _ in range(5)]
    assert [state["status"] for state in states] == ["failed"] * 4 + ["done"]
    problems = [state["problems"] for state in states[:4]]
    assert problems == [
        [{"field": "", "message": "the model failed (RuntimeError)"}],
        [{"field": "", "message": "not enough memory for this picture"}],
        [{"field": "steps", "message": "expected fewer"}],
        [{"field": "", "message": "the model failed (KeyError)"}],
    ]
    assert studio.client.get("/api/health").json()["status"] == "ready"


class Heavy:
    """Stands for the tensors of a job."""


class Holding(FakeGenerator):
    """Holds something heavy while it draws; remembers only whether it is still alive."""

    held: list[weakref.ref]

    def generate_watched(self, requests, *, on_step, on_preview):
        heavy = Heavy()
        self.held.append(weakref.ref(heavy))
        if requests[0].seed == 13:
            heavy.myself = heavy  # as tracebacks and modules do
            raise RuntimeError("failed with something heavy in its frame")
        return super().generate_watched(requests, on_step=on_step, on_preview=on_preview)


def test_failed_and_cancelled_jobs_hold_nothing(serve, monkeypatch):
    generator = Holding(seconds_per_step=0.02)
    generator.held = []
    studio = serve(generator)
    monkeypatch.setattr(job_queue.logger, "disabled", True)  # pytest keeps the tracebacks of what is logged
    gc.disable()
    try:
        assert studio.wait_for(start(studio, seed=13))["status"] == "failed"
        job = start(studio, seed=1, steps=90)
        until(lambda: len(generator.held) == 2)
        studio.client.post(f"/api/jobs/{job}/cancel")
        assert studio.wait_for(job)["status"] == "cancelled"
        assert [held() for held in generator.held] == [None, None]
    finally:
        gc.enable()


def test_a_model_that_does_not_load_is_told(serve):
    def load(spec):
        raise OSError("no such file: /secret/place")

    studio = serve(load=load)
    until(lambda: studio.client.get("/api/health").json()["status"] == "failed")
    answer = studio.client.post("/api/generate", json={"layout": fruit(1)})
    assert answer.status_code == 503
    assert answer.json() == {
        "problems": [{"field": "model", "message": "embedded could not be loaded"}],
        "code": "model_failed",
    }


def test_a_job_waits_while_the_model_is_loaded(serve):
    go = threading.Event()

    def load(spec):
        assert go.wait(20)
        return FakeGenerator()

    studio = serve(load=load)
    assert studio.client.get("/api/models").json()["models"] == [
        {"name": "embedded", "status": "loading", "defaults": None}
    ]
    job = start(studio)
    odd = start(studio, layout=fruit(1, height=50))
    assert studio.client.get(f"/api/jobs/{job}").json()["status"] == "queued"
    go.set()
    assert studio.wait_for(job)["status"] == "done"
    state = studio.wait_for(odd)
    assert state["status"] == "failed"
    assert state["problems"] == [
        {"field": "layout.height", "message": "expected a multiple of 16, got 50; the nearest is 48"}
    ]


def test_other_models_are_loaded_when_they_are_wanted(serve, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    loaded = []

    def load(spec):
        loaded.append(spec)
        return FakeGenerator()

    studio = serve(load=load, models=("embedded", str(folder)))
    studio.draw(layout=fruit(1))
    assert loaded == ["embedded"]
    result = studio.draw(layout=fruit(1), model="mine")
    assert loaded == ["embedded", str(folder)]
    assert result["model"] == "mine"
    assert str(tmp_path) not in studio.client.get("/api/models").text


def test_a_generator_without_previews_is_enough(serve):
    class Plain:
        def generate(self, requests, *, on_step=None):
            if on_step is not None and on_step(1, 1) is False:
                raise GenerationInterruptedError(1, 1)
            return FakeGenerator().generate(requests)

    studio = serve(Plain())
    assert studio.draw(layout=fruit(3))["images"][0]["seed"] == 3
    assert studio.client.get("/api/models").json()["models"][0]["defaults"] is None


def test_stopping_the_server_stops_the_job(serve):
    generator = FakeGenerator(seconds_per_step=0.05)
    studio = serve(generator)
    start(studio, steps=100)
    until(lambda: generator.steps_done > 1)
    assert studio.studio.queue.close(5)
    done = generator.steps_done
    time.sleep(0.15)
    assert generator.steps_done == done < 100
