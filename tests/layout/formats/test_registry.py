"""What all formats share: reading, writing, and refusing what would be lost."""

from __future__ import annotations

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

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
    read_layouts,
    write_layout,
    write_layouts,
)
from tests.layout.drawn import layouts
from tests.layout.formats.lost import LOST
from tests.properties import examples
from tests.tables import for_each

pytestmark = pytest.mark.filterwarnings("ignore:gligen writes phrases:FutureWarning")  # what its name meant before

FOREIGN = [name for name in FORMATS if name != "native"]


def test_the_formats_are_these():
    assert list(FORMATS) == [
        "native", "published", "sa-z", "overlaybench", "coco", "simpletuner", "comfy", "ideogram4", "flux3", "ming",
        "gligen", "gligen-diffusers", "larender", "omost",
    ]  # fmt: skip
    assert all(form.name == name and len(form.description) > 30 and form.order for name, form in FORMATS.items())


def test_another_format_is_refused():
    with pytest.raises(LayoutError) as caught:
        read_layouts("{}", "cooc")
    assert caught.value.problems == [
        "format: expected native, published, sa-z, overlaybench, coco, simpletuner, comfy, ideogram4, flux3, ming, "
        "gligen, gligen-diffusers, larender or omost, got 'cooc'"
    ]


@for_each(
    ("form", "known"),
    [
        ("native", set()),
        ("published", {"cycles"}),
        ("sa-z", {"cycles", "regions"}),
        ("overlaybench", set()),
        ("coco", {"prompt", "cycles", "regions"}),
        ("simpletuner", {"prompt", "width", "height", "cycles"}),
        ("gligen", {"prompt", "width", "height", "cycles"}),
        ("gligen-diffusers", {"prompt", "width", "height", "cycles"}),
        ("ideogram4", {"width", "height"}),
        ("flux3", {"width", "height"}),
        ("ming", {"prompt", "width", "height"}),
        ("larender", {"prompt", "width", "height"}),
        ("omost", {"width", "height"}),
        ("comfy", {"prompt", "width", "height", "list_order"}),
    ],
)
def test_options_that_mean_nothing_to_a_format_are_refused(form, known):
    options = {"prompt": "a", "width": 1, "height": 1, "cycles": "allow", "regions": False, "list_order": "none"}
    with pytest.raises(LayoutError) as caught:
        read_layouts("{}", form, **options)
    unknown = [f"{name}: not an option of the {form} format" for name in options if name not in known]
    if unknown:
        assert caught.value.problems == unknown


@given(layouts())
def test_our_own_format_holds_everything(layout):
    assert read_layout(write_layout(layout)) == layout


@given(st.lists(layouts(most=2), max_size=3))
def test_our_own_format_holds_any_number_of_layouts(several):
    assert read_layouts(write_layouts(several)) == several


def given_to_read(layout, form):
    """What a document of this format never says, as its reader has to be told it."""
    return {name: getattr(layout, name) for name in FORMATS[form].needs}


def loops(error: LayoutError) -> bool:
    """Whether a document is refused because its order goes round in a circle."""
    return "z-order loops" in str(error)


# What is drawn is tried in all formats: to draw it takes longer than to write and read it in one.


@examples(100)
@given(drawn=layouts(most=3))
def test_what_a_format_can_hold_survives_writing_and_reading(drawn):
    """Whatever a document says, its layout is written and read again without loss, to the last bit of a box."""
    for form in FOREIGN:
        note(form)
        told = given_to_read(drawn, form)
        written = write_layout(drawn, form, lossy=True)
        try:
            layout = read_layout(written, form, **told)
        except LayoutError as error:
            if loops(error):
                continue
            raise
        with_losses = bool(FORMATS[form].needs)
        assert read_layout(write_layout(layout, form, lossy=with_losses), form, **told) == layout


@examples(100)
@given(drawn=st.lists(layouts(most=2), min_size=2, max_size=3))
def test_several_layouts_survive_writing_and_reading(drawn):
    for form in FOREIGN:
        note(form)
        told = given_to_read(drawn[0], form)
        alike = [each.model_copy(update=told) for each in drawn]
        written = write_layouts(alike, form, lossy=True)
        try:
            several = read_layouts(written, form, **told)
        except LayoutError as error:
            if loops(error):
                continue
            raise
        assert len(several) == len(alike)
        assert read_layouts(write_layouts(several, form, lossy=bool(told)), form, **told) == several


def by_place(layout, order):
    """What is compared of a layout: everything but the order its instances are listed in, and how pairs are worded."""
    boxes = {instance.id: list(instance.box) for instance in layout.instances}
    words = {i.id: (i.caption, i.category, i.region, i.opacity) for i in layout.instances}
    ids = [instance.id for instance in layout.instances]
    edges = None if order is None else {(ids[front], ids[behind]) for front, behind in order.edges}
    return boxes, words, edges


def written_without_complaint(layout, form, told):
    """The document, or None where the format cannot hold the layout even when its reader is told the rest."""
    try:
        return write_layout(layout, form)
    except LayoutError as error:
        if not told or {problem.split(":")[0] for problem in error.problems} != set(told):
            return None
        return write_layout(layout, form, lossy=True)


@examples(100)
@given(drawn=layouts(most=3))
def test_what_is_written_without_complaint_is_all_there(drawn):
    for form in FOREIGN:
        note(form)
        told = given_to_read(drawn, form)
        written = written_without_complaint(drawn, form, told)
        if written is None:
            continue
        options = {"cycles": drawn.cycles} if "cycles" in FORMATS[form].options else {}
        again = read_layout(written, form, **options, **told)
        (boxes, words, edges), (kept_boxes, kept_words, kept_edges) = (
            by_place(each, each.zorder) for each in (drawn, again)
        )
        assert kept_words == words
        assert {name: pytest.approx(box, abs=1e-9) for name, box in boxes.items()} == kept_boxes
        assert kept_edges == edges or len(drawn.instances) < 2
        same = ("prompt", "width", "height", "seed", "closure")
        assert [getattr(again, name) for name in same] == [getattr(drawn, name) for name in same]


def everything(order: FrontToBack | Depths | Pairs) -> Layout:
    instances = [
        Instance(id="cat", caption="a cat", category="animal", box=Box(0, 0, 0.5, 0.5), opacity=0.5),
        Instance(
            id="vase",
            caption="a vase",
            box=Box(0.25, 0.25, 1, 1),
            region=Polygon(points=[(0.25, 0.25), (1, 0.25), (1, 1)]),
        ),
        Instance(id="3", caption="a cup", box=Box(0, 0.5, 1, 1), region=RunLength(size=(1, 2), counts=[1, 1])),
    ]
    return Layout(
        prompt="things",
        width=512,
        height=256,
        seed=7,
        instances=instances,
        order=order,
        cycles="break",
        closure=True,
    )


DEPTHS = Depths(depths={"cat": 1, "vase": 2.5})
LOOP = Pairs(pairs=[Pair(front="cat", behind="vase"), Pair(front="vase", behind="cat")])


@for_each("form", FOREIGN)
def test_every_field_that_would_be_lost_is_named(form):
    with pytest.raises(LayoutError) as caught:
        write_layout(everything(DEPTHS), form)
    assert caught.value.problems == [f"{path}: the {form} format {text}" for path, text in LOST[form]]


def test_an_order_that_would_be_lost_is_named():
    layout = everything(FrontToBack(front_to_back=["vase", "cat"]))
    with pytest.raises(LayoutError) as caught:
        write_layout(layout, "overlaybench")
    assert "order: the overlaybench format cannot hold an object with 'front_to_back'" in caught.value.problems


def test_losses_in_several_layouts_have_the_place_of_the_layout():
    plain = Layout(prompt="a", width=4, height=4)
    with pytest.raises(LayoutError) as caught:
        write_layouts([plain, plain.model_copy(update={"seed": 3})], "coco")
    assert caught.value.problems == ["[1].seed: the coco format cannot hold 3"]


@for_each("form", ["published", "sa-z", "coco", "simpletuner"])
def test_lossy_writing_keeps_the_relations_that_the_policies_come_to(form):
    """cat and vase are in front of each other: breaking the loop leaves the first, and the text says so."""
    layout = everything(LOOP)
    again = read_layout(write_layout(layout, form, lossy=True), form)
    assert again.zorder == layout.zorder
    assert again.zorder.edges == {(0, 1)}


@for_each("form", ["published", "sa-z", "coco", "simpletuner"])
def test_a_total_order_is_written_as_the_relations_it_means(form):
    instances = [Instance(id=str(k), caption="a thing", box=Box(0, 0, 1, 1)) for k in (1, 2, 3)]
    cycles = FORMATS[form].cycles
    order = FrontToBack(front_to_back=["3", "1"])
    layout = Layout(prompt="things", width=64, height=64, instances=instances, order=order, cycles=cycles)
    assert read_layout(write_layout(layout, form), form).zorder.edges == {(2, 0)}


def test_exactly_one_layout():
    layout = Layout(prompt="a", width=4, height=4)
    assert read_layout(write_layouts([layout])) == layout
    for several in ([], [layout, layout]):
        with pytest.raises(LayoutError, match=f"^expected a document with one layout, got {len(several)}$"):
            read_layout(write_layouts(several))


def test_our_own_json_is_tidy():
    layout = everything(LOOP)
    assert write_layout(layout) == (
        "{\n"
        '  "version": 1,\n'
        '  "prompt": "things",\n'
        '  "width": 512,\n'
        '  "height": 256,\n'
        '  "seed": 7,\n'
        '  "instances": [\n'
        '    {"id": "cat", "caption": "a cat", "box": [0.0, 0.0, 0.5, 0.5], "category": "animal", "opacity": 0.5},\n'
        "    {\n"
        '      "id": "vase",\n'
        '      "caption": "a vase",\n'
        '      "box": [0.25, 0.25, 1.0, 1.0],\n'
        '      "region": {"points": [[0.25, 0.25], [1.0, 0.25], [1.0, 1.0]]}\n'
        "    },\n"
        '    {"id": "3", "caption": "a cup", "box": [0.0, 0.5, 1.0, 1.0], '
        '"region": {"size": [1, 2], "counts": [1, 1]}}\n'
        "  ],\n"
        '  "order": {"pairs": [{"front": "cat", "behind": "vase"}, {"front": "vase", "behind": "cat"}]},\n'
        '  "cycles": "break",\n'
        '  "closure": true\n'
        "}\n"
    )


def test_an_array_of_our_own_tells_problems_of_all_its_layouts():
    with pytest.raises(LayoutError) as caught:
        read_layouts('[{"prompt": "a", "width": 0, "height": 4}, 5, {"prompt": "", "width": 4, "height": 4}]')
    assert caught.value.problems == [
        "[0].width: expected at least 1, got 0",
        "[1]: expected an object, got 5",
        "[2].prompt: expected some text, got ''",
    ]


@pytest.mark.filterwarnings("ignore:boxes with labels are:FutureWarning")  # sidecars under their older name
def test_a_document_of_another_format_is_told_so():
    document = {"prompt": "a", "width": 64, "height": 64, "annos": []}
    with pytest.raises(LayoutError) as caught:
        read_layouts(document)
    assert caught.value.problems == [
        "annos: unknown field; expected version, prompt, width, height, seed, instances, order, cycles or closure",
        "expected a document of the native format, got fields of published",
    ]
    for form in FORMATS:
        for other in set(FORMATS) - {form}:
            fields = dict.fromkeys(sorted(FORMATS[other].marks))
            with pytest.raises(LayoutError) as caught:
                read_layouts([fields], form)
            assert caught.value.problems[-1] == f"expected a document of the {form} format, got fields of {other}"
