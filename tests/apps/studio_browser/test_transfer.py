"""Layouts in and out of the studio: what is exported is what was imported."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from occlusionformer.layout import FORMATS, read_layout, write_layout
from tests.apps.studio_browser.editor import Editor
from tests.generation.png_cases import cases, international, plain, png

if TYPE_CHECKING:
    from playwright.sync_api import Route

EXAMPLES = Path(__file__).parents[3] / "examples"
NATIVE = sorted(path.name for path in EXAMPLES.glob("*.json") if path.name.count(".") == 1)


def test_there_are_examples_of_every_kind_of_order() -> None:
    assert len(NATIVE) >= 8


def test_every_example_is_exported_as_it_was_imported(editor: Editor) -> None:
    for name in NATIVE:
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        editor.load(text)
        assert read_layout(editor.document()) == read_layout(text), name


@pytest.mark.parametrize(("name", "format"), [("harbour.sa-z.json", "sa-z"), ("street.published.json", "published")])
def test_other_formats_come_back_as_they_went_in(editor: Editor, name: str, format: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    editor.load(text, format)
    assert json.loads(editor.document(format)) == json.loads(write_layout(read_layout(text, format), format))


def test_a_box_takes_its_mask_along(editor: Editor) -> None:
    text = (EXAMPLES / "harbour.sa-z.json").read_text(encoding="utf-8")
    editor.load(text, "sa-z")
    before = read_layout(editor.document()).instances[1]
    editor.select("a blue whale")
    editor.at("stage").focus()
    editor.keys("Shift+ArrowUp")
    after = read_layout(editor.document()).instances[1]
    up = after.box.y1 - before.box.y1
    assert up == pytest.approx(-20 / 256, abs=1e-4)
    assert after.region.bounds().y1 == pytest.approx(before.region.bounds().y1 + up, abs=1 / 256)
    assert sum(after.region.run_lengths()[1::2]) == sum(before.region.run_lengths()[1::2])


def test_what_a_format_cannot_hold_is_told_before_it_is_left_out(editor: Editor) -> None:
    editor.may_be_refused = True
    editor.load((EXAMPLES / "glass-and-shape.json").read_text(encoding="utf-8"))
    editor.press("export")
    editor.at("export-format").select_option("simpletuner")
    editor.page.wait_for_selector("#export-lossy:not([hidden])")
    assert "instances[1].opacity" in editor.at("export-problems").inner_text()
    editor.press("export-lossy")
    editor.until("document.getElementById('export-text').value !== ''")
    assert "opacity" not in editor.at("export-text").input_value()


@pytest.mark.slow
def test_every_format_is_exported_and_imported(editor: Editor) -> None:
    """What a format never says is asked for when it is imported; the order and the words come back."""
    editor.may_be_refused = True
    text = (EXAMPLES / "three-animals.json").read_text(encoding="utf-8")
    before = read_layout(text)
    words = {"prompt": before.prompt, "width": str(before.width), "height": str(before.height)}
    for name, form in FORMATS.items():
        editor.load(text)
        editor.press("export")
        editor.at("export-format").select_option(name)
        editor.until(
            "document.getElementById('export-text').value !== '' || !document.getElementById('export-lossy').hidden"
        )
        if editor.at("export-text").input_value() == "":
            editor.press("export-lossy")
        editor.until("document.getElementById('export-text').value !== ''")
        document = editor.at("export-text").input_value()
        editor.keys("Escape")
        assert document == write_layout(before, name, lossy=True), name
        editor.press("import")
        editor.at("import-format").select_option(name)
        editor.at("import-text").fill(document)
        for field in form.needs:
            editor.page.locator(f"[data-option={field}]").fill(words[field])
        editor.press("import-go")
        editor.page.wait_for_selector("#import:not([open])", state="attached")
        after = read_layout(editor.document())
        assert {i.caption for i in after.instances} == {i.caption for i in before.instances}, name
        assert (after.zorder is None) == (form.order == "none"), name


def test_maps_are_shown_and_downloaded(editor: Editor) -> None:
    editor.may_be_refused = True
    editor.load((EXAMPLES / "three-animals.json").read_text(encoding="utf-8"))
    editor.press("export")
    editor.at("export-format").select_option("maps")
    editor.page.wait_for_selector("#export-lossy:not([hidden])")
    assert "what is hidden" in editor.at("export-problems").inner_text()
    editor.press("export-lossy")
    editor.page.wait_for_selector("#export-maps:not([hidden]) img")
    assert editor.at("export-maps").locator("img").count() == 2
    assert not editor.at("export-text").is_visible()
    with editor.page.expect_download() as waiting:
        editor.press("export-save")
    assert waiting.value.suggested_filename in ("layout-colours.png", "layout-depth.png")
    editor.at("export-format").select_option("native")
    editor.until("document.getElementById('export-text').value !== ''")
    assert editor.at("export-text").is_visible()
    assert not editor.at("export-maps").is_visible()
    editor.keys("Escape")


def test_an_answer_that_comes_late_shows_nothing_in_place_of_a_newer_one(editor: Editor) -> None:
    asked: list[Route] = []
    editor.page.route("**/api/convert", lambda route: asked.append(route))
    captions = ("an old cat", "a new cat")
    editor.draw((0.1, 0.1, 0.6, 0.6), captions[0])
    editor.press("export")
    editor.keys("Escape")
    editor.at("layer-name").first.dblclick()
    editor.at("layer-caption").fill(captions[1])
    editor.keys("Enter")
    editor.press("export")
    while len(asked) < 2:
        editor.page.wait_for_timeout(20)
    for route in reversed(asked):
        with editor.page.expect_response("**/api/convert"):
            route.continue_()
        editor.until("document.getElementById('export-text').value !== ''")
        editor.page.wait_for_timeout(50)
        assert captions[1] in editor.at("export-text").input_value()
    editor.page.unroute("**/api/convert")


def test_every_problem_of_a_document_is_listed(editor: Editor) -> None:
    editor.may_be_refused = True
    wrong = {
        "prompt": "",
        "width": 128,
        "height": 128,
        "instances": [{"id": "a", "caption": "x", "box": [0.7, 0, 0.4, 1]}],
    }
    editor.press("import")
    editor.at("import-text").fill(json.dumps(wrong))
    editor.press("import-go")
    editor.page.wait_for_selector("#import-problems:not([hidden])")
    told = editor.at("import-problems").inner_text()
    assert "prompt" in told
    assert "expected x1 < x2" in told
    editor.keys("Escape")
    assert editor.layers() == []


def test_an_example_is_opened_from_the_gallery(editor: Editor) -> None:
    editor.press("examples")
    editor.at("example-list").get_by_role("button").nth(1).click()
    assert len(editor.layers()) == 3
    editor.press("undo")
    assert editor.layers() == []


def test_the_gallery_shows_what_the_model_draws(editor: Editor) -> None:
    """Pictures over the boxes, described by their captions, and the boxes for those who point at a card."""
    editor.press("examples")
    pictures = editor.at("example-list").locator("img")
    assert pictures.count() == editor.at("example-list").get_by_role("button").count() > 20
    assert pictures.nth(1).get_attribute("alt") == "a dancing woman, a yellow umbrella, a white dog"
    for number in range(pictures.count()):
        pictures.nth(number).scroll_into_view_if_needed()
    editor.until("[...document.querySelectorAll('#example-list img')].every((image) => image.naturalWidth > 0)")
    sizes = pictures.evaluate_all("all => all.map((image) => Math.max(image.naturalWidth, image.naturalHeight))")
    assert set(sizes) == {128}
    seen = "(image) => Number(getComputedStyle(image).opacity)"
    card = editor.at("example-list").get_by_role("button").nth(1)
    editor.at("example-list").get_by_role("button").nth(3).hover()
    assert pictures.nth(1).evaluate(seen) == 1
    card.hover()
    assert pictures.nth(1).evaluate(seen) < 0.5
    editor.keys("Escape")


def test_while_the_pictures_of_the_gallery_load_their_boxes_are_seen(editor: Editor) -> None:
    editor.page.route("**/static/examples/*", lambda route: None)
    editor.reload()
    editor.press("examples")
    picture = editor.at("example-list").locator("img").first
    assert picture.evaluate("(image) => [image.naturalWidth, getComputedStyle(image).opacity]") == [0, "0"]
    assert editor.at("example-list").locator("svg").first.is_visible()
    editor.page.unroute("**/static/examples/*")
    editor.reload()


def test_a_picture_brings_its_layout_along(editor: Editor, tmp_path: Path) -> None:
    editor.load((EXAMPLES / "three-animals.json").read_text(encoding="utf-8"))
    before = editor.layout()
    editor.generate()
    editor.press("downloads")
    with editor.page.expect_download() as waiting:
        editor.press("download-image")
    waiting.value.save_as(tmp_path / "picture.png")
    editor.press("new")
    editor.press("import")
    editor.at("import-file").set_input_files(tmp_path / "picture.png")
    editor.page.wait_for_selector("#import:not([open])", state="attached")
    assert editor.layout() == before


IN_THE_PAGE = """async (encoded) => {
  const { recordText } = await import("/static/js/png.js");
  try {
    return { text: await recordText(Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0))) };
  } catch (error) {
    return { problem: error.message };
  }
}"""


def test_the_browser_finds_every_record_where_python_does(editor: Editor) -> None:
    for case in cases():
        if len(case.content) < 2**20:
            told = editor.page.evaluate(IN_THE_PAGE, base64.b64encode(case.content).decode())
            assert (told.get("text"), told.get("problem")) == (case.text, case.problem), case.name


def test_a_picture_that_another_program_saved_again_brings_its_layout_along(editor: Editor, tmp_path: Path) -> None:
    layout = read_layout(EXAMPLES / "two-fruits.json").model_copy(update={"seed": 7})
    record = json.dumps({"layout": json.loads(write_layout(layout)), "seed": 7})
    (tmp_path / "moved.png").write_bytes(png(after=international(record, is_packed=True)))
    editor.press("import")
    editor.at("import-file").set_input_files(tmp_path / "moved.png")
    editor.page.wait_for_selector("#import:not([open])", state="attached")
    assert len(editor.layers()) == 2


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0", "expected a PNG or a text file in UTF-8, got photo.jpg"),
        ("cut.png", png(plain())[:-20], "expected a whole PNG, got one that is cut off in chunk IDAT at byte"),
        ("bare.png", png(), "This PNG carries no layout."),
        ("long.json", b" " * (2**20 + 1), "expected a file of at most 1 MB, got long.json"),
    ],
)
def test_files_that_hold_no_layout_are_named(
    editor: Editor, tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    editor.press("import")
    editor.at("import-file").set_input_files(tmp_path / name)
    editor.page.wait_for_selector("#import-problems:not([hidden])")
    assert problem in editor.at("import-problems").inner_text()
    editor.keys("Escape")
