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

FAULTS = """() => {
    const faults = [];
    const name = (e) => e.id || e.dataset.testid || `${e.tagName.toLowerCase()} “${e.textContent.trim().slice(0, 24)}”`;
    const seen = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && e.getBoundingClientRect().width > 1;
    const controls = [...document.querySelectorAll("main button, main select, main input, main summary, header button, header summary, .tabs button")]
        .filter((e) => seen(e) && !e.closest(".history-list, .frame, svg"));
    const scrolls = (e) => e.closest(".layer-list, .exception-list, .overlap-list, .legend");
    const frames = controls.map((e) => e.getBoundingClientRect());
    if (document.documentElement.scrollWidth > innerWidth) faults.push(`page is ${document.documentElement.scrollWidth} wide`);
    controls.forEach((e, i) => {
        const a = frames[i];
        if (a.left < -0.5 || a.right > innerWidth + 0.5) faults.push(`${name(e)} sticks out of the screen`);
        const cut = e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).textOverflow !== "ellipsis" && e.tagName !== "INPUT";
        if (cut) faults.push(`${name(e)} is clipped`);
        const fixed = (x) => x.closest(".tabs, .top") !== null;
        for (let j = i + 1; j < controls.length; j++) {
            const b = frames[j];
            const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            const nested = e.contains(controls[j]) || controls[j].contains(e) || fixed(e) !== fixed(controls[j]) || scrolls(e) !== scrolls(controls[j]);
            if (width > 1 && height > 1 && !nested) faults.push(`${name(e)} overlaps ${name(controls[j])}`);
        }
    });
    for (const e of document.querySelectorAll("h1, h2, h3, label > span, .note, .legend-name, .layer-name, p")) {
        if (!seen(e) || getComputedStyle(e).textOverflow === "ellipsis" || e.matches(".visually-hidden")) continue;
        if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth) faults.push(`${name(e)} is clipped`);
    }
    return faults;
}"""

CONTRAST = """() => {
    const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const parse = (c) => c.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const ground = (e) => {
        for (let at = e; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if ((colour[3] ?? 1) > 0.9) return colour;
        }
        return [255, 255, 255];
    };
    const weak = [];
    for (const e of document.querySelectorAll("h1, h2, h3, p, button, label > span, option, summary, .badge, .legend-name")) {
        if (!e.checkVisibility() || e.disabled || !e.textContent.trim() || e.closest(":disabled, .disabled, .skip")) continue;
        const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const least = e.matches(".badge") ? 2.4 : 4.5;
        if (ratio < least) weak.push(`${e.id || e.className || e.tagName}: ${ratio.toFixed(1)}`);
    }
    return [...new Set(weak)];
}"""


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
