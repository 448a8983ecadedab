"""Polygons that lie far outside, and pictures of the largest size: they once crashed a command or filled the memory."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from occlusionformer.data.records import RecordFolder, decode_masks
from tests.apps.conftest import Command, run
from tests.cases.commands import LARGEST, converted, refused, work
from tests.cases.replay import refusal, replay

__all__ = ["run", "work"]

DATA = Path(__file__).parent / "data"
FAR_OUTSIDE = re.compile(
    r"(case|cocoa)\.json: record '?1'?: (annotations\[0\]|regions\[0\])\.segmentation(\[0\])?: expected corners on the "
    r"picture of 64 x 48, or less than its sides away from it, got \[[0-9.]+, [0-9.]+\]\n?"
)
KINDS = [("case", "coco-amodal"), ("case", "kins"), ("cocoa", "cocoa")]


def with_a_far_polygon(name: str, kind: str, folder: Path) -> tuple[str, ...]:
    """The command that reads one of the files in a folder."""
    shutil.copy(DATA / "segfault-huge-polygon" / f"{name}.json", folder)
    return ("data", "convert", f"{name}.json", "set", "--from", kind)


def orders_of_a_far_polygon(folder: Path) -> tuple[str, ...]:
    """The command that reads InstaOrder's file about it."""
    shutil.copy(DATA / "segfault-huge-polygon" / "case.json", folder / "coco.json")
    orders = {"annotations": [{"image_id": 1, "instance_ids": [7], "occlusion": [], "depth": []}]}
    (folder / "orders.json").write_text(json.dumps(orders))
    return ("data", "convert", "orders.json", "set", "--from", "instaorder", "--instances", "coco.json")


def test_a_polygon_far_outside_is_refused(run: Command, work: Path):
    for name, kind in KINDS:
        (line,) = refused(run, work, *with_a_far_polygon(name, kind, work))
        assert FAR_OUTSIDE.fullmatch(line), kind
    (line,) = refused(run, work, *orders_of_a_far_polygon(work))
    assert line.startswith("orders.json: record 1: instance_ids[0].segmentation[0]: expected corners on the picture")


def test_a_polygon_far_outside_costs_nothing(tmp_path: Path):
    assert FAR_OUTSIDE.fullmatch(refusal(*with_a_far_polygon("case", "coco-amodal", tmp_path), folder=tmp_path))


@pytest.mark.slow
def test_a_polygon_far_outside_costs_nothing_in_any_file(tmp_path: Path):
    for name, kind in KINDS[1:]:
        assert FAR_OUTSIDE.fullmatch(refusal(*with_a_far_polygon(name, kind, tmp_path), folder=tmp_path))
    assert "expected corners on the picture" in refusal(*orders_of_a_far_polygon(tmp_path), folder=tmp_path)


def test_a_polygon_far_outside_is_cut_off_when_asked_to(run: Command, work: Path):
    said = converted(run, DATA / "segfault-huge-polygon" / "case.json", "coco-amodal", "--repair")
    assert said[0] == "set (1 records)"
    assert said[1].startswith("repaired: case.json: record 1: annotations[0].segmentation[0]: cut off at the edges of")
    [record] = RecordFolder("set")
    [mask_HW] = decode_masks([record.instances[0].visible_mask])
    # The corners that stay, and the straight lines to the one far away at (210000000, 350000000).
    assert mask_HW[33, 5]
    assert not mask_HW[2:4].any()
    assert mask_HW.any(axis=1).sum() > 40


def huge_ring() -> list[list[float]]:
    """Back and forth over the largest picture: forty million pixels of outline in eight kilobytes."""
    return [[number for place in range(600) for number in (65_535 * (place % 2), place)]]


RUN_LENGTHS = {"segmentation": LARGEST, "amodal_segm": LARGEST}
POLYGONS = {"segmentation": [[0, 0, 65_535, 0, 65_535, 65_535, 0, 65_535]] * 3}
HARMLESS = ("data", "convert", "scenes", "set", "--count", "1", "--size", "64")


def largest_pictures(change: dict[str, Any], folder: Path) -> tuple[str, ...]:
    """The command that reads a file of a picture of the largest size."""
    rows = [{"id": place, "image_id": 1, "category_id": 1, **change} for place in range(3)]
    document = {
        "images": [{"id": 1, "width": 65_535, "height": 65_535}],
        "annotations": rows,
        "categories": [{"id": 1, "name": "sky"}],
    }
    (folder / "in.json").write_text(json.dumps(document))
    return ("data", "convert", "in.json", "set", "--from", "coco-amodal")


def cheap(command: tuple[str, ...], folder: Path) -> None:
    reply = replay(*command, folder=folder, harmless=HARMLESS)
    assert reply.code == 0, reply.stderr
    assert reply.seconds_beyond < 2, command
    assert reply.memory_beyond < 500 * 2**20, command


def test_outlines_that_go_back_and_forth_are_refused(tmp_path: Path):
    command = largest_pictures({"segmentation": huge_ring()}, tmp_path)
    assert "expected outlines of at most 1000000 pixels" in refusal(*command, folder=tmp_path)


@pytest.mark.parametrize("change", [RUN_LENGTHS, POLYGONS], ids=["run lengths", "polygons"])
def test_the_largest_pictures_cost_no_more_than_their_shapes(tmp_path: Path, change: dict[str, Any]):
    cheap(largest_pictures(change, tmp_path), tmp_path)


@pytest.mark.parametrize(
    "change",
    [pytest.param(RUN_LENGTHS, id="run lengths"), pytest.param(POLYGONS, id="polygons", marks=pytest.mark.slow)],
)
def test_what_is_written_of_them_costs_no_more_either(run: Command, work: Path, change: dict[str, Any]):
    assert run(*largest_pictures(change, work)).code == 0
    for words in (("data", "validate", "set"), ("data", "show", "set", "-o", "page.html")):
        cheap(words, work)
