"""Layouts checked and converted over HTTP."""

from __future__ import annotations

import json
from base64 import b64encode
from io import BytesIO

import pytest
from PIL import Image

from occlusionformer.apps.studio.application import EDITOR
from occlusionformer.layout import FORMATS, Layout, read_layout, write_layout
from occlusionformer.pictures.maps import layout_maps
from tests.apps.examples import EXAMPLES
from tests.apps.studio.conftest import paths_of
from tests.apps.studio.fake import fruit
from tests.tables import for_each


@pytest.fixture
def client(plain):
    return plain.client


def check(client, **change) -> dict:
    answer = client.post("/api/validate", json={"layout": fruit(**change)})
    assert answer.status_code == 200
    return answer.json()


def pairs(*named: str) -> dict:
    return {"pairs": [{"front": name[0], "behind": name[1]} for name in named]}


def boxes(names: str) -> list[dict]:
    return [{"id": name, "caption": name, "box": [0.1, 0.1, 0.9, 0.9]} for name in names]


def test_a_right_layout_and_what_follows_from_it(client):
    assert check(client) == {
        "valid": True, "problems": [], "cycles": [], "relations": [["apple", "pear"]], "broken": [],
    }  # fmt: skip
    assert check(client, order=None)["relations"] is None
    closed = check(client, instances=boxes("abc"), order=pairs("ab", "bc"), closure=True)
    assert closed["relations"] == [["a", "b"], ["a", "c"], ["b", "c"]]


def test_a_loop_is_named(client):
    order = pairs("ab", "bc", "ca")
    refused = check(client, instances=boxes("abc"), order=order)
    assert refused["valid"] is False
    assert refused["cycles"] == [["a", "b", "c"]]
    assert refused["problems"] == [{"field": "layout.order", "message": "z-order loops: a > b > c > a"}]
    allowed = check(client, instances=boxes("abc"), order=order, cycles="allow")
    assert (allowed["valid"], allowed["cycles"], len(allowed["relations"])) == (True, [["a", "b", "c"]], 3)
    broken = check(client, instances=boxes("abc"), order=order, cycles="break")
    assert broken["valid"]
    assert len(broken["relations"]) == 2
    assert sorted(broken["relations"] + broken["broken"]) == [["a", "b"], ["b", "c"], ["c", "a"]]


def test_all_problems_are_told_with_their_places(client):
    layout = fruit(width=0, instances=[{"id": "a", "caption": "", "box": [0.7, 0.2, 0.4, 0.7]}], order=None)
    answer = client.post("/api/validate", json={"layout": layout}).json()
    assert [problem["field"] for problem in answer["problems"]] == [
        "layout.width", "layout.instances[0].caption", "layout.instances[0].box",
    ]  # fmt: skip


@for_each("layout", [None, 7, "text", [], {}, {"prompt": {}}])
def test_anything_can_be_checked(client, layout):
    answer = client.post("/api/validate", json={"layout": layout})
    assert answer.status_code == 200
    assert answer.json()["valid"] is False


def test_what_is_larger_than_this_server_draws_is_not_valid_here(client):
    assert [p["field"] for p in check(client, width=4096)["problems"]] == ["layout.width"]
    assert [p["field"] for p in check(client, width=2048, height=2048)["problems"]] == ["layout"]


def test_every_format_is_listed_and_converts_as_the_library_does(client):
    told = client.get("/api/formats").json()["formats"]
    assert [(form["name"], form["order"]) for form in told] == [(name, form.order) for name, form in FORMATS.items()]
    layout = Layout.model_validate(fruit())
    for name in FORMATS:
        answer = client.post(
            "/api/convert", json={"document": json.dumps(fruit()), "from": "native", "to": name, "lossy": True}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["document"] == write_layout(layout, name, lossy=True)


def test_what_is_exported_is_imported(client):
    document = client.post(
        "/api/convert", json={"document": json.dumps(fruit()), "from": "native", "to": "coco"}
    ).json()
    back = client.post("/api/convert", json={"document": document["document"], "from": "coco"}).json()
    assert back["document"] is None
    assert [Layout.model_validate(layout) for layout in back["layouts"]] == [read_layout(document["document"], "coco")]


def test_losses_are_refused_with_their_fields(client):
    layout = fruit()
    layout["instances"][0]["opacity"] = 0.5
    asked = {"document": json.dumps(layout), "from": "native", "to": "simpletuner"}
    answer = client.post("/api/convert", json=asked)
    assert answer.status_code == 422
    assert answer.json()["problems"] == [
        {"field": "document.instances[0].opacity", "message": "the simpletuner format cannot hold 0.5"}
    ]
    assert client.post("/api/convert", json={**asked, "lossy": True}).status_code == 200


def test_options_of_a_format(client):
    document = json.dumps([{"bbox": [0.1, 0.1, 0.5, 0.5], "label": "a cat"}])
    asked = {"document": document, "from": "simpletuner", "options": {"prompt": "a room", "width": 64, "height": 48}}
    [layout] = client.post("/api/convert", json=asked).json()["layouts"]
    assert (layout["prompt"], layout["width"], layout["height"]) == ("a room", 64, 48)
    wrong = client.post("/api/convert", json={**asked, "from": "native"})
    assert [problem["field"] for problem in wrong.json()["problems"]] == [
        "document.prompt", "document.width", "document.height",
    ]  # fmt: skip


def test_maps_are_two_pictures(client):
    asked = {"document": json.dumps(fruit()), "from": "native", "to": "maps"}
    refused = client.post("/api/convert", json=asked)
    assert refused.status_code == 422
    assert {"field": "document.prompt", "message": f"maps cannot hold {fruit()['prompt']!r}"} in refused.json()[
        "problems"
    ]
    answer = client.post("/api/convert", json={**asked, "lossy": True}).json()
    assert answer["document"] is None
    files = {name: b64encode(content).decode() for name, content in layout_maps(Layout(**fruit())).files().items()}
    assert answer["maps"] == files
    several = client.post("/api/convert", json={**asked, "document": json.dumps([fruit(), fruit()]), "lossy": True})
    assert several.json()["problems"] == [
        {"field": "document", "message": "expected a document with one layout, got 2"}
    ]


def test_which_end_of_a_list_is_in_front(client):
    boxes = [{"x": 0, "y": 0, "width": 9, "height": 9, "metadata": {"desc": words}} for words in ("a cat", "a dog")]
    options = {"prompt": "a room", "width": 64, "height": 48}
    asked = {"document": json.dumps(boxes), "from": "comfy"}
    orders = {
        way: client.post("/api/convert", json={**asked, "options": {**options, "list_order": way}}).json()["layouts"][0]
        for way in ("back-to-front", "front-to-back", "none")
    }
    assert orders["back-to-front"]["order"] == {"front_to_back": ["2", "1"]}
    assert orders["front-to-back"]["order"] == {"front_to_back": ["1", "2"]}
    assert "order" not in orders["none"]


def test_a_path_is_never_a_document(client):
    """Text is read as text: nothing on this machine can be named."""
    answer = client.post("/api/convert", json={"document": "/etc/passwd", "from": "native"})
    assert answer.status_code == 422
    assert "root:" not in answer.text


def test_collections_are_for_the_command_line(client):
    answer = client.post("/api/convert", json={"document": json.dumps([fruit()] * 65), "from": "native"})
    assert answer.json()["problems"] == [
        {"field": "document", "message": "expected a document with at most 64 layouts, got 65"}
    ]


def test_everyday_examples_come_first_and_all_are_drawable(client):
    examples = client.get("/api/examples").json()["examples"]
    known = {path.stem: path for path in (*EXAMPLES.glob("*.json"), *EXAMPLES.glob("scenes/*.json"))}
    names = [example["name"] for example in examples]
    assert len(set(names)) == len(names)
    everyday = {path.stem for path in EXAMPLES.glob("scenes/*.json")}
    assert set(names[: len(everyday)]) == everyday
    for example in examples:
        assert example["layout"] == json.loads(known[example["name"]].read_text(encoding="utf-8")), example["name"]
        assert client.post("/api/validate", json={"layout": example["layout"]}).json()["valid"], example["name"]


def test_every_example_has_its_picture_and_no_picture_is_left_over(client):
    """128 pixels on the longer side, in the shape of the layout, few bytes; asked for again only when changed."""
    layouts = {example["name"]: example["layout"] for example in client.get("/api/examples").json()["examples"]}
    pictures = {path.stem: path for path in (EDITOR / "examples").iterdir()}
    assert pictures.keys() == layouts.keys()
    assert sum(path.stat().st_size for path in pictures.values()) < 150_000
    for name, layout in layouts.items():
        answer = client.get(f"/static/examples/{name}.webp")
        kept = (answer.status_code, answer.headers["content-type"], answer.headers["cache-control"])
        assert kept == (200, "image/webp", "no-cache"), name
        again = client.get(f"/static/examples/{name}.webp", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), name
        with Image.open(BytesIO(answer.content)) as picture:
            longer = max(layout["width"], layout["height"])
            size = (round(layout["width"] * 128 / longer), round(layout["height"] * 128 / longer))
            assert (picture.format, picture.size) == ("WEBP", size), name


def test_schema_is_the_layouts(client):
    assert client.get("/api/layout.schema.json").json() == Layout.model_json_schema()


def test_the_description_names_every_path_of_ours(plain):
    described = plain.client.get("/api/openapi.json").json()
    found = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    ours = {each for each in paths_of(plain.studio.application) if each[1].startswith("/api/")}
    assert found == ours


def test_files_of_the_editor(client):
    """Revalidated by their tags; of the right type; with no folder and no other method."""
    for name, kind in (("js/main.js", "text/javascript"), ("css/base.css", "text/css"), ("icon.svg", "image/svg+xml")):
        answer = client.get(f"/static/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.content == (EDITOR / name).read_bytes()
        again = client.get(f"/static/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.head(f"/static/{name}").content == b""
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert client.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    for path in ("/static", "/static/", "/static/js", "/static/js/", "/static/none.js", f"/static/{'a' * 5000}"):
        assert client.get(path).json()["code"] == "not_found", path
    posted = client.post("/static/js/main.js")
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
    many = ",".join(f"{n}-{n}" for n in range(5000))
    assert client.get("/static/js/main.js", headers={"Range": f"bytes={many}"}).status_code == 200
