"""OverLayBench annotations."""

from __future__ import annotations

import pytest

from occlusionformer.layout import Box, Instance, Layout, LayoutError, read_layout, read_layouts, write_layout

ANNOTATION = """{
    'caption': "a dog's life",
    'annotations': {
        'dog 1': {'category': 'dog', 'bbox': [0, 256, 512, 1024], 'local_prompts': 'a dog\\nasleep'},
        'cat': {'category': 'cat', 'bbox': [256, 0, 1024, 512.5], 'local_prompts': 'a cat'},
    },
    'relations': {'(dog 1, cat)': 'below'},
    'valid_overlap': [{'overlap_box': [0, 1]}],
}"""


def test_an_annotation():
    layout = read_layout(ANNOTATION, "overlaybench")
    assert (layout.prompt, layout.width, layout.height, layout.order) == ("a dog's life", 1024, 1024, None)
    assert [(i.id, i.category, i.caption) for i in layout.instances] == [
        ("dog 1", "dog", "a dog\nasleep"),
        ("cat", "cat", "a cat"),
    ]
    assert [i.box for i in layout.instances] == [Box(0, 0.25, 0.5, 1), Box(0.25, 0, 1, 512.5 / 1024)]


def test_what_is_written():
    assert write_layout(read_layout(ANNOTATION, "overlaybench"), "overlaybench") == (
        "{'caption': \"a dog's life\", 'annotations': {"
        "'dog 1': {'category': 'dog', 'bbox': [0, 256, 512, 1024], 'local_prompts': 'a dog\\nasleep'}, "
        "'cat': {'category': 'cat', 'bbox': [256, 0, 1024, 512.5], 'local_prompts': 'a cat'}}, "
        "'relations': {}, 'valid_overlap': [{'overlap_box': [0, 1]}]}\n"
    )


def test_more_overlaps_than_can_be_listed_are_refused():
    everywhere = [Instance(id=str(k), caption="a", box=Box(0, 0, 1, 1)) for k in range(1500)]
    with pytest.raises(LayoutError) as caught:
        write_layout(Layout(prompt="a", width=1024, height=1024, instances=everywhere), "overlaybench")
    assert caught.value.problems == ["instances: expected at most 1048576 overlaps of boxes, got more"]


def test_every_problem_is_told():
    source = (
        "[{'caption': 5, 'annotations': {'(A, B)': {'bbox': (0, 0, 2000, 5), 'category': ''}, 7: {}, 'dog': 8}, "
        "'extra': 1}, {'caption': 'a', 'annotations': []}]"
    )
    with pytest.raises(LayoutError) as caught:
        read_layouts(source, "overlaybench")
    assert caught.value.problems == [
        "[0].annotations: expected text as the name of a field, got 7",
        "[0].extra: unknown field; expected caption, annotations, relations or valid_overlap",
        "[0].annotations['(A, B)'].bbox: expected x2 from 0 to 1024, got 2000",
        "[0].annotations[7].bbox: expected a value, got nothing",
        "[0].annotations.dog: expected an object, got 8",
        "[0].caption: expected text, got 5",
        "[0].annotations['(A, B)'].local_prompts: expected a value, got nothing",
        "[0].annotations['(A, B)'].category: expected some text, got ''",
        "[0].annotations[7].id: expected text, got 7",
        "[0].annotations[7].local_prompts: expected a value, got nothing",
        "[1].annotations: expected an object with instances by name, got []",
    ]
