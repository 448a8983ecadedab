"""Drawing, moving, resizing boxes; locks, copies, undo; captions that are text."""

from __future__ import annotations

import pytest

from tests.apps.studio_browser.conftest import Running
from tests.apps.studio_browser.editor import Editor

APPLE = (0.1, 0.2, 0.6, 0.7)
PEAR = (0.4, 0.3, 0.9, 0.9)
NEAR = 0.02
"""Fraction of the canvas that the mouse, or snapping, may be off."""


@pytest.fixture
def fruit(editor: Editor) -> Editor:
    editor.draw(APPLE, "a red apple")
    editor.draw(PEAR, "a green pear", holding="Control")
    return editor


def test_boxes_are_drawn_by_mouse_the_newest_in_front(fruit: Editor) -> None:
    layout = fruit.layout()
    assert [each["caption"] for each in layout["instances"]] == ["a red apple", "a green pear"]
    assert layout["instances"][0]["box"] == pytest.approx(APPLE, abs=NEAR)
    assert layout["instances"][1]["box"] == pytest.approx(PEAR, abs=NEAR)
    assert layout["order"] == {"front_to_back": [layout["instances"][1]["id"], layout["instances"][0]["id"]]}
    assert fruit.layers() == ["a green pear", "a red apple"]


def test_the_draw_tool_draws_on_top_of_a_box_too(fruit: Editor) -> None:
    fruit.press("tool-draw")
    fruit.draw((0.45, 0.4, 0.55, 0.6), "a leaf")
    assert fruit.layers() == ["a leaf", "a green pear", "a red apple"]
    assert fruit.box_of("a red apple") == pytest.approx(APPLE, abs=NEAR)


def test_a_box_is_moved_and_stays_on_the_canvas(fruit: Editor) -> None:
    fruit.drag((0.2, 0.5), (0.0, 0.3))
    assert fruit.box_of("a red apple") == pytest.approx([0, 0, 0.5, 0.5], abs=NEAR)


def test_the_selected_box_is_moved_even_where_another_covers_it(fruit: Editor) -> None:
    fruit.select("a red apple")
    fruit.drag((0.5, 0.5), (0.45, 0.45))
    assert fruit.box_of("a red apple") == pytest.approx([0.05, 0.15, 0.55, 0.65], abs=NEAR)


def test_handles_resize_and_shift_keeps_the_shape(fruit: Editor) -> None:
    fruit.select("a red apple")
    fruit.drag((0.1, 0.2), (0.2, 0.4))
    assert fruit.box_of("a red apple") == pytest.approx([0.2, 0.4, 0.6, 0.7], abs=NEAR)
    fruit.drag((0.2, 0.4), (0.4, 0.4), holding="Shift")
    x1, y1, x2, y2 = fruit.box_of("a red apple")
    assert (x2 - x1) / (y2 - y1) == pytest.approx(0.4 / 0.3, abs=0.05)
    assert x1 == pytest.approx(0.4, abs=NEAR)


def test_edges_snap_to_other_boxes_unless_snapping_is_off(editor: Editor) -> None:
    editor.draw((0.1, 0.1, 0.4, 0.4), "one")
    editor.draw((0.41, 0.5, 0.7, 0.8), "two")
    assert editor.box_of("two")[0] == editor.box_of("one")[2]
    editor.press("snap")
    editor.draw((0.41, 0.88, 0.7, 0.97), "three")
    assert editor.box_of("three")[0] == pytest.approx(0.41, abs=0.005)


def test_edges_snap_to_the_grid(editor: Editor) -> None:
    editor.press("grid")
    editor.draw((0.13, 0.131, 0.37, 0.38), "one")
    assert editor.box_of("one") == [0.125, 0.125, 0.375, 0.375]


def test_a_locked_box_stays_as_it_is_and_lets_the_pointer_through(fruit: Editor) -> None:
    row = fruit.at("layer").filter(has_text="a red apple")
    row.hover()
    row.get_by_test_id("layer-locked").click()
    fruit.draw((0.15, 0.45, 0.35, 0.65), "a leaf")
    fruit.select("a red apple")
    fruit.keys("ArrowLeft", "Delete")
    assert fruit.layers() == ["a leaf", "a green pear", "a red apple"]
    assert fruit.box_of("a red apple") == pytest.approx(APPLE, abs=NEAR)


def test_hidden_boxes_are_kept_but_left_out_of_the_picture(fruit: Editor, studio: Running) -> None:
    row = fruit.at("layer").filter(has_text="a green pear")
    row.hover()
    row.get_by_test_id("layer-hidden").click()
    assert len(fruit.layout()["instances"]) == 2
    fruit.generate()
    assert [each.caption for each in studio.painter.requests[-1].layout.instances] == ["a red apple"]


def test_duplicate_and_delete(fruit: Editor) -> None:
    fruit.select("a green pear")
    fruit.press("duplicate")
    assert fruit.layers() == ["a green pear", "a green pear", "a red apple"]
    fruit.press("delete")
    fruit.press("delete")
    assert fruit.layers() == ["a red apple"]


def test_undo_and_redo_go_all_the_way(fruit: Editor) -> None:
    states = [fruit.layout()]
    fruit.select("a red apple")
    for key in ("ArrowRight", "Shift+BracketRight", "Control+d", "Delete"):
        fruit.at("stage").focus()
        fruit.keys(key)
        states.append(fruit.layout())
    for state in reversed(states[:-1]):
        fruit.keys("Control+z")
        assert fruit.layout() == state
    for state in states[1:]:
        fruit.keys("Control+Shift+z")
        assert fruit.layout() == state
    assert fruit.at("redo").is_disabled()


def test_captions_are_edited_in_the_list_on_the_box_and_in_the_form(fruit: Editor) -> None:
    fruit.at("layer-name").first.dblclick()
    fruit.at("layer-caption").fill("a yellow pear")
    fruit.keys("Enter")
    fruit.page.mouse.dblclick(*fruit.on_screen((0.2, 0.5)))
    fruit.at("caption-editor").fill("a blue apple")
    fruit.keys("Enter")
    assert fruit.layers() == ["a yellow pear", "a blue apple"]
    fruit.at("box-caption").fill("a black apple")
    assert fruit.layers() == ["a yellow pear", "a black apple"]


def test_markup_in_a_caption_is_shown_as_text(editor: Editor) -> None:
    caption = "<img src=x onerror=alert(1)><b>bold</b>&amp;"
    editor.draw(APPLE, caption)
    editor.draw(PEAR, "<script>alert(2)</script>", holding="Control")
    assert editor.layers() == ["<script>alert(2)</script>", caption]
    editor.generate()
    assert editor.at("legend").locator("label").all_inner_texts() == ["<script>alert(2)</script>", caption]
    assert editor.at("layers").locator("b, img, script").count() == 0
    assert editor.at("legend").locator("b, img, script").count() == 0
    assert editor.at("stage").locator("b, img, script").count() == 0
    assert editor.layout()["instances"][0]["caption"] == caption


def test_another_canvas_keeps_the_boxes_in_their_place(fruit: Editor) -> None:
    before = fruit.layout()
    wide = fruit.at("canvas").locator("option").filter(has_text="16:9").get_attribute("value")
    fruit.at("canvas").select_option(wide)
    after = fruit.layout()
    assert after["width"] > after["height"]
    assert [each["box"] for each in after["instances"]] == [each["box"] for each in before["instances"]]
    frame = fruit.at("stage").bounding_box()
    assert frame["width"] / frame["height"] == pytest.approx(after["width"] / after["height"], rel=0.02)


def test_the_work_survives_a_reload(fruit: Editor) -> None:
    fruit.at("prompt").fill("a plain mint background")
    before = fruit.layout()
    fruit.reload()
    assert fruit.layout() == before
    assert fruit.layers() == ["a green pear", "a red apple"]


def test_opacity_and_copies_through_the_clipboard(fruit: Editor) -> None:
    fruit.select("a red apple")
    fruit.at("box-opacity").focus()
    fruit.keys("Home")
    fruit.at("stage").focus()
    fruit.keys("Control+c", "Control+v")
    fruit.until("document.querySelectorAll('[data-testid=layer]').length === 3")
    copied = [each for each in fruit.layout()["instances"] if each["caption"] == "a red apple"]
    assert [each["opacity"] for each in copied] == [0, 0]
    assert copied[0]["box"] != copied[1]["box"]
