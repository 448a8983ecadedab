"""What is written and read again differs in what `losses` lists, and in nothing else: 500 layouts by every format."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import pytest

from occlusionformer.layout import (
    FORMATS,
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
    read_layout,
    write_layout,
)
from tests.properties import examples

pytestmark = pytest.mark.filterwarnings("ignore:gligen writes phrases:FutureWarning")  # what its name meant before

LAYOUTS = examples(500).max_examples
IDS = ["cat", "cat_1", "dog-2", "1", "2", "3", "Ünder", "a b", "obj_2", "x.y"]
PROMPTS = [
    "a room",
    "a room\nwith a window",
    "things in front of",
    "a <cat_1> there",
    " <obj_1>.",
    "x <cat_1>. <cat_1> in front of <obj_2>.",
    'text "A": [{"id": 1}]',
    "[]",
    '["a"]',
    "``` canvas.add_local_description(",
    "  two  blanks ",
    "\tline\r\nline\u2028end\n",
    "\\n ' \" \\",
]
CAPTIONS = ["a cat", 'text "SALE"', 'text "50%": red "letters"', "a <dog_1>", "it's\na [1, 2]", "x [{", "```", " b "]


def some_box(random: Random) -> Box:
    """On a grid that most formats hold, anywhere, or thinner than any grid."""
    step = random.choice((2, 4, 1000, 0, -1))
    if step > 0:
        x1, x2 = sorted(random.sample(range(step + 1), 2))
        y1, y2 = sorted(random.sample(range(step + 1), 2))
        return Box(x1 / step, y1 / step, x2 / step, y2 / step)
    x, y = random.random() * 0.9, random.random() * 0.9
    width, height = (1e-5, 1e-5) if step < 0 else (0.1 * random.random() + 1e-6, 0.1)
    return Box(x, y, x + width, y + height)


def some_order(random: Random, ids: list[str]) -> tuple[Any, str]:
    """An order of any kind, and a policy on loops that keeps the layout valid."""
    listed = random.sample(ids, random.choice((len(ids), random.randint(0, len(ids)))))
    kind = random.randrange(6)
    if kind == 0:
        return None, "error"
    if kind in (1, 2):
        return FrontToBack(front_to_back=listed), random.choice(("error", "allow"))
    if kind == 3:
        depths = {name: random.choice((1.0, 2.0, 2.5, -1.0, 0.1)) for name in listed}
        return Depths(depths=depths), "error"
    every = [(front, behind) for front in ids for behind in ids if front != behind]
    chosen = random.sample(every, random.randint(0, len(every)) if kind == 4 else min(1, len(every)))
    pairs = Pairs(pairs=[Pair(front=front, behind=behind) for front, behind in chosen])
    return pairs, random.choice(("allow", "break"))


@cache
def some_layout(number: int) -> Layout:
    random = Random(f"layout {number}")
    ids = random.sample(IDS, random.randint(0, 5))
    order, cycles = some_order(random, ids)
    instances = []
    for name in ids:
        box = some_box(random)
        corners = [(box.x1, box.y1), (box.x2, box.y1), (box.x2, box.y2)]
        region = random.choice((None, None, None, Polygon(points=corners), RunLength(size=(2, 3), counts=[0, 6])))
        instances.append(
            Instance(
                id=name,
                caption=f"{random.choice(CAPTIONS)} {len(instances)}",
                box=box,
                category=random.choice((None, "thing")),
                region=region,
                opacity=random.choice((1, 1, 0.5, 0.123456789)),
            )
        )
    return Layout(
        prompt=random.choice(PROMPTS),
        width=random.choice((1, 640, 1024, 1999)),
        height=random.choice((1, 480, 1024)),
        seed=random.choice((None, 0, 7)),
        instances=instances,
        order=order,
        cycles=cycles,
        closure=random.choice((False, True)),
    )


def told_as_lost(layout: Layout, form: str) -> set[str]:
    problems: list[str] = []
    try:
        write_layout(layout, form)
    except LayoutError as error:
        problems = error.problems
    assert all(f"the {form} format " in problem for problem in problems)
    return {problem.split(": ")[0] for problem in problems}


def edges(layout: Layout) -> set[tuple[str, str]] | None:
    words = [instance.caption for instance in layout.instances]
    return None if layout.zorder is None else {(words[front], words[behind]) for front, behind in layout.zorder.edges}


def depths(layout: Layout) -> dict[str, float] | None:
    if not isinstance(layout.order, Depths):
        return None
    words = {instance.id: instance.caption for instance in layout.instances}
    return {words[name]: depth for name, depth in layout.order.depths.items()}


def differences(layout: Layout, again: Layout, form: str) -> set[str]:
    """What is not the same; captions, which no format loses, tell who is who."""
    found = {
        name
        for name in ("prompt", "width", "height", "seed", "closure")
        if getattr(layout, name) != getattr(again, name)
    }
    if form != "native" and layout.cycles != (
        FORMATS[form].cycles if "cycles" in FORMATS[form].options else again.cycles
    ):
        found.add("cycles")
    kept = {instance.caption: instance for instance in again.instances}
    assert sorted(kept) == sorted(instance.caption for instance in layout.instances)
    for place, instance in enumerate(layout.instances):
        other = kept[instance.caption]
        for name in ("id", "category", "region", "opacity"):
            if getattr(instance, name) != getattr(other, name):
                found.add(f"instances[{place}].{name}")
        if any(abs(edge - twin) > 1e-9 for edge, twin in zip(instance.box, other.box, strict=True)):
            found.add(f"instances[{place}].box")
    if isinstance(layout.order, Depths) and depths(layout) != depths(again):
        found.add("order.depths")
    if len(layout.instances) > 1 and edges(layout) != edges(again):
        found.add("order")
    return found


def same_shape(region: Any, other: Any) -> bool:
    """Corners of polygons, which pixels hold to the last digits only."""
    pairs = zip(region.points, other.points, strict=True)
    return all(abs(a - b) < 1e-9 for point, twin in pairs for a, b in zip(point, twin, strict=True))


@pytest.mark.parametrize("form", FORMATS)
def test_what_differs_is_what_is_told(form: str) -> None:
    needs = FORMATS[form].needs
    kinds: set[str] = set()
    for number in range(LAYOUTS):
        layout = some_layout(number)
        given = {name: getattr(layout, name) for name in needs}
        if "cycles" in FORMATS[form].options:
            given["cycles"] = "allow"
        again = read_layout(write_layout(layout, form, lossy=True), form, **given)
        told = told_as_lost(layout, form)
        assert needs <= told, number
        found = differences(layout, again, form)
        for place, instance in enumerate(layout.instances):
            other = next(each for each in again.instances if each.caption == instance.caption)
            if isinstance(instance.region, Polygon) and isinstance(other.region, Polygon):
                assert same_shape(instance.region, other.region), number
                found.discard(f"instances[{place}].region")
        loses_numbers_alone = {"order.depths"} <= told and "order" not in told
        assert found - ({"order"} if loses_numbers_alone else set()) == told - needs, (number, layout)
        kinds |= told
    assert kinds or form == "native"
    assert not kinds or form != "native"
