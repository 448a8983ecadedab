"""Captions are completed from the model's words, and marked where it knows none of theirs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from occlusionformer.apps.studio.server import StudioConfig, StudioServer, build_studio
from tests.apps.studio_browser.conftest import sync_api
from tests.apps.studio_browser.editor import Editor
from tests.apps.studio_browser.slow_painter import SlowPainter
from tests.generation.test_vocabulary import KNOWN


class NamingPainter(SlowPainter):
    vocabulary = KNOWN


@pytest.fixture(scope="module")
def visit(browser: sync_api.Browser) -> Iterator[Editor]:
    painter = NamingPainter()
    server = StudioServer(build_studio(StudioConfig(port=0), load=lambda name: painter))
    with server.running() as address:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        context.set_default_timeout(30_000)
        editor = Editor(context.new_page(), address)
        editor.open()
        editor.until("document.querySelector('#server').dataset.status === 'ready'")
        yield editor
        context.close()


def captioned(visit: Editor, caption: str) -> Editor:
    visit.begin_anew()
    visit.draw((0.2, 0.2, 0.7, 0.8), caption)
    return visit


def test_an_unknown_caption_is_marked_and_a_known_one_is_not(visit: Editor):
    editor = captioned(visit, "a chandelier")
    row = editor.page.locator("[data-testid=layer]")
    editor.until("document.querySelector('[data-testid=layer]').classList.contains('unknown')")
    assert editor.at("caption-unknown").is_visible()
    assert "unknown to the model" in editor.at("layer-name").get_attribute("aria-label")
    editor.at("box-caption").fill("a black cat sitting")
    editor.until("!document.querySelector('[data-testid=layer]').classList.contains('unknown')")
    assert not editor.at("caption-unknown").is_visible()
    assert row.count() == 1
    assert editor.complaints() == []


def test_what_is_typed_is_completed(visit: Editor):
    editor = captioned(visit, "a dog")
    editor.at("box-caption").fill("")
    editor.at("box-caption").press_sequentially("a black ki")
    options = "[...document.querySelectorAll('#caption-words option')].map((each) => each.value).join()"
    editor.until(f"{options} === 'a black kitten'")
    assert editor.at("box-caption").get_attribute("list") == "caption-words"
    assert editor.complaints() == []
