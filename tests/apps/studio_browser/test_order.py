"""Who is in front: the layer list, relations of single pairs, loops."""

from __future__ import annotations

import pytest

from tests.apps.studio_browser.editor import Editor

BOXES = {"red": (0.1, 0.1, 0.6, 0.6), "green": (0.3, 0.3, 0.8, 0.8), "blue": (0.2, 0.4, 0.7, 0.9)}


@pytest.fixture
def pile(editor: Editor) -> Editor:
    """Three boxes that all overlap: blue in front of green in front of red."""
    for caption, box in BOXES.items():
        editor.draw(box, caption, holding="Control")
    assert editor.layers() == ["blue", "green", "red"]
    return editor


def relations(editor: Editor) -> set[tuple[str, str]]:
    """By caption, as the server reads the exported layout."""
    layout = editor.layout()
    answer = editor.page.request.post(f"{editor.address}/api/validate", data={"layout": layout}).json()
    assert answer["valid"], answer["problems"]
    names = {each["id"]: each["caption"] for each in layout["instances"]}
    return {(names[front], names[behind]) for front, behind in answer["relations"] or []}


def drag_layer(editor: Editor, caption: str, onto: str) -> None:
    start = editor.at("layer").filter(has_text=caption).bounding_box()
    end = editor.at("layer").filter(has_text=onto).bounding_box()
    assert start is not None
    assert end is not None
    editor.page.mouse.move(start["x"] + 60, start["y"] + start["height"] / 2)
    editor.page.mouse.down()
    for share in (0.3, 0.7, 1.0):
        past = 6 if end["y"] > start["y"] else -6
        y = start["y"] + share * (end["y"] - start["y"] + past) + start["height"] / 2
        editor.page.mouse.move(start["x"] + 60, y)
    editor.page.mouse.up()


def declare(editor: Editor, first: str, relation: str, second: str) -> None:
    if not editor.at("exception-add").is_visible():
        editor.press("exception-open")
    editor.at("exception-a").select_option(label=first)
    editor.at("exception-relation").select_option(label=relation)
    editor.at("exception-b").select_option(label=second)
    editor.press("exception-add")


def test_dragging_a_layer_changes_the_order(pile: Editor) -> None:
    drag_layer(pile, "blue", "red")
    assert pile.layers() == ["green", "red", "blue"]
    drag_layer(pile, "red", "green")
    assert pile.layers() == ["red", "green", "blue"]
    assert relations(pile) == {("red", "green"), ("red", "blue"), ("green", "blue")}


def test_buttons_and_keys_bring_to_front_and_send_to_back(pile: Editor) -> None:
    pile.select("red")
    pile.press("to-front")
    assert pile.layers() == ["red", "blue", "green"]
    pile.press("backward")
    assert pile.layers() == ["blue", "red", "green"]
    pile.at("stage").focus()
    pile.keys("Shift+BracketLeft")
    assert pile.layers() == ["blue", "green", "red"]
    pile.keys("BracketRight")
    assert pile.layers() == ["blue", "red", "green"]


def test_what_is_painted_in_front_is_in_front(pile: Editor) -> None:
    ids = {each["caption"]: each["id"] for each in pile.layout()["instances"]}
    shown = [node.get_attribute("data-id") for node in pile.at("box").all()]
    assert shown == [ids["red"], ids["green"], ids["blue"]]


def test_a_loop_is_refused_named_and_shown(pile: Editor) -> None:
    before = relations(pile)
    declare(pile, "red", "in front of", "blue")
    assert pile.at("loop-names").inner_text() == "red › blue › green › red"
    assert pile.page.locator("g.box.looped").count() == 3
    assert pile.page.locator("#stage .loop path").count() == 3
    assert relations(pile) == before
    assert pile.at("exceptions").locator("li").count() == 0


def test_a_loop_can_be_kept_when_loops_are_allowed(pile: Editor) -> None:
    declare(pile, "red", "in front of", "blue")
    pile.press("loop-allow")
    assert relations(pile) == {("red", "blue"), ("blue", "green"), ("green", "red")}
    assert pile.layout()["cycles"] == "allow"
    assert pile.at("loop").is_hidden()


def test_an_exception_holds_for_one_pair_and_can_be_withdrawn(pile: Editor) -> None:
    declare(pile, "green", "in front of", "blue")
    assert relations(pile) == {("green", "blue"), ("blue", "red"), ("green", "red")}
    assert pile.at("exceptions").inner_text() == "green in front of blue"
    shown = [node.get_attribute("aria-label").split(",")[0] for node in pile.at("box").all()]
    assert shown == ["red", "blue", "green"]
    pile.at("exceptions").get_by_role("button").click()
    assert relations(pile) == {("blue", "green"), ("blue", "red"), ("green", "red")}


def test_two_boxes_may_blend(pile: Editor) -> None:
    pile.select("green")
    pile.at("overlap").filter(has_text="red").get_by_test_id("relate-blend").click()
    assert relations(pile) == {("blue", "green"), ("blue", "red")}


def test_dragging_past_a_box_overrules_an_exception(pile: Editor) -> None:
    declare(pile, "green", "in front of", "blue")
    drag_layer(pile, "blue", "green")
    assert pile.layers() == ["green", "blue", "red"]
    assert pile.at("exceptions").locator("li").count() == 0
    assert ("green", "blue") in relations(pile)


def test_a_box_moved_into_a_loop_is_told_before_generating(editor: Editor) -> None:
    editor.draw((0.1, 0.1, 0.4, 0.4), "red")
    editor.draw((0.5, 0.1, 0.8, 0.4), "green")
    editor.draw((0.2, 0.3, 0.7, 0.7), "blue", holding="Control")
    declare(editor, "red", "in front of", "blue")
    assert relations(editor) == {("red", "blue"), ("blue", "green")}
    editor.select("green")
    editor.drag((0.75, 0.2), (0.5, 0.2))
    editor.press("generate")
    assert "The order loops: blue › green › red › blue" in editor.at("problems").inner_text()


@pytest.mark.parametrize("kind", ["pairs", "depths"])
def test_another_way_of_declaring_keeps_the_relations(pile: Editor, kind: str) -> None:
    before = relations(pile)
    pile.at("order-kind").select_option(kind)
    assert kind in pile.layout()["order"]
    assert relations(pile) == before
    drag_layer(pile, "blue", "red")
    assert relations(pile) == {("green", "red"), ("green", "blue"), ("red", "blue")}
    pile.at("order-kind").select_option("layers")
    assert relations(pile) == {("green", "red"), ("green", "blue"), ("red", "blue")}
    pile.at("order-kind").select_option("none")
    assert "order" not in pile.layout()
