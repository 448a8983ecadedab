"""The studio with the model that ships with the package."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from occlusionformer.apps.studio.server import StudioConfig, StudioServer, build_studio
from tests.apps.studio_browser.conftest import DESKTOP
from tests.apps.studio_browser.editor import Editor
from tests.apps.studio_browser.test_order import drag_layer
from tests.apps.studio_browser.test_screens import EXAMPLES, faults, keep

pytestmark = pytest.mark.slow

OVERLAP = (0.58, 0.58)
"""Where both fruits would be seen, whichever is in front: inside the pear, inside the round of the apple."""
WATCH_FORMING = """() => {
  window.sawForming = false;
  const isPreview = (address) => (address ?? "").startsWith("data:image/png");
  new MutationObserver((records) => {
    window.sawForming ||= records.some((each) => isPreview(each.oldValue) || isPreview(each.target.src));
  }).observe(document.getElementById("picture"), { attributeFilter: ["src"], attributeOldValue: true });
}"""
"""Notes a preview however briefly it is there."""


@pytest.fixture(scope="module")
def address(browser) -> Iterator[str]:
    with StudioServer(build_studio(StudioConfig(port=0))).running() as address:
        yield address


def wait_until_loaded(editor: Editor) -> None:
    editor.page.wait_for_selector("#server[data-status=ready]", timeout=120_000)


@pytest.fixture
def embedded(browser, address: str) -> Iterator[Editor]:
    context = browser.new_context(viewport=DESKTOP, accept_downloads=True)
    context.set_default_timeout(60_000)
    editor = Editor(context.new_page(), address)
    editor.open()
    yield editor
    context.close()
    assert editor.complaints() == []
    assert editor.strangers() == []


@pytest.mark.timing
def test_from_opening_the_page_to_the_first_picture(embedded: Editor) -> None:
    wait_until_loaded(embedded)
    start = time.monotonic()
    embedded.reload()
    embedded.press("generate")
    embedded.wait_for_picture(0)
    whole = time.monotonic() - start
    note = embedded.at("picture-note").inner_text()
    print(f"first picture after {whole:.1f} s; {note}")  # noqa: T201
    assert whole < 10
    assert float(note.rsplit("·", 1)[1].split()[0]) < 4


def test_two_boxes_drawn_by_mouse_and_their_order_turned(embedded: Editor) -> None:
    wait_until_loaded(embedded)
    embedded.press("new")
    embedded.draw((0.1, 0.18, 0.66, 0.72), "a red apple")
    embedded.draw((0.36, 0.28, 0.92, 0.88), "a green pear", holding="Control")
    embedded.at("seed").fill("7")
    embedded.keys("Tab")
    embedded.at("steps").fill("12")  # long enough for the page to catch it forming
    embedded.page.evaluate(WATCH_FORMING)
    embedded.press("generate")
    embedded.wait_for_picture(0)
    assert embedded.page.evaluate("window.sawForming")
    red, green, _ = embedded.pixel(OVERLAP)
    assert green > 0.8 * red  # the pear is yellowish green
    drag_layer(embedded, "a green pear", "a red apple")
    assert embedded.layers() == ["a red apple", "a green pear"]
    embedded.press("generate")
    embedded.wait_for_picture(1)
    red, green, _ = embedded.pixel(OVERLAP)
    assert green < 0.6 * red
    assert embedded.at("share").count() == 2
    embedded.at("mask-toggle").first.check()


def test_a_whole_session_looks_right(embedded: Editor, tmp_path: Path) -> None:
    wait_until_loaded(embedded)
    embedded.load((EXAMPLES / "scenes" / "cat-and-vase.json").read_text(encoding="utf-8"))
    embedded.generate()
    embedded.select("a black cat")
    frame = embedded.at("frame").bounding_box()
    embedded.page.mouse.move(frame["x"] + 0.3 * frame["width"], frame["y"] + 0.7 * frame["height"])
    shares = [int(text.split()[0]) for text in embedded.at("share").all_inner_texts()]
    assert shares[0] > 50
    embedded.at("mask-toggle").first.check()
    assert faults(embedded) == []
    embedded.press("other-order")
    embedded.wait_for_picture(1)
    embedded.page.wait_for_selector("#before:not([hidden])")
    embedded.page.evaluate("document.getElementById('toasts').replaceChildren()")
    keep(embedded, "embedded", tmp_path)
    assert faults(embedded) == []
