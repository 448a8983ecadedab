"""Overlays and contact sheets."""

from __future__ import annotations

import pytest
from PIL import Image, ImageChops

from occlusionformer.apps.drawing import SHEET_COLUMNS, Labelled, contact_sheet, draw_overlay, enlarged
from occlusionformer.layout import Box, FrontToBack, Instance, Layout, Pair, Pairs
from tests.tables import for_each

GREY = (128, 128, 128)


def picture(width: int = 128, height: int = 128) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def layout(**fields: object) -> Layout:
    instances = (
        Instance(id="cat", caption="a cat", box=Box(0.25, 0.25, 0.75, 0.75)),
        Instance(id="dog", caption="a dog with a very long caption " * 9, box=Box(0.5, 0.5, 1.0, 1.0)),
    )
    return Layout(prompt="a lawn", width=128, height=128, instances=instances, **fields)


def test_enlarging_goes_by_whole_factors_and_never_shrinks():
    assert enlarged(picture(100, 50), 768).size == (800, 400)
    assert enlarged(picture(1000, 50), 768).size == (1000, 50)


def test_boxes_are_outlined_where_they_are():
    overlay = draw_overlay(picture(), layout(order=FrontToBack(front_to_back=("cat", "dog"))))
    for x, y in ((192, 400), (575, 300), (300, 575)):
        assert overlay.getpixel((x, y)) != GREY
    for x, y in ((180, 400), (470, 300), (100, 100)):
        assert overlay.getpixel((x, y)) == GREY


def test_the_nearer_box_is_drawn_over_the_other():
    in_front = [
        draw_overlay(picture(), layout(order=FrontToBack(front_to_back=order))).getpixel((574, 384))
        for order in (("cat", "dog"), ("dog", "cat"))
    ]
    assert in_front[0] != in_front[1]


@pytest.mark.parametrize(
    "order",
    [
        None,
        FrontToBack(front_to_back=("dog", "cat")),
        Pairs(pairs=(Pair(front="cat", behind="dog"), Pair(front="dog", behind="cat"))),
    ],
    ids=["none", "total", "loop"],
)
def test_the_legend_depends_on_the_order(order: object):
    overlay = draw_overlay(picture(), layout(order=order, cycles="allow"))
    reference = draw_overlay(picture(), layout(order=FrontToBack(front_to_back=("cat", "dog"))))
    legends = [image.crop((0, 768, 768, image.height)) for image in (overlay, reference)]
    assert legends[0].size == legends[1].size
    assert ImageChops.difference(*legends).getbbox() is not None


def test_boxes_of_a_pixel_and_many_instances():
    instances = tuple(
        Instance(id=str(n), caption=f"thing {n}", box=Box(n / 50, 0.0, n / 50 + 0.001, 0.001)) for n in range(50)
    )
    overlay = draw_overlay(picture(), Layout(prompt="x", width=128, height=128, instances=instances))
    assert overlay.width == 768


@for_each(("count", "columns"), [(1, 1), (2, 2), (3, 2), (6, 3), (7, 3), (40, SHEET_COLUMNS)])
def test_a_sheet_has_a_cell_for_every_picture(count: int, columns: int):
    pictures = [Labelled(image=picture(), title="title", detail="detail") for _ in range(count)]
    sheet = contact_sheet(pictures)
    cell = 320 + 12
    assert sheet.width == columns * cell + 12
    row_height = (sheet.height - 12) // -(-count // columns)
    middles = [(172 + place % columns * cell, 172 + place // columns * row_height) for place in range(count)]
    assert [sheet.getpixel(middle) for middle in middles] == [GREY] * count


def test_long_labels_are_cut_and_pictures_of_any_shape_fit():
    pictures = [
        Labelled(image=picture(512, 64), title="wide", detail="word " * 200),
        Labelled(image=picture(64, 512), title="t" * 500, detail=""),
    ]
    assert contact_sheet(pictures).height < 320 + 12 * 3 + 22 * 9
