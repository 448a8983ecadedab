"""Whatever is sent: an answer in time, never an error of the server, and the next picture is as it should be."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import contextmanager

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlusionformer.layout import FORMATS
from tests.apps.studio.fake import fruit
from tests.properties import examples
from tests.tables import for_each

SLOWEST_ANSWER = 20.0
"""Seconds; a second on a core of one's own, but tests share theirs."""

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["apple", "pear", "native", "coco", "embedded", "error", "break", "<b>", "../..", "\x00"])
)
names = st.sampled_from(
    ["layout", "prompt", "width", "height", "instances", "order", "box", "id", "caption", "region", "points", "size",
     "counts", "front_to_back", "pairs", "depths", "front", "behind", "seed", "steps", "document", "from", "to",
     "options", "version", "cycles", "closure", "opacity", "data", "fn_index", "session_hash"]
) | st.text(max_size=5)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5), max_leaves=15
)


@st.composite
def spoilt_bodies(draw):
    """A job with one part, anywhere, replaced by anything."""
    body = {"layout": fruit(1), "document": json.dumps(fruit()), "from": "native", "to": "coco", "steps": 1}
    part = body
    while True:
        places = list(part) if isinstance(part, dict) else list(range(len(part)))
        if not places:
            return body
        place = draw(st.sampled_from(places))
        if isinstance(part[place], dict | list) and draw(st.booleans()):
            part = part[place]
        else:
            part[place] = draw(values)
            return body


@pytest.fixture(scope="module")
def client(plain):
    return plain.client


@contextmanager
def still_serving(client):
    yield
    job = client.post("/api/generate", json={"layout": fruit(3)}).json()["job"]
    with client.stream("GET", f"/api/jobs/{job}/events") as stream:
        stream.read()
    assert client.get(f"/api/jobs/{job}").json()["status"] == "done"


def assert_told(answer: httpx.Response) -> None:
    """A refusal has its form; anything else went well."""
    assert answer.status_code < 500
    if answer.status_code >= 400:
        told = answer.json()
        assert set(told) == {"problems", "code"}
        assert all(set(problem) == {"field", "message"} for problem in told["problems"])


def dumped(value: object) -> bytes:
    return json.dumps(value).encode()


FUZZ = settings(examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
PATHS = st.sampled_from(["/api/generate", "/api/validate", "/api/convert"])


@FUZZ
@given(path=PATHS, body=spoilt_bodies() | values)
def test_any_value_is_answered(client, path, body):
    content = dumped({name: body[name] for name in body if name in ("layout", "steps")} if path.endswith("generate")
                     and isinstance(body, dict) else body)  # fmt: skip
    assert_told(client.post(path, content=content, headers={"Content-Type": "application/json"}))


@FUZZ
@given(path=PATHS, content=st.binary(max_size=200))
def test_any_bytes_are_answered(client, path, content):
    assert_told(client.post(path, content=content, headers={"Content-Type": "application/json"}))


@FUZZ
@given(document=st.text(max_size=80) | values.map(json.dumps), form=st.sampled_from(
    list(FORMATS)))  # fmt: skip
def test_any_document_is_answered(client, document, form):
    body = {"document": document, "from": form, "to": "native", "lossy": True}
    assert_told(client.post("/api/convert", content=dumped(body), headers={"Content-Type": "application/json"}))


def test_the_server_still_serves(client):
    with still_serving(client):
        pass


NEARLY_TOO_MANY = 19_000

COSTLY_LAYOUTS = {
    "pairs": fruit(1, order={"pairs": [{"front": "apple", "behind": "pear"}] * (NEARLY_TOO_MANY // 3)}),
    "depths": fruit(1, order={"depths": {str(n): n for n in range(NEARLY_TOO_MANY)}}),
    "unknown fields": {str(n): 0 for n in range(NEARLY_TOO_MANY)},
    "empty lists": [[]] * (NEARLY_TOO_MANY // 2),
    "a long prompt": fruit(1, prompt="x" * 900_000),
    "run lengths": fruit(1, instances=[{"id": "a", "caption": "x", "box": [0, 0, 1, 1], "region": {
        "size": [1000, 1000], "counts": [1] * NEARLY_TOO_MANY}}], order=None),
    "a polygon": fruit(1, instances=[{"id": "a", "caption": "x", "box": [0, 0, 1, 1], "region": {
        "points": [[0.1, 0.2]] * (NEARLY_TOO_MANY // 2)}}], order=None),
    "regions of four thousand million pixels": fruit(1, instances=[{"id": str(n), "caption": "x", "box": [0, 0, 1, 1],
        "region": {"size": [65535, 65535], "counts": [1, 4294836224]}} for n in range(64)], order=None),
    "a far polygon": fruit(1, instances=[{"id": "a", "caption": "x", "box": [0, 0, 1, 1], "region": {
        "points": [[-1e300, 1e300], [1e300, -1e300], [1e308, 1e308]]}}], order=None),
    "a long run-length text": fruit(1, instances=[{"id": "a", "caption": "x", "box": [0, 0, 1, 1], "region": {
        "size": [65535, 65535], "counts": "o" * 900_000}}], order=None),
    "a long id": fruit(1, instances=[{"id": "x" * 900_000, "caption": "x", "box": [0, 0, 1, 1]}], order=None),
    "everything in front of everything": fruit(1, instances=[{"id": str(n), "caption": "x", "box": [0, 0, 1, 1]}
        for n in range(64)], cycles="break", order={"pairs": [{"front": str(front), "behind": str(behind)}
        for front in range(64) for behind in range(64) if front != behind]}),
}  # fmt: skip

MOST_MEMORY = 100 * 2**20
"""Bytes that checking a body, or taking it into the queue, may hold at one moment."""


@pytest.mark.parametrize("name", COSTLY_LAYOUTS)
def test_layouts_made_to_cost_hold_little_memory(client, name):
    tracemalloc.start()
    try:
        for path in ("/api/validate", "/api/generate"):
            assert_told(client.post(path, json={"layout": COSTLY_LAYOUTS[name]}))
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


@for_each("name", COSTLY_LAYOUTS)
def test_layouts_made_to_cost_are_answered_in_time(client, name):
    answer = client.post("/api/validate", json={"layout": COSTLY_LAYOUTS[name]})
    assert_told(answer)
    assert answer.elapsed.total_seconds() < SLOWEST_ANSWER
    assert len(answer.json()["problems"]) <= 101


@for_each("form", list(FORMATS))
def test_documents_made_to_cost_are_answered_in_time(client, form):
    for document in ("[" * NEARLY_TOO_MANY, "(" * 400_000, json.dumps([0] * (NEARLY_TOO_MANY // 4)), "9" * 900_000):
        answer = client.post("/api/convert", json={"document": document, "from": form})
        assert_told(answer)
        assert answer.elapsed.total_seconds() < SLOWEST_ANSWER


def test_more_values_than_any_layout_has_are_refused(client):
    answer = client.post("/api/validate", json={"layout": [0] * 30_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    with still_serving(client):
        pass
