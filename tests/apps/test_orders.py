"""The command that draws the same boxes under several orders, and the choice of these orders."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from occlusionformer.apps.variants import order_variants
from occlusionformer.layout import Box, FrontToBack, Instance, Layout, Pair, Pairs, read_layout
from tests.apps.conftest import Command
from tests.apps.examples import GARDEN, RING, TWO_FRUITS
from tests.apps.painter import Painter, colour_of


def stacked(count: int, **fields: object) -> Layout:
    """Instances a, b, c, ... each overlapping the next only."""
    width = 2 / (count + 1)
    boxes = [Box(place * width / 2, 0.2, min(1.0, place * width / 2 + width * 0.9), 0.8) for place in range(count)]
    instances = tuple(Instance(id=name, caption=name, box=box) for name, box in zip("abcdef", boxes, strict=False))
    return Layout(prompt="a stack", width=64, height=64, instances=instances, **fields)


def details(layout: Layout) -> list[tuple[str, str]]:
    return [(variant.title, variant.detail) for variant in order_variants(layout)]


def test_two_instances_have_two_orders():
    assert details(read_layout(TWO_FRUITS)) == [("declared order", "apple > pear"), ("other order", "pear > apple")]


def test_three_instances_that_all_overlap_have_six():
    box = Box(0.1, 0.1, 0.9, 0.9)
    instances = tuple(Instance(id=name, caption=name, box=box) for name in "abc")
    layout = Layout(
        prompt="a", width=64, height=64, instances=instances, order=FrontToBack(front_to_back=("b", "a", "c"))
    )
    found = details(layout)
    assert found[0] == ("declared order", "b > a > c")
    assert sorted(detail for _, detail in found) == sorted(
        ["a > b > c", "a > c > b", "b > a > c", "b > c > a", "c > a > b", "c > b > a"]
    )


def test_orders_that_differ_only_where_nothing_overlaps_are_shown_once():
    """a and c never meet: of six orders, four look different."""
    assert len(details(stacked(3, order=FrontToBack(front_to_back=("a", "b", "c"))))) == 4


def test_a_loop_is_shown_as_declared_and_then_in_every_order():
    found = details(read_layout(RING))
    assert found[0] == ("declared order", "loop: basketball > drum > bear > basketball")
    assert len(found) == 7


def test_without_an_order_the_picture_comes_first_without_one():
    found = details(stacked(2))
    assert found == [("no order declared", ""), ("other order", "a > b"), ("other order", "b > a")]


def test_boxes_that_do_not_overlap_have_one_picture():
    instances = (
        Instance(id="a", caption="a", box=Box(0.0, 0.0, 0.4, 0.4)),
        Instance(id="b", caption="b", box=Box(0.5, 0.5, 0.9, 0.9)),
    )
    layout = Layout(prompt="a", width=64, height=64, instances=instances, order=FrontToBack(front_to_back=("a", "b")))
    assert details(layout) == [("declared order", "a > b")]


def test_more_instances_have_each_overlapping_pair_swapped():
    found = details(stacked(4, order=FrontToBack(front_to_back=("a", "b", "c", "d"))))
    assert [title for title, _ in found] == [
        "declared order", "swapped: b > a", "swapped: c > b", "swapped: d > c"
    ]  # fmt: skip
    assert found[1][1] == "b > a > c > d"


def test_swapping_one_pair_may_close_a_loop():
    instances = tuple(Instance(id=name, caption=name, box=Box(0.1, 0.1, 0.9, 0.9)) for name in "abcd")
    layout = Layout(
        prompt="a", width=64, height=64, instances=instances, order=FrontToBack(front_to_back=("a", "b", "c", "d"))
    )
    found = dict(details(layout))
    assert len(found) == 7
    assert found["swapped: c > a"] == "loop: a > b > c > a"
    for variant in order_variants(layout)[1:]:
        assert len(variant.layout.zorder.edges) == 6


def test_a_pair_without_a_relation_gets_one_in_both_directions():
    found = details(stacked(4, order=Pairs(pairs=(Pair(front="a", behind="b"),))))
    assert ("added: b > c", "a > b > c") in found
    assert ("added: c > b", "a > c > b") in found


def test_widest_overlap_is_swapped_first():
    variants = order_variants(read_layout(GARDEN))
    areas = []
    boxes = {instance.id: instance.box for instance in variants[0].layout.instances}
    for variant in variants[1:]:
        front, behind = variant.title.partition(": ")[2].split(" > ")
        areas.append(boxes[front].intersection(boxes[behind]).area)
    assert areas == sorted(areas, reverse=True)


def test_the_sheet_shows_both_orders_side_by_side(run: Command, painter: Painter, folder: Path):
    result = run("orders", TWO_FRUITS, "--output", "sheet.png")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "sheet.png (2 pictures, seed 7)", "declared order: apple > pear", "other order: pear > apple"
    ]  # fmt: skip
    sheet = Image.open("sheet.png")
    colours = [_dominant(sheet.crop((x, 150, x + 20, 170))) for x in (160, 492)]
    assert colours == [colour_of(0), colour_of(1)]


def _dominant(image: Image.Image) -> tuple[int, ...]:
    return max(image.getcolors(image.width * image.height))[1]


def test_every_picture_has_the_same_seed_and_settings(run: Command, painter: Painter, folder: Path):
    text = TWO_FRUITS.read_text().replace('"seed": 7,', "")
    (folder / "layout.json").write_text(text)
    result = run("orders", "layout.json", "--output", "sheet.png", "--steps", 5, "--json")
    assert result.json["seed"] == painter.requests[0].seed is not None
    assert len({(request.seed, request.steps) for request in painter.requests}) == 1
    assert result.json["pictures"][1] == {"title": "other order", "front_to_back": "pear > apple"}


def test_pictures_beyond_the_limit_are_counted(run: Command, painter: Painter, folder: Path):
    result = run("orders", GARDEN, "--output", "sheet.png", "--max-pictures", 2)
    count = len(order_variants(read_layout(GARDEN)))
    assert result.out.splitlines()[:2] == [
        "sheet.png (2 pictures, seed 5)",
        f"{count - 2} orders are left out; --max-pictures {count} shows all",
    ]
    assert len(painter.requests) == 2


@pytest.mark.parametrize("step", [1, 4])
def test_interrupting_leaves_no_sheet(step: int, run: Command, painter: Painter, folder: Path):
    painter.interrupted_in_step = step
    assert run("orders", TWO_FRUITS, "--output", "sheet.png").code == 130
    assert list(folder.iterdir()) == []
