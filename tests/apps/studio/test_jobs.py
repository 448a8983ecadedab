"""Jobs over HTTP, from the request to the picture."""

from __future__ import annotations

import base64
import io
import json
import threading
import time

import numpy as np
from PIL import Image

from occlusionformer.apps.studio.finished_jobs import Retention
from occlusionformer.generation import read_provenance
from occlusionformer.layout import Layout
from tests.apps.studio.fake import FakeGenerator, fruit, pixels_for
from tests.tables import for_each


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def events(stream) -> list[tuple[str, dict]]:
    """All events of a stream, to its end."""
    found, name = [], ""
    for line in stream.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            found.append((name, json.loads(line.removeprefix("data: "))))
    return found


def test_a_picture_is_that_of_its_seed_and_layout(plain, tmp_path):
    result = plain.draw(layout=fruit(), seed=7, images=3, model="embedded")
    assert [image["seed"] for image in result["images"]] == [7, 8, 9]
    for image in result["images"]:
        png = plain.client.get(image["png"])
        assert png.headers["content-type"] == "image/png"
        np.testing.assert_array_equal(pixels(png.content), pixels_for(Layout.model_validate(fruit()), image["seed"]))
        (tmp_path / "picture.png").write_bytes(png.content)
        assert read_provenance(tmp_path / "picture.png") == image["provenance"]


def test_the_record_names_the_model_as_clients_know_it(plain):
    """And not where it lies on this machine."""
    [image] = plain.draw(layout=fruit(1))["images"]
    assert image["provenance"]["model"] == "embedded"


def test_seed_is_the_jobs_then_the_layouts_then_a_fresh_one(plain):
    assert plain.draw(layout=fruit(5))["images"][0]["seed"] == 5
    assert plain.draw(layout=fruit(5), seed=6)["images"][0]["seed"] == 6
    assert len({plain.draw(layout=fruit())["images"][0]["seed"] for _ in range(3)}) == 3
    assert [i["seed"] for i in plain.draw(layout=fruit(), seed=2**63 - 1, images=2)["images"]] == [2**63 - 1, 0]


def test_maps_come_where_asked(plain):
    [bare] = plain.draw(layout=fruit(1))["images"]
    assert bare["weights"] is None
    assert [instance["mask"] for instance in bare["instances"]] == [None, None]

    [image] = plain.draw(layout=fruit(1), want_masks=True, want_weights=True)["images"]
    assert [instance["id"] for instance in image["instances"]] == ["apple", "pear"]
    apple = pixels(plain.client.get(image["instances"][0]["mask"]).content)
    assert apple.shape == (48, 64)
    assert apple[20, 20] == 204  # the fake is sure to 0.8
    assert apple[0, 0] == 0
    cutout = pixels(plain.client.get(image["instances"][1]["cutout"]).content)
    picture = pixels(plain.client.get(image["png"]).content)
    np.testing.assert_array_equal(cutout[..., :3], picture)
    np.testing.assert_array_equal(cutout[..., 3], pixels(plain.client.get(image["instances"][1]["mask"]).content))

    weights = image["weights"]
    shares = np.frombuffer(base64.b64decode(weights["data"]), np.uint8).reshape(2, weights["rows"], weights["columns"])
    assert (weights["rows"], weights["columns"]) == (3, 4)
    np.testing.assert_array_equal(shares[0], apple[::16, ::16])


def test_maps_that_are_not_there_are_not_found(plain):
    job = plain.draw(layout=fruit(1), want_masks=True)["job"]
    for path in ("images/1.png", "images/0/masks/2.png", "images/0/cutouts/2.png"):
        answer = plain.client.get(f"/api/jobs/{job}/{path}")
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"


def test_events_tell_of_every_step_and_end_with_the_result(serve):
    studio = serve(FakeGenerator(seconds_per_step=0.05))
    job = studio.client.post("/api/generate", json={"layout": fruit(1), "steps": 6, "preview_every": 2}).json()["job"]
    with studio.client.stream("GET", f"/api/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = events(stream)
    steps = [value["step"] for name, value in told if name == "progress"]
    assert steps == sorted(steps)
    assert {1, 2, 3, 4, 5} <= set(steps)
    left = [value["seconds_left"] for name, value in told if name == "progress" and value["step"] == 3]
    assert 0.1 < left[0] < 0.5
    previews = [value for name, value in told if name == "preview"]
    assert [preview["step"] for preview in previews] == [2, 4]
    src = previews[0]["images"][0]["src"]
    assert pixels(base64.b64decode(src.removeprefix("data:image/png;base64,"))).shape == (48, 64, 3)
    name, result = told[-1]
    assert name == "done"
    asked_later = studio.client.get(f"/api/jobs/{job}/result").json()
    assert {**result, "expires_in_seconds": 0} == {**asked_later, "expires_in_seconds": 0}


def test_no_previews_unless_wanted(serve):
    studio = serve(FakeGenerator(seconds_per_step=0.02))
    job = studio.client.post("/api/generate", json={"layout": fruit(1), "preview_every": 0}).json()["job"]
    with studio.client.stream("GET", f"/api/jobs/{job}/events") as stream:
        assert "preview" not in {name for name, _ in events(stream)}


def test_jobs_are_drawn_one_at_a_time_in_their_order(serve):
    generator = FakeGenerator(seconds_per_step=0.05)
    studio = serve(generator)
    started = [studio.client.post("/api/generate", json={"layout": fruit(seed)}).json() for seed in range(4)]
    assert [state["position"] for state in started] == sorted(state["position"] for state in started)
    assert started[-1]["position"] == 3
    with studio.client.stream("GET", f"/api/jobs/{started[-1]['job']}/events") as stream:
        told = events(stream)
    positions = [value["position"] for name, value in told if name == "queued"]
    assert positions == sorted(positions, reverse=True)
    assert positions[-1] in (0, 1), "0 when the stream is told between the end of one job and the start of the next"
    assert told[-1][0] == "done"
    assert generator.most_at_once == 1
    assert {studio.client.get(f"/api/jobs/{state['job']}").json()["status"] for state in started} == {"done"}


def test_a_full_line_turns_away_and_says_when_to_come_back(serve):
    go = threading.Event()
    studio = serve(FakeGenerator(before_step=lambda step: go.wait(20)), max_queue=2)
    answers = [studio.client.post("/api/generate", json={"layout": fruit(1)}) for _ in range(5)]
    full = [answer for answer in answers if answer.status_code == 429]
    assert len(full) >= 2
    assert {answer.json()["code"] for answer in full} == {"queue_full"}
    assert int(full[0].headers["Retry-After"]) >= 1
    go.set()
    for answer in answers:
        if answer.status_code == 202:
            assert studio.wait_for(answer.json()["job"])["status"] == "done"


def test_a_result_is_not_ready_before_it_is_there(serve):
    go = threading.Event()
    studio = serve(FakeGenerator(before_step=lambda step: go.wait(20)))
    job = studio.client.post("/api/generate", json={"layout": fruit(1)}).json()["job"]
    for path in ("result", "images/0.png"):
        assert studio.client.get(f"/api/jobs/{job}/{path}").json()["code"] == "not_ready"
    go.set()
    studio.wait_for(job)
    assert studio.client.get(f"/api/jobs/{job}/result").status_code == 200


def test_results_expire(serve):
    studio = serve(retention=Retention(seconds=0.2))
    job = studio.draw(layout=fruit(1))["job"]
    time.sleep(0.3)
    assert studio.client.get(f"/api/jobs/{job}").status_code == 404


def test_a_wish_with_everything_wrong_lists_everything(plain):
    body = {
        "layout": fruit(width=4096, prompt="x" * 3000),
        "steps": 500,
        "model": "/etc/passwd",
    }
    problems = plain.client.post("/api/generate", json=body).json()["problems"]
    assert {problem["field"] for problem in problems} == {"layout.width", "layout.prompt", "steps", "model"}


@for_each(
    ("change", "field"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"images": 5}, "images"),
        ({"steps": 0}, "steps"),
        ({"guidance": "3"}, "guidance"),
        ({"grounding_ratio": 1.5}, "grounding_ratio"),
        ({"strength": -0.1}, "strength"),
        ({"want_masks": 1}, "want_masks"),
        ({"model_path": "/tmp"}, "model_path"),
        ({"layout": fruit(width=50)}, "layout.width"),
        ({"layout": fruit(prompt="")}, "layout.prompt"),
        ({"layout": fruit(order={"front_to_back": ["apple", "cup"]})}, "layout.order.front_to_back[1]"),
        ({"layout": None}, "layout"),
    ],
)
def test_every_wrong_field_is_named(plain, change, field):
    answer = plain.client.post("/api/generate", json={"layout": fruit(1), **change})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"
    assert [problem["field"] for problem in answer.json()["problems"]] == [field]
