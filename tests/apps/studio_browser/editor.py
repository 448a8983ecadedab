"""The studio's page as somebody uses it who sees it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Point = tuple[float, float]
Box = tuple[float, float, float, float]

EXPECTED_REFUSAL = "the server responded with a status of 422"

READ_PIXEL = """([image, x, y]) => {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const [column, row] = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
    return [...context.getImageData(column, row, 1, 1).data].slice(0, 3);
}"""


class Editor:
    """Places are fractions of the canvas. Remembers what the console says and where requests go."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.may_be_refused = False
        """Whether the page may ask for something that the server refuses: browsers report that as an error."""
        self._console: list[str] = []
        self._requests: list[str] = []
        page.on("console", lambda message: message.type in ("error", "warning") and self._console.append(message.text))
        page.on("pageerror", lambda error: self._console.append(str(error)))
        page.on("request", lambda request: self._requests.append(request.url))
        page.on("dialog", lambda dialog: (self._console.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def open(self) -> None:
        self.page.goto(self.address)
        self.page.wait_for_selector("html[data-ready=true]")

    def reload(self) -> None:
        self.page.reload()
        self.page.wait_for_selector("html[data-ready=true]")

    def begin_anew(self) -> None:
        """An empty canvas and history, everything else as on the first visit."""
        self.may_be_refused = False
        self._console.clear()
        self._requests.clear()
        self.page.set_viewport_size({"width": 1440, "height": 900})
        self.keys("Escape")
        self.press("new")
        if self.page.locator("#history-clear").is_visible():
            self.page.locator("#history-clear").click()
        for toggle, wanted in {"snap": "true", "grid": "false"}.items():
            if self.at(toggle).get_attribute("aria-pressed") != wanted:
                self.press(toggle)
        self.at("steps").fill("8")
        self.at("images").get_by_role("button", name="1").click()
        self.page.evaluate("document.documentElement.dataset.theme = 'light'")

    def complaints(self) -> list[str]:
        return [text for text in self._console if not (self.may_be_refused and EXPECTED_REFUSAL in text)]

    def strangers(self) -> list[str]:
        """Requests that were not for this server."""
        where = urlsplit(self.address)
        own = (self.address, "data:", f"blob:{where.scheme}://{where.netloc}")
        return [url for url in self._requests if not url.startswith(own)]

    def until(self, expression: str, seconds: float = 30) -> None:
        """Wait for a truth about the page. Playwright's own way needs eval, which the studio's policy forbids."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"not within {seconds} s: {expression}"
            self.page.wait_for_timeout(20)

    def at(self, test_id: str) -> Locator:
        return self.page.get_by_test_id(test_id)

    def press(self, test_id: str) -> None:
        self.at(test_id).click()

    def keys(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    def on_screen(self, point: Point) -> Point:
        frame = self.at("stage").bounding_box()
        assert frame is not None
        return frame["x"] + point[0] * frame["width"], frame["y"] + point[1] * frame["height"]

    def drag(self, start: Point, end: Point, *, holding: str | None = None) -> None:
        """With the mouse, over the canvas."""
        if holding:
            self.page.keyboard.down(holding)
        self.page.mouse.move(*self.on_screen(start))
        self.page.mouse.down()
        self.page.mouse.move(*self.on_screen(((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)))
        self.page.mouse.move(*self.on_screen(end))
        self.page.mouse.up()
        if holding:
            self.page.keyboard.up(holding)

    def draw(self, box: Box, caption: str, *, holding: str | None = None) -> None:
        self.drag((box[0], box[1]), (box[2], box[3]), holding=holding)
        self.at("caption-editor").fill(caption)
        self.keys("Enter")

    def layers(self) -> list[str]:
        """Captions, front first."""
        return self.at("layer-name").all_inner_texts()

    def select(self, caption: str) -> None:
        self.at("layer-name").filter(has_text=caption).click()

    def layout(self) -> dict[str, Any]:
        """What would be exported in the native format."""
        return json.loads(self.document())

    def document(self, format: str = "native") -> str:
        self.press("export")
        self.at("export-format").select_option(format)
        self.until("document.getElementById('export-text').value !== ''")
        text = self.at("export-text").input_value()
        self.keys("Escape")
        return text

    def load(self, document: str, format: str = "native") -> None:
        self.press("import")
        self.at("import-format").select_option(format)
        self.at("import-text").fill(document)
        self.press("import-go")
        self.page.wait_for_selector("#import:not([open])", state="attached")

    def box_of(self, caption: str) -> list[float]:
        return next(each["box"] for each in self.layout()["instances"] if each["caption"] == caption)

    def generate(self) -> None:
        """And wait for the picture."""
        known = self.at("history-item").count()
        self.press("generate")
        self.wait_for_picture(known)

    def wait_for_picture(self, known: int) -> None:
        self.until(f"document.querySelectorAll('[data-testid=history-item]').length > {known}")
        self.page.wait_for_selector("html:not(.running)", state="attached")
        self.until("document.getElementById('picture').complete")

    def pixel(self, point: Point) -> tuple[int, int, int]:
        """Of the picture that is shown."""
        image = self.at("picture").element_handle()
        return tuple(self.page.evaluate(READ_PIXEL, [image, *point]))
