"""Pictures that a click enlarges, with boxes that a switch shows."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from occlusionformer.reporting import PictureBox, Section, case, page, text, view
from tests.reporting.test_page import names_of

BOX = PictureBox(0.1, 0.2, 0.6, 0.9, label="a cup", colour=9)
FOUND = PictureBox(0, 0, 1, 1, label="", colour=None)


def encoded(size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "red").save(stream, format="WEBP")
    return stream.getvalue()


def test_a_view_holds_the_whole_picture_and_its_boxes():
    html = view(encoded((640, 320)), (640, 320), "drawn", (BOX, FOUND))
    assert 'width="640" height="320"' in html
    assert "--full:768px" in html, "enlarged to be judged"
    assert 'style="--k:var(--c1);left:10.000%;top:20.000%;width:50.000%;height:70.000%"><b>a cup</b>' in html
    assert 'class="box found" style="left:0.000%;top:0.000%;width:100.000%;height:100.000%"' in html
    assert "coarse" not in html
    assert 'class="sheet coarse"' in view(encoded((128, 128)), (128, 128), "small")
    assert "--full:2000px" in view(encoded((20, 20)), (2000, 1000), "large")


def test_a_case_lists_what_is_in_the_picture():
    html = case("one: a room", [view(encoded((9, 9)), (9, 9), "x")], [("a cup", 0), ("a cat", 8)], "a cup in front")
    assert re.findall(r"var\(--c(\d)\)\"><i></i>([^<]*)", html) == [("0", "a cup"), ("0", "a cat")]
    assert "<figcaption>a cup in front</figcaption>" in html


def test_the_switch_is_there_with_boxes_alone():
    def of(*boxes: PictureBox) -> str:
        return page("t", [Section("s", view(encoded((9, 9)), (9, 9), "x", boxes))])

    assert 'id="boxes"' in of(BOX)
    assert 'id="boxes"' not in of()
    assert 'id="boxes"' not in page("t", [Section("s", text('class="box"'))]), "a word is no box"


def test_nothing_given_becomes_markup():
    word = "<script>alert('&\"')</script>"
    box = PictureBox(0, 0, 1, 1, label=word, colour=0)

    def of(word: str, box: PictureBox) -> str:
        return page("t", [Section("s", case(word, [view(encoded((9, 9)), (9, 9), word, (box,))], [(word, 0)], word))])

    assert names_of(of(word, box)) == names_of(of("plain", BOX))
    assert "script" not in names_of(of(word, box))


def test_a_click_enlarges_and_the_switch_shows_boxes(tmp_path, browser):
    """In the browser that the studio is tested with, where there is one."""
    body = case("one", [view(encoded((640, 320)), (640, 320), "x", (BOX,))] * 2, [("a cup", 0)])
    (tmp_path / "page.html").write_text(page("t", [Section("s", body)]))
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.goto((tmp_path / "page.html").as_uri())
    sheet = tab.locator(".sheet").first
    assert 300 <= sheet.bounding_box()["width"] <= 400
    assert not tab.locator(".box").first.is_visible()
    tab.locator("#boxes").check()
    assert tab.locator(".box").first.is_visible()
    sheet.click()
    assert sheet.bounding_box()["width"] == pytest.approx(768, abs=2)
    box, over = sheet.bounding_box(), tab.locator(".box").first.bounding_box()
    assert over["x"] - box["x"] == pytest.approx(0.1 * box["width"], abs=2)
    assert over["height"] == pytest.approx(0.7 * box["height"], abs=2)
    tab.locator("#boxes").uncheck()
    assert not tab.locator(".box").first.is_visible(), "the switch works over an enlarged picture"
    sheet.click()
    assert sheet.bounding_box()["width"] <= 400
    tab.close()
