"""From a layout to a picture: progress, previews, cancelling, masks, weights, another order, history."""

from __future__ import annotations

import io
import json
import threading
import zipfile

import pytest
from PIL import Image

from occlusionformer.apps.studio.server import StudioConfig, StudioServer, build_studio
from occlusionformer.generation import read_provenance
from tests.apps.painter import colour_of
from tests.apps.studio_browser.conftest import Running, sync_api
from tests.apps.studio_browser.editor import Editor
from tests.apps.studio_browser.slow_painter import SlowPainter

OVERLAP = (0.5, 0.5)
APPLE, PEAR = colour_of(0), colour_of(1)


@pytest.fixture
def fruit(editor: Editor) -> Editor:
    editor.draw((0.1, 0.2, 0.6, 0.7), "a red apple")
    editor.draw((0.4, 0.3, 0.9, 0.9), "a green pear", holding="Control")
    editor.at("seed").fill("7")
    editor.keys("Tab")
    return editor


def download(editor: Editor, test_id: str) -> bytes:
    if not editor.at(test_id).is_visible():
        editor.press("downloads")
    with editor.page.expect_download() as waiting:
        editor.press(test_id)
    return waiting.value.path().read_bytes()


def test_progress_previews_and_the_picture_are_seen(fruit: Editor, studio: Running) -> None:
    studio.painter.seconds_a_step = 0.15
    fruit.press("generate")
    fruit.until("/Step \\d+ of 8/.test(document.getElementById('progress-text').textContent)")
    fruit.page.wait_for_selector("#frame.forming #picture[src^='data:image/png']")
    assert fruit.at("generate").is_hidden()
    fruit.wait_for_picture(0)
    assert fruit.at("progress").is_hidden()
    assert fruit.pixel(OVERLAP) == PEAR
    assert "Seed 7" in fruit.at("picture").get_attribute("alt")


def test_dragging_a_layer_changes_the_overlap_and_nothing_else(fruit: Editor) -> None:
    fruit.generate()
    assert fruit.pixel(OVERLAP) == PEAR
    ground = fruit.pixel((0.02, 0.02))
    fruit.select("a red apple")
    fruit.press("to-front")
    fruit.generate()
    assert fruit.pixel(OVERLAP) == APPLE
    assert fruit.pixel((0.02, 0.02)) == ground


def test_cancelling_stops_within_one_step(fruit: Editor, studio: Running) -> None:
    studio.painter.seconds_a_step = 0.25
    fruit.at("steps").fill("60")
    fruit.press("generate")
    fruit.until("/Step [2-9]/.test(document.getElementById('progress-text').textContent)")
    with fruit.page.expect_response("**/cancel"):
        fruit.press("cancel")
    done = len(studio.painter.steps_done)
    fruit.page.wait_for_selector("html:not(.running)", state="attached")
    assert "Cancelled after step" in fruit.at("problems").inner_text()
    fruit.page.wait_for_timeout(600)
    assert len(studio.painter.steps_done) <= done + 1 < 60
    assert fruit.at("history-item").count() == 0
    fruit.at("steps").fill("8")
    studio.painter.seconds_a_step = 0.02
    fruit.generate()


def test_those_who_wait_see_how_many_are_ahead(fruit: Editor, studio: Running) -> None:
    studio.painter.seconds_a_step = 0.2
    other = {"layout": fruit.layout(), "keep": True}
    for _ in range(2):
        assert fruit.page.request.post(f"{fruit.address}/api/generate", data=other).status == 202
    fruit.press("generate")
    fruit.until("/[12] jobs? ahead/.test(document.getElementById('progress-text').textContent)")
    studio.painter.seconds_a_step = 0.01
    fruit.wait_for_picture(0)


def test_masks_are_laid_over_the_picture_one_by_one(fruit: Editor) -> None:
    fruit.generate()
    count = """() => {
        const masks = document.getElementById("masks");
        const context = new OffscreenCanvas(masks.width, masks.height).getContext("2d");
        context.drawImage(masks, 0, 0);
        const { data } = context.getImageData(0, 0, masks.width, masks.height);
        return data.filter((value, place) => place % 4 === 3 && value > 0).length;
    }"""
    fruit.until("document.getElementById('masks').width === 256")
    assert fruit.page.evaluate(count) == 0
    fruit.at("mask-toggle").first.check()
    pear = fruit.page.evaluate(count)
    assert pear == pytest.approx(0.5 * 0.6 * 256 * 256, rel=0.06)
    fruit.at("mask-toggle").nth(1).check()
    assert fruit.page.evaluate(count) > pear
    fruit.at("mask-toggle").nth(1).uncheck()
    assert fruit.page.evaluate(count) == pear


def test_weights_are_told_for_the_pixel_that_is_pointed_at(fruit: Editor) -> None:
    fruit.generate()
    frame = fruit.at("frame").bounding_box()
    for (x, y), shares in {
        (0.2, 0.5): ["0 %", "100 %"],
        (0.8, 0.6): ["100 %", "0 %"],
        (0.5, 0.5): ["50 %", "50 %"],
    }.items():
        fruit.page.mouse.move(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"])
        assert [text.strip() for text in fruit.at("share").all_inner_texts()] == shares
    fruit.at("frame").focus()
    fruit.keys("ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp")
    assert [text.strip() for text in fruit.at("share").all_inner_texts()] == ["0 %", "0 %"]


def test_the_other_order_is_drawn_in_one_click_and_compared(fruit: Editor) -> None:
    fruit.generate()
    layout = fruit.layout()
    fruit.press("other-order")
    fruit.wait_for_picture(1)
    fruit.page.wait_for_selector("#before:not([hidden])")
    assert fruit.pixel(OVERLAP) == APPLE
    assert fruit.layout() == layout
    slider = fruit.at("compare-range")
    slider.focus()
    fruit.keys("Home")
    assert "100%" in fruit.at("before").evaluate("node => node.style.clipPath")
    fruit.keys("End")
    assert fruit.at("before").evaluate("node => node.style.clipPath") in (
        "inset(0px)",
        "inset(0px 0% 0px 0px)",
        "inset(0 0% 0 0)",
    )
    first, second = fruit.page.evaluate(
        "[...document.querySelectorAll('#before-name, #after-name')].map((e) => e.textContent)"
    )
    assert (first, second) == ("a green pear in front", "a red apple in front")


def test_everything_can_be_downloaded(fruit: Editor, tmp_path) -> None:
    fruit.generate()
    (tmp_path / "picture.png").write_bytes(download(fruit, "download-image"))
    provenance = read_provenance(tmp_path / "picture.png")
    assert provenance["seed"] == 7
    assert [each["caption"] for each in provenance["layout"]["instances"]] == ["a red apple", "a green pear"]
    layout = json.loads(download(fruit, "download-layout"))
    assert layout == {**fruit.layout(), "seed": 7}
    masks = zipfile.ZipFile(io.BytesIO(download(fruit, "download-masks")))
    assert masks.testzip() is None
    assert masks.namelist() == ["1-a-red-apple.png", "2-a-green-pear.png"]
    mask = Image.open(masks.open("1-a-red-apple.png")).convert("L")
    assert (mask.getpixel((50, 120)), mask.getpixel((5, 5))) == (255, 0)
    cutouts = zipfile.ZipFile(io.BytesIO(download(fruit, "download-cutouts")))
    cutout = Image.open(cutouts.open("2-a-green-pear.png"))
    assert cutout.mode == "RGBA"
    assert cutout.getpixel((200, 200)) == (*PEAR, 255)
    assert cutout.getpixel((5, 5))[3] == 0
    with fruit.page.expect_download() as waiting:
        fruit.at("cutout").first.click()
    assert waiting.value.suggested_filename == "a-green-pear.png"


def test_several_pictures_have_seeds_of_their_own(fruit: Editor) -> None:
    fruit.at("images").get_by_role("button", name="3").click()
    fruit.press("generate")
    fruit.wait_for_picture(2)
    names = [each.get_attribute("title") for each in fruit.page.locator("#thumbnails button").all()]
    assert names == ["Seed 7", "Seed 8", "Seed 9"]


def test_an_unlocked_seed_is_new_each_time_and_can_be_kept(fruit: Editor, studio: Running) -> None:
    fruit.press("seed-lock")
    fruit.generate()
    fruit.generate()
    first, second = [request.seed for request in studio.painter.requests[-2:]]
    assert first != second
    fruit.press("seed-lock")
    assert fruit.at("seed").input_value() == str(second)
    fruit.generate()
    assert studio.painter.requests[-1].seed == second


def test_history_survives_a_reload_and_brings_a_layout_back(fruit: Editor) -> None:
    fruit.generate()
    before = fruit.layout()
    fruit.press("new")
    fruit.reload()
    assert fruit.at("history-item").count() == 1
    fruit.at("history-item").click()
    fruit.until("document.getElementById('picture').naturalWidth === 256")
    assert fruit.pixel(OVERLAP) == PEAR
    fruit.at("history-item").hover()
    fruit.press("history-edit")
    assert fruit.layout() == before


def test_a_job_goes_on_through_a_reload(fruit: Editor, studio: Running) -> None:
    studio.painter.seconds_a_step = 0.3
    fruit.press("generate")
    fruit.until("/Step 1/.test(document.getElementById('progress-text').textContent)")
    fruit.reload()
    fruit.wait_for_picture(0)
    assert fruit.pixel(OVERLAP) == PEAR


def test_what_is_missing_is_said_before_anything_is_asked(editor: Editor) -> None:
    editor.at("prompt").fill("")
    editor.press("add")
    editor.keys("Escape")
    editor.press("generate")
    told = editor.at("problems").inner_text()
    assert "Describe the background" in told
    assert "no caption" in told


def test_a_canvas_the_model_was_not_made_for_is_drawn_at_its_own_size(fruit: Editor, studio: Running) -> None:
    fruit.at("canvas").select_option("other")
    fruit.page.locator("#canvas-width").fill("1024")
    fruit.page.locator("#canvas-height").fill("768")
    fruit.keys("Enter")
    assert "288 × 224 px" in fruit.at("size-note").inner_text()
    fruit.generate()
    assert studio.painter.requests[-1].canvas == (288, 224)
    assert (fruit.layout()["width"], fruit.layout()["height"]) == (1024, 768)


def test_numbers_nobody_chose_are_left_to_a_model_that_is_still_loading(browser: sync_api.Browser) -> None:
    """Its defaults are not known yet; whatever the page showed instead would be drawn."""
    go, painter = threading.Event(), SlowPainter()

    def load(name: str) -> SlowPainter:
        assert go.wait(30)
        return painter

    server = StudioServer(build_studio(StudioConfig(port=0, serves_gradio=False), load=load))
    with server.running() as address:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        context.set_default_timeout(30_000)
        editor = Editor(context.new_page(), address)
        editor.open()
        assert editor.page.locator("#steps-value").inner_text() == "default"
        editor.press("generate")
        editor.until("document.documentElement.classList.contains('running')")
        go.set()
        editor.wait_for_picture(0)
        (request,) = painter.requests
        assert (request.steps, request.guidance, request.grounding_ratio) == (None, None, None)
        assert request.canvas == (256, 256), "the canvas of the layout"
        editor.until("document.getElementById('steps-value').textContent === '8'")
        assert editor.complaints() == []
        context.close()
