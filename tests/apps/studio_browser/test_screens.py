"""How the studio looks: on a desk, on a phone, in the dark. Nothing overlaps, clips or sticks out.

With STUDIO_SCREENSHOTS=FOLDER in the environment the pictures are kept.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.apps.studio_browser.editor import Editor

EXAMPLES = Path(__file__).parents[3] / "examples"
SCREENS = {
    "desktop": ({"width": 1440, "height": 900}, "light"),
    "dark": ({"width": 1440, "height": 900}, "dark"),
    "tablet": ({"width": 1024, "height": 768}, "light"),
    "phone": ({"width": 390, "height": 844}, "light"),
}

FAULTS = (Path(__file__).parent / "faults.js").read_text(encoding="utf-8")

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


def keep(editor: Editor, name: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get("STUDIO_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    editor.page.screenshot(path=folder / f"{name}.png")


def faults(editor: Editor) -> list[str]:
    return editor.page.evaluate(FAULTS)


@pytest.fixture
def busy(editor: Editor) -> Editor:
    """Something of everything on the screen."""
    editor.load((EXAMPLES / "three-animals.json").read_text(encoding="utf-8"))
    editor.generate()
    editor.select("a golden lion")
    editor.page.evaluate("document.getElementById('toasts').replaceChildren()")
    return editor


@pytest.mark.parametrize("screen", [name for name in SCREENS if name != "phone"])
def test_nothing_overlaps_clips_or_sticks_out(busy: Editor, screen: str, tmp_path: Path) -> None:
    size, theme = SCREENS[screen]
    busy.page.set_viewport_size(size)
    if theme == "dark":
        busy.press("theme")
    busy.page.wait_for_timeout(100)
    keep(busy, screen, tmp_path)
    assert faults(busy) == []
    assert busy.page.evaluate(CONTRAST) == []


def test_every_part_fits_a_phone(busy: Editor, tmp_path: Path) -> None:
    busy.page.set_viewport_size(SCREENS["phone"][0])
    for part in ("layout", "layers", "generate", "picture"):
        busy.page.locator(f"[data-open={part}]").click()
        busy.page.wait_for_timeout(100)
        keep(busy, f"phone-{part}", tmp_path)
        assert faults(busy) == [], part


def test_dialogs_fit_a_phone(editor: Editor, tmp_path: Path) -> None:
    editor.page.set_viewport_size(SCREENS["phone"][0])
    for button in ("examples", "import", "export"):
        editor.page.locator(".menu.narrow summary").click()
        editor.page.locator(f"[data-press={button}-open]").click()
        editor.page.wait_for_timeout(100)
        keep(editor, f"phone-{button}", tmp_path)
        frame = editor.page.locator("dialog[open]").bounding_box()
        assert frame["x"] >= 0
        assert frame["x"] + frame["width"] <= 390
        editor.keys("Escape")


def test_boxes_are_drawn_by_finger(browser, studio) -> None:
    context = browser.new_context(viewport=SCREENS["phone"][0], has_touch=True, is_mobile=True)
    context.set_default_timeout(30_000)
    editor = Editor(context.new_page(), studio.address)
    editor.open()
    editor.page.locator(".menu.narrow summary").tap()
    editor.page.locator("[data-press=new]").tap()
    session = context.new_cdp_session(editor.page)
    places = [editor.on_screen(point) for point in ((0.2, 0.2), (0.4, 0.4), (0.7, 0.6))]
    for kind, (x, y) in zip(("touchStart", "touchMove", "touchMove"), places, strict=True):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    editor.at("caption-editor").fill("a red apple")
    editor.keys("Enter")
    assert editor.at("box").get_attribute("aria-label").startswith("a red apple, layer 1 of 1")
    x1, y1, width, height = percents(editor)
    assert (x1, y1) == pytest.approx((20, 20), abs=3)
    assert (width, height) == pytest.approx((50, 40), abs=4)
    context.close()


def percents(editor: Editor) -> tuple[int, int, int, int]:
    """Left, top, width, height as screen readers hear them."""
    spoken = editor.at("box").get_attribute("aria-label").split("; ")[1]
    numbers = [int(word.strip(",")) for word in spoken.split() if word.strip(",").isdigit()]
    return tuple(numbers)
