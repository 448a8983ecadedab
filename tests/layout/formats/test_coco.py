"""COCO-style JSON."""

from __future__ import annotations

from typing import Any

import pytest

from occlusionformer.layout import Box, Depths, LayoutError, Polygon, RunLength, read_layouts, write_layouts

IMAGE = {"id": 9, "width": 100, "height": 50, "caption": "a scene", "file_name": "9.jpg"}
CAT = {"id": 3, "name": "cat", "supercategory": "animal"}


def annotation(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 9, "bbox": [10, 20, 30, 30], "caption": "a thing", "iscrowd": 0, **fields}


def document(*annotations: Any, **fields: Any) -> dict[str, Any]:
    return {"images": [IMAGE], "annotations": list(annotations), "categories": [CAT], **fields}


def problems(source: Any, **options: Any) -> list[str]:
    with pytest.raises(LayoutError) as caught:
        read_layouts(source, "coco", **options)
    return caught.value.problems


def test_one_layout_an_image():
    other = {"id": 8, "width": 10, "height": 10, "caption": "nothing"}
    layouts = read_layouts(document(annotation(5), annotation(4), images=[other, IMAGE]), "coco")
    assert [(each.prompt, each.width, each.height) for each in layouts] == [("nothing", 10, 10), ("a scene", 100, 50)]
    assert [[i.id for i in each.instances] for each in layouts] == [[], ["5", "4"]]
    assert layouts[1].instances[0].box == Box(0.1, 0.4, 0.4, 1)
    assert layouts[1].order is None


def test_sides_add_up_as_the_decimals_they_are():
    """In binary 99.9 + 0.1 and 33.3 + 16.7 are not what they are on paper."""
    [layout] = read_layouts(document(annotation(1, bbox=[0.1, 33.3, 99.9, 16.7])), "coco")
    assert layout.instances[0].box == Box(0.001, 0.666, 1, 1)


def test_the_category_stands_in_for_a_caption():
    named, bare = annotation(1, category_id=3), annotation(2, category_id=3)
    del bare["caption"]
    [layout] = read_layouts(document(named, bare, annotation(3)), "coco")
    assert [(i.caption, i.category) for i in layout.instances] == [("a thing", "cat"), ("cat", None), ("a thing", None)]


def test_a_prompt_for_images_without_caption():
    bare = {"id": 8, "width": 10, "height": 10}
    assert problems(document(images=[bare, IMAGE])) == ["images[0].caption: expected a value, got nothing"]
    layouts = read_layouts(document(images=[bare, IMAGE]), "coco", prompt="a photo")
    assert [layout.prompt for layout in layouts] == ["a photo", "a scene"]


def test_the_higher_z_is_nearer():
    [layout] = read_layouts(
        document(annotation(1, z=0), annotation(2, z=2.5), annotation(3), annotation(4, z=0)), "coco"
    )
    assert layout.order == Depths(depths={"1": 0, "2": -2.5, "4": 0})
    assert layout.zorder.edges == {(1, 0), (1, 3)}


def test_occludes_names_annotations():
    [layout] = read_layouts(document(annotation(71, occludes=[70]), annotation(70)), "coco")
    assert [sorted(layout.zorder.occluders(place)) for place in range(2)] == [[], [0]]


def test_polygons_and_masks_are_regions():
    mask = {"size": [50, 100], "counts": [0, 5000]}
    drawn = document(
        annotation(1, segmentation=[[10, 20, 40, 20, 40, 50]]),
        annotation(2, segmentation=mask),
        annotation(3, segmentation=[]),
    )
    [layout] = read_layouts(drawn, "coco")
    assert [i.region for i in layout.instances] == [
        Polygon(points=[(0.1, 0.4), (0.4, 0.4), (0.4, 1)]),
        RunLength(size=(50, 100), counts=[0, 5000]),
        None,
    ]
    [layout] = read_layouts(drawn, "coco", regions=False)
    assert [i.region for i in layout.instances] == [None, None, None]


def test_several_polygons_are_one_region_of_their_pixels():
    rings = [[10, 20, 12, 20, 12, 24, 10, 24], [11, 22, 15, 22, 15, 23, 11, 23], [20, 20, 21, 20, 21, 21, 20, 21]]
    [layout] = read_layouts(document(annotation(1, segmentation=rings)), "coco")
    region = layout.instances[0].region
    assert isinstance(region, RunLength)
    assert region.size == (50, 100)
    expected = [[0] * 100 for _ in range(50)]
    for left, top, right, bottom in ((10, 20, 12, 24), (11, 22, 15, 23), (20, 20, 21, 21)):
        for y in range(top, bottom):
            expected[y][left:right] = [1] * (right - left)
    assert region.rows() == expected


def test_several_polygons_of_no_pixel_are_refused():
    tiny = [[10, 20, 10.1, 20, 10.1, 20.1], [12, 20, 12.1, 20, 12.1, 20.1]]
    assert problems(document(annotation(1, segmentation=tiny))) == [
        "annotations[0].segmentation: expected polygons that cover the middle of a pixel, got 2 that do not"
    ]


def test_outlines_that_take_long_to_draw_are_refused():
    image = {**IMAGE, "width": 65_535}
    ring = [number for place in range(20) for number in (65_535 * (place % 2), 20 + place)]
    source = document(annotation(1, segmentation=[ring, ring]), images=[image])
    assert problems(source) == [
        "annotations[0].segmentation: expected outlines that cross at most 1000000 columns of pixels in the whole "
        "document, got 2621400 up to here"
    ]


def test_what_reaches_over_the_edge_by_rounding_is_cut_off():
    [layout] = read_layouts(
        document(annotation(1, bbox=[-0.2, 20, 100.4, 30.3], segmentation=[[-0.5, 20, 100.5, 20, 100, 50.5]])), "coco"
    )
    assert layout.instances[0].box == Box(0, 0.4, 1, 1)
    assert layout.instances[0].region == Polygon(points=[(0, 0.4), (1, 0.4), (1, 1)])


def test_ids_may_be_text():
    source = {
        "images": [{**IMAGE, "id": "one"}],
        "annotations": [
            {**annotation(1, occludes=["b"]), "id": "a", "image_id": "one", "category_id": "c"},
            {**annotation(2), "id": "b", "image_id": "one", "category_id": "c"},
        ],
        "categories": [{"id": "c", "name": "cat"}],
    }
    [layout] = read_layouts(source, "coco")
    assert [(each.id, each.category) for each in layout.instances] == [("a", "cat"), ("b", "cat")]
    assert layout.zorder.edges == {(0, 1)}


FILES = [
    {**IMAGE, "id": 1, "file_name": "val/a.jpg"},
    {**IMAGE, "id": 2, "file_name": "val/b.jpg"},
    {**IMAGE, "id": 3, "file_name": "1"},
    {"id": 4, "file_name": "broken.jpg"},
]


@pytest.mark.parametrize(("asked", "identifier"), [("2", "21"), ("val/b.jpg", "21"), ("b.jpg", "21"), ("1", "11")])
def test_one_image_is_read_by_id_or_file(asked, identifier):
    """Nothing else is looked at: neither the broken image nor annotations that belong to others or to none."""
    rows = [
        {**annotation(11), "image_id": 1},
        {**annotation(21), "image_id": 2},
        {**annotation(21), "image_id": 77, "bbox": 3},
    ]
    [layout] = read_layouts(document(*rows, images=FILES), "coco", image=asked)
    assert [each.id for each in layout.instances] == [identifier]


def test_an_image_that_is_not_there_is_told_with_those_that_are():
    assert problems(document(images=FILES), image="c.jpg") == [
        "image: expected one of 1 (val/a.jpg), 2 (val/b.jpg), 3 (1), 4 (broken.jpg), got 'c.jpg'"
    ]
    many = [{**IMAGE, "id": number, "file_name": "same.jpg"} for number in range(30)]
    assert problems(document(images=many), image="same.jpg") == [
        "image: expected the id of one image, out of "
        + ", ".join(f"{number} (same.jpg)" for number in range(20))
        + " and 10 more, got 'same.jpg'"
    ]


def test_every_problem_is_told():
    source = {
        "images": [IMAGE, IMAGE, {"id": 1.5}, 5, {"id": 10, "width": 0, "height": 20}],
        "categories": [{"id": 3}],
        "annotations": [
            annotation(1, occludes=[1, 2, 9], category_id=4),
            annotation(2, image_id=77),
            annotation(3, bbox=[90, 0, 20, -1], z="near"),
            annotation(4, bbox=[90, 0, 20, 50], segmentation=[[1, 2, 3, 4], [1]]),
            annotation(5, caption=3, segmentation=[[0, 0, 10, 0, 101, 10]], category_id=3),
            annotation(6, segmentation=[[0, 0, 10]]),
            annotation(7, segmentation=[[0, 0, 10, 10]]),
            annotation(8, segmentation={"size": [5, 5], "counts": [0, 26]}),
            annotation(9, segmentation="all", image_id=10, z=1),
            annotation(1),
        ],
    }
    assert problems(source) == [
        "images[1].id: expected an id of its own, got 9 again",
        "images[2].id: expected a whole number or text, got 1.5",
        "images[3]: expected an object, got 5",
        "annotations[9].id: expected an id of its own, got 1 again",
        "annotations[1].image_id: expected the id of an image, got 77",
        "annotations[0].category_id: expected the id of a category, got 4",
        "annotations[2].bbox: expected a height above 0, got -1",
        "annotations[3].bbox: expected x2 from 0 to 100, got 110.0",
        "annotations[3].segmentation[0]: expected at least 3 points, got 2",
        "annotations[3].segmentation[1]: expected numbers x1, y1, x2, y2, ..., got [1]",
        "annotations[4].segmentation[0]: expected points inside 100 x 50, got 101, 10",
        "annotations[5].segmentation[0]: expected numbers x1, y1, x2, y2, ..., got [0, 0, 10]",
        "annotations[6].segmentation[0]: expected at least 3 points, got 2",
        "annotations[7].segmentation.size: expected the size of the image, [50, 100], got [5, 5]",
        "annotations[0].occludes: expected another annotation, got 1 in front of itself",
        "annotations[0].occludes: no annotation 2 in this picture",
        "annotations[0].occludes: no annotation 9 in this picture",
        "annotations[2].z: expected either z or occludes in a document, got both",
        "annotations[4].caption: expected text, got 3",
        "annotations[7].segmentation.counts: expected runs that add up to 5 x 5 = 25, got 26",
        "annotations[8].segmentation: expected polygons or a run-length mask, got 'all'",
        "images[4].caption: expected a value, got nothing",
        "images[4].width: expected at least 1, got 0",
    ]


def test_a_document_without_its_lists():
    assert problems({}) == [
        "images: expected a list of objects, got nothing",
        "annotations: expected a list of objects, got nothing",
    ]
    assert problems([1]) == ["expected an object, got [1]"]


def test_what_is_written():
    source = document(
        annotation(1, category_id=3, occludes=[2]),
        annotation(2, instance_id="cup", bbox=[0.5, 0, 0.25, 50], segmentation=[[0, 20, 40, 20, 40, 50]]),
    )
    assert write_layouts(read_layouts(source, "coco"), "coco") == (
        "{\n"
        '  "images": [{"id": 1, "width": 100, "height": 50, "caption": "a scene"}],\n'
        '  "annotations": [\n'
        "    {\n"
        '      "id": 1,\n'
        '      "image_id": 1,\n'
        '      "category_id": 1,\n'
        '      "caption": "a thing",\n'
        '      "bbox": [10, 20, 30, 30],\n'
        '      "area": 900,\n'
        '      "iscrowd": 0,\n'
        '      "occludes": [2]\n'
        "    },\n"
        "    {\n"
        '      "id": 2,\n'
        '      "image_id": 1,\n'
        '      "instance_id": "cup",\n'
        '      "caption": "a thing",\n'
        '      "bbox": [0.5, 0, 0.25, 50],\n'
        '      "area": 12.5,\n'
        '      "iscrowd": 0,\n'
        '      "segmentation": [[0, 20, 40, 20, 40, 50]],\n'
        '      "occludes": []\n'
        "    }\n"
        "  ],\n"
        '  "categories": [{"id": 1, "name": "cat"}]\n'
        "}\n"
    )
