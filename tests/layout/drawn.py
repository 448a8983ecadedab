"""Hypothesis strategies for parts of layouts."""

from __future__ import annotations

from hypothesis import strategies as st

from occlusionformer.layout import Box, Depths, FrontToBack, Instance, Layout, Pair, Pairs, Polygon, RunLength, ZOrder

fractions = st.floats(0, 1, allow_subnormal=False)
sides = st.tuples(fractions, fractions).filter(lambda side: abs(side[0] - side[1]) > 1e-5)
texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12).filter(lambda text: text.strip())


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x1, x2 = sorted(draw(sides))
    y1, y2 = sorted(draw(sides))
    return Box(x1, y1, x2, y2)


@st.composite
def edges(draw: st.DrawFn, count: int) -> frozenset[tuple[int, int]]:
    every = [(i, j) for i in range(count) for j in range(count) if i != j]
    return draw(st.frozensets(st.sampled_from(every), max_size=len(every))) if every else frozenset()


@st.composite
def zorders(draw: st.DrawFn, most: int = 6) -> ZOrder:
    count = draw(st.integers(0, most))
    return ZOrder(count, draw(edges(count)))


@st.composite
def masks(draw: st.DrawFn, most: int = 8) -> list[list[int]]:
    """Rows of 0 and 1 with at least one 1."""
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    pixels = draw(st.lists(st.integers(0, 1), min_size=height * width, max_size=height * width).filter(any))
    return [pixels[row * width : (row + 1) * width] for row in range(height)]


@st.composite
def polygons(draw: st.DrawFn, box: Box) -> Polygon:
    """The box itself, or the half of it above a diagonal."""
    extra = [(box.x1, box.y2)] if draw(st.booleans()) else []
    return Polygon(points=[(box.x1, box.y1), (box.x2, box.y1), (box.x2, box.y2), *extra])


@st.composite
def instances(draw: st.DrawFn, identifier: str) -> Instance:
    box = draw(boxes())
    region = st.one_of(st.none(), polygons(box), st.just(RunLength(size=(2, 3), counts=[1, 4, 1])))
    return Instance(
        id=identifier,
        caption=draw(texts),
        box=box,
        category=draw(st.none() | texts),
        region=draw(region),
        opacity=draw(fractions),
    )


@st.composite
def orders(draw: st.DrawFn, ids: list[str]) -> FrontToBack | Pairs | Depths | None:
    listed = draw(st.permutations(ids).map(lambda order: order[: draw(st.integers(0, len(order)))]))
    total = FrontToBack(front_to_back=listed)
    depths = Depths(depths={name: draw(st.integers(-3, 3) | st.floats(-9, 9)) for name in listed})
    pairs = Pairs(pairs=[Pair(front=ids[f], behind=ids[b]) for f, b in draw(edges(len(ids)))])
    return draw(st.sampled_from([None, total, depths, pairs]))


@st.composite
def layouts(draw: st.DrawFn, most: int = 4) -> Layout:
    """Any layout; loops are kept or broken, so that none is refused."""
    ids = draw(st.lists(texts, max_size=most, unique=True))
    return Layout(
        prompt=draw(texts),
        width=draw(st.integers(1, 3000)),
        height=draw(st.integers(1, 3000)),
        seed=draw(st.none() | st.integers(0, 2**63 - 1)),
        instances=[draw(instances(name)) for name in ids],
        order=draw(orders(ids)),
        cycles=draw(st.sampled_from(["allow", "break"])),
        closure=draw(st.booleans()),
    )
