"""Layouts as a map of colours and a map of depth."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from occlusionformer.layout import (
    Box,
    Depths,
    FrontToBack,
    Instance,
    Layout,
    LayoutError,
    Pair,
    Pairs,
    Polygon,
    RunLength,
)
from occlusionformer.pictures.maps import layout_maps, map_losses


def layout(order: Any = None, **fields: Any) -> Layout:
    instances = [
        Instance(id="cat", caption="a cat", box=Box(0, 0, 0.5, 0.5)),
        Instance(id="vase", caption="a vase", box=Box(0.25, 0.25, 1, 1)),
        Instance(id="wall", caption="a wall", box=Box(0, 0, 1, 0.5)),
    ]
    return Layout(
        prompt="a room", width=8, height=4, instances=fields.pop("instances", instances), order=order, **fields
    )


def owners(maps: Any) -> list[str]:
    """Who is seen at each pixel, a letter each."""
    letters = {colour: "cvw"[place] for place, colour in enumerate(maps.legend)}
    return ["".join(letters.get(tuple(int(part) for part in pixel), ".") for pixel in row) for row in maps.colours]


def test_the_nearest_is_seen_and_near_is_white():
    maps = layout_maps(layout(FrontToBack(front_to_back=["cat", "vase", "wall"])))
    assert owners(maps) == ["ccccwwww", "ccccvvvv", "..vvvvvv", "..vvvvvv"]
    assert maps.depth.tolist() == [
        [255] * 4 + [85] * 4,
        [255] * 4 + [170] * 4,
        [0, 0] + [170] * 6,
        [0, 0] + [170] * 6,
    ]
    maps = layout_maps(layout(FrontToBack(front_to_back=["wall", "vase", "cat"])))
    assert owners(maps) == ["wwwwwwww", "wwwwwwww", "..vvvvvv", "..vvvvvv"]


def test_depth_goes_with_distance():
    maps = layout_maps(layout(Depths(depths={"cat": 1, "vase": 2, "wall": 5})))
    greys = {letter: int(maps.depth[y, x]) for letter, y, x in (("c", 0, 0), ("v", 3, 7), ("w", 0, 7))}
    assert greys == {"c": 255, "v": 212, "w": 85}


def test_what_is_not_related_is_as_near():
    maps = layout_maps(layout(Pairs(pairs=[Pair(front="cat", behind="wall")])))
    assert (int(maps.depth[0, 0]), int(maps.depth[3, 7])) == (255, 255)
    assert set(np.unique(layout_maps(layout()).depth)) == {0, 255}


def test_regions_are_drawn_to_the_pixel():
    half = Polygon(points=[(0, 0), (1, 0), (0, 1)])
    checks = RunLength(size=(2, 2), counts=[1, 2, 1])
    drawn = [
        Instance(id="cat", caption="a", box=Box(0, 0, 1, 1), region=half),
        Instance(id="vase", caption="b", box=Box(0.5, 0, 1, 1), region=checks),
    ]
    maps = layout_maps(layout(FrontToBack(front_to_back=["vase", "cat"]), instances=drawn))
    assert owners(maps) == ["ccccvvvv", "ccccvvvv", "ccc.....", "c......."]


def test_every_instance_has_a_colour_of_its_own():
    many = [Instance(id=str(k), caption="a", box=Box(0, 0, 1, 1)) for k in range(500)]
    legend = layout_maps(layout(instances=many)).legend
    assert len(set(legend)) == 500
    assert (0, 0, 0) not in legend


def test_the_files_are_pngs_of_the_canvas():
    maps = layout_maps(layout())
    files = {name: Image.open(BytesIO(content)) for name, content in maps.files().items()}
    assert {name: (file.format, file.mode, file.size) for name, file in files.items()} == {
        "colours": ("PNG", "RGB", (8, 4)),
        "depth": ("PNG", "L", (8, 4)),
    }
    assert np.array_equal(np.asarray(files["colours"]), maps.colours)
    assert np.array_equal(np.asarray(files["depth"]), maps.depth)


def test_what_maps_do_not_say_is_told():
    told = [str(problem) for problem in map_losses(layout(Pairs(pairs=[Pair(front="cat", behind="wall")]), seed=3))]
    assert told == [
        "prompt: maps cannot hold 'a room'",
        "seed: maps cannot hold 3",
        "instances[0].id: maps cannot hold 'cat'",
        "instances[0].caption: maps cannot hold 'a cat'",
        "instances[1].id: maps cannot hold 'vase'",
        "instances[1].caption: maps cannot hold 'a vase'",
        "instances[2].id: maps cannot hold 'wall'",
        "instances[2].caption: maps cannot hold 'a wall'",
        "instances: maps cannot hold what is hidden, in 1 overlaps of boxes",
        "order: maps cannot leave 2 overlaps of boxes without a relation",
    ]


def test_a_canvas_that_is_too_large_is_refused():
    with pytest.raises(LayoutError) as caught:
        layout_maps(Layout(prompt="a", width=65535, height=65535))
    assert caught.value.problems == ["width: expected a canvas of at most 67108864 pixels, got 65535 x 65535"]
