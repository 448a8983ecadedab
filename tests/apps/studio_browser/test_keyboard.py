"""The whole way from nothing to a picture without a pointer."""

from __future__ import annotations

from tests.apps.studio_browser.editor import Editor


def focused(editor: Editor) -> str:
    return editor.page.evaluate("document.activeElement.getAttribute('data-testid') ?? document.activeElement.id")


def tab_to(editor: Editor, test_id: str, key: str = "Tab") -> None:
    for _ in range(80):
        if focused(editor) == test_id:
            return
        editor.keys(key)
    raise AssertionError(f"{test_id} cannot be reached with {key}")


def test_from_nothing_to_a_picture(editor: Editor) -> None:
    tab_to(editor, "new")
    editor.keys("Enter", "b")
    editor.page.keyboard.type("a red apple")
    editor.keys("Enter")
    assert focused(editor) == "box"
    for _ in range(12):
        editor.keys("ArrowLeft")
    editor.keys("Alt+Shift+ArrowRight", "b")
    editor.page.keyboard.type("a green pear")
    editor.keys("Enter")
    assert editor.layers() == ["a green pear", "a red apple"]
    editor.keys("BracketLeft")
    assert editor.layers() == ["a red apple", "a green pear"]
    apple = editor.box_of("a red apple")
    assert apple[0] < 0.25
    assert apple[2] - apple[0] > 0.35
    tab_to(editor, "prompt")
    editor.keys("Control+a")
    editor.page.keyboard.type("a plain mint background")
    editor.keys("Control+Enter")
    editor.wait_for_picture(0)
    assert "a plain mint background" in editor.at("picture").get_attribute("alt")


def test_boxes_are_reached_and_changed_by_keys(editor: Editor) -> None:
    editor.draw((0.1, 0.1, 0.4, 0.4), "one")
    editor.draw((0.5, 0.5, 0.9, 0.9), "two")
    tab_to(editor, "box", "Shift+Tab")
    editor.keys("Shift+Tab")
    assert editor.page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("one, layer 2 of 2")
    editor.keys("Enter")
    assert focused(editor) == "caption-editor"
    editor.page.keyboard.type("uno")
    editor.keys("Enter", "l", "ArrowRight")
    assert editor.box_of("uno")[0] < 0.12
    assert editor.layers() == ["two", "uno"]


def test_rows_of_the_list_are_walked_and_moved_by_arrows(editor: Editor) -> None:
    for place, name in enumerate(("one", "two", "three")):
        editor.draw((0.1 + 0.2 * place, 0.1, 0.25 + 0.2 * place, 0.4), name)
    editor.at("layer-name").first.focus()
    editor.keys("ArrowDown", "Alt+ArrowUp")
    assert editor.layers() == ["two", "three", "one"]
    editor.keys("F2")
    assert focused(editor) == "layer-caption"
    editor.keys("Escape", "ArrowDown", "ArrowDown", "Enter")
    editor.page.keyboard.type("uno")
    editor.keys("Enter")
    assert editor.layers() == ["two", "three", "uno"]


def test_focus_is_seen_and_every_control_has_a_name(editor: Editor) -> None:
    editor.draw((0.1, 0.1, 0.4, 0.4), "one")
    editor.generate()
    nameless = editor.page.evaluate("""() => {
        const named = (e) => e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length || e.title;
        return [...document.querySelectorAll("button, input, select, textarea, summary, [tabindex='0']")]
            .filter((e) => !named(e)).map((e) => e.outerHTML.slice(0, 120));
    }""")
    assert nameless == []
    editor.page.locator("body").click(position={"x": 700, "y": 880})
    unseen = set()
    for _ in range(40):
        editor.keys("Tab")
        outline = editor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        if outline == "none" and focused(editor) not in ("box", ""):
            unseen.add(focused(editor))
    assert unseen == set()
