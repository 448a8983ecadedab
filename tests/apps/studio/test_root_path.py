"""Under a path of a proxy: the page, its files, the API, events, pictures and gradio, taken off by the proxy or not."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.apps.studio.fake import fruit
from tests.apps.studio.test_jobs import events
from tests.tables import for_each

PREFIX = "/tools/studio"


@pytest.fixture(scope="module")
def under():
    from tests.apps.studio.conftest import serving

    with serving() as start:
        yield start(root_path=f"{PREFIX}/", serves_gradio=True)


@pytest.fixture(params=[PREFIX, ""], ids=["kept by the proxy", "taken off by the proxy"])
def asked(request, under) -> httpx.Client:
    """As the proxy asks."""
    with httpx.Client(base_url=f"{under.url}{request.param}", timeout=20) as client:
        yield client


def test_the_page_and_all_it_names(asked):
    page = asked.get("/")
    assert page.status_code == 200
    named = re.findall(r'(?:href|src)="([^"#]+)"', page.text)
    assert len(named) > 6
    for path in named:
        assert not path.startswith(("/", "http")), "relative to the page"
        assert asked.get(f"/{path}").status_code == 200, path
    assert asked.get("/static/examples/zoo.webp").status_code == 200
    for name in ("js/main.js", "js/api.js", "js/gallery.js"):
        script = asked.get(f"/static/{name}").text
        assert not re.findall(r"""["'`]/(?:api|static)""", script)


def test_a_job_from_its_start_to_its_picture(asked, under):
    started = asked.post("/api/generate", json={"layout": fruit(7), "want_masks": True, "keep": True})
    job = started.json()["job"]
    assert started.headers["location"] == f"{PREFIX}/api/jobs/{job}"
    with asked.stream("GET", f"/api/jobs/{job}/events") as stream:
        name, result = events(stream)[-1]
    assert name == "done"
    assert asked.get(f"/api/jobs/{job}/result").json()["images"] == result["images"]
    image = result["images"][0]
    for path in (image["png"], image["instances"][0]["mask"], image["instances"][1]["cutout"]):
        assert path.startswith(f"{PREFIX}/api/jobs/{job}/images/0")
        answer = under.client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")


def test_the_path_itself_leads_to_the_page(under):
    answer = under.client.get(PREFIX)
    assert (answer.status_code, answer.headers["location"]) == (308, f"{PREFIX}/")
    assert under.client.get(PREFIX, follow_redirects=True).text.startswith("<!doctype html>")


@for_each("path", ["/tools", "/tools/", f"{PREFIX}x", f"{PREFIX}{PREFIX}/", f"{PREFIX}//", "/studio/"])
def test_other_paths_do_not_exist(under, path):
    assert under.client.get(path).status_code == 404


def test_without_a_root_path_there_is_no_other_way_in(plain):
    assert plain.client.get(f"{PREFIX}/").status_code == 404
    assert plain.client.get("").status_code == 200


def test_its_description_says_where_it_is(asked, plain):
    assert asked.get("/api/openapi.json").json()["servers"] == [{"url": PREFIX}]
    assert plain.client.get("/api/openapi.json").json()["servers"] == [{"url": "/"}]


def test_the_gradio_client(under):
    from gradio_client import Client

    client = Client(f"{under.url}{PREFIX}/", verbose=False, httpx_kwargs={"timeout": 60})
    states = list(client.submit({"layout": fruit(7)}, api_name="/generate"))
    assert under.client.get(states[-1]["images"][0]["png"]).status_code == 200
    assert client.predict(fruit(), api_name="/validate")["valid"]
    assert client.config["root"] == f"{under.url}{PREFIX}"
    client.close()


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://studio.example", 200),
        ("http://studio.example", 200),
        ("https://studio.example:8443", 403),
        ("https://evil.example", 403),
        ("https://studio.example.evil.example", 403),
    ],
)
def test_pages_behind_a_proxy_that_passes_on_no_host(serve, origin, status):
    """The proxy asks for 127.0.0.1; the browser knows the page under the proxy's name."""
    studio = serve(allowed_hosts=("studio.example",))
    answer = studio.client.post("/api/validate", json={"layout": fruit()}, headers={"Origin": origin})
    assert answer.status_code == status
