from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest
from PIL import Image

from occlusionformer.evaluation.benchmarks import BenchmarkError, load_benchmark
from occlusionformer.layout import Layout, write_layout
from occlusionformer.layout.rle import compress
from tests.evaluation.benchmarks.files import stored, write_table
from tests.evaluation.things import item

SAM = {
    "image_id": "img_1",
    "global_caption": "a cat and a dog",
    "region_captions": ["a cat", "a dog"],
    "detail_region_captions": ["a fluffy grey cat", "a round brown dog"],
    "bbox_list": ["[0, 0, 150, 100]", "[100.2, 50, 300, 200]"],
    "width": 300,
    "height": 200,
    "file_name": "1.jpg",
}


def write_sam(folder, *rows):
    write_table(folder / "data" / "test-00000-of-00001.parquet", [{"image": stored(5), **row} for row in rows])


def test_layoutsam(tmp_path):
    write_sam(tmp_path, SAM)
    (found,) = load_benchmark("layoutsam-eval", tmp_path).items
    assert (found.key, found.layout.width, found.layout.height) == ("img_1", 1024, 1024)
    assert [tuple(box) for box in found.layout.boxes] == [(0, 0, 0.5, 0.5), (0.334, 0.25, 1, 1)]
    assert found.truth.details == ("a fluffy grey cat", "a round brown dog")
    assert [instance.caption for instance in found.layout.instances] == ["a fluffy grey cat", "a round brown dog"]
    assert found.truth.boxes[0] == (0, 0, 512, 512)
    assert found.picture_names == ("1",)
    assert found.reference().getpixel((0, 0)) == (5, 0, 0)


@pytest.mark.parametrize(
    "boxes", [[[0, 0, 150, 100], [100.2, 50, 300, 200]], "[[0, 0, 150, 100], [100.2, 50, 300, 200]]"]
)
def test_layoutsam_lists_are_text_or_lists(tmp_path, boxes):
    write_sam(tmp_path, {**SAM, "bbox_list": boxes, "region_captions": "['a cat', 'a dog']"})
    (found,) = load_benchmark("layoutsam-eval", tmp_path).items
    assert found.truth.boxes[0] == (0, 0, 512, 512)
    assert found.truth.categories == ("a cat", "a dog")


@pytest.mark.parametrize(
    ("left_out", "key", "others"),
    [(("image_id",), "1", ()), (("file_name",), "img_1", ()), (("image_id", "file_name"), "00000000", ())],
)
def test_layoutsam_names_items_by_what_there_is(tmp_path, left_out, key, others):
    write_sam(tmp_path, {name: value for name, value in SAM.items() if name not in left_out})
    (found,) = load_benchmark("layoutsam-eval", tmp_path).items
    assert (found.key, found.picture_names) == (key, others)


def test_layoutsam_draws_from_short_captions_when_that_is_wanted(tmp_path):
    write_sam(tmp_path, {**SAM, "detail_region_captions": ["", "a round brown dog"]})
    definition = json.loads(
        (resources.files("occlusionformer.evaluation.benchmarks") / "definitions" / "layoutsam-eval.json").read_text()
    )
    for captions, drawn in (("short", ["a cat", "a dog"]), ("detailed", ["a cat", "a round brown dog"])):
        definition["source"]["captions"] = captions
        (tmp_path / "own.json").write_text(json.dumps(definition))
        (found,) = load_benchmark(tmp_path / "own.json").items
        assert [instance.caption for instance in found.layout.instances] == drawn


def test_layoutsam_boxes_slightly_outside_are_cut_off_and_counted(tmp_path):
    write_sam(tmp_path, {**SAM, "bbox_list": ["[-3, 0, 150, 100]", "[100.2, 50, 301, 200]"]})
    benchmark = load_benchmark("layoutsam-eval", tmp_path)
    (found,) = benchmark.items
    assert [tuple(box) for box in found.layout.boxes] == [(0, 0, 0.5, 0.5), (0.334, 0.25, 1, 1)]
    assert found.truth.boxes[0] == (-0.01 * 1024, 0, 512, 512)
    assert benchmark.settings["clipped boxes"] == {"number": 2, "first": ["img_1: bbox_list[0]", "img_1: bbox_list[1]"]}
    assert benchmark.notes[-1].startswith("2 boxes reached slightly beyond the canvas")


def test_layoutsam_problems(tmp_path):
    write_sam(
        tmp_path,
        {**SAM, "bbox_list": ["[0, 0, 400, 100]", "[1, 2]"]},
        {**SAM, "image_id": "b", "region_captions": ["a cat"]},
    )
    with pytest.raises(BenchmarkError) as error:
        load_benchmark("layoutsam-eval", tmp_path)
    file = "test-00000-of-00001.parquet"
    assert error.value.problems == [
        f"{file} row 0: bbox_list[0]: box: expected x2 from 0 to 300, got 400",
        f"{file} row 0: bbox_list[1]: expected four numbers x1, y1, x2, y2, got [1, 2]",
        f"{file} row 1: expected as many captions, details and boxes, got 1, 2 and 2",
    ]


DENSE = {
    "id": 7,
    "prompt": "a street",
    "height": 100,
    "width": 200,
    "annos": [
        {"bbox": [0, 0, 100, 50], "category_name": "car", "caption": "a red car"},
        {"bbox": [50, 0, 200, 100], "category_name": "bus", "caption": "a blue bus"},
    ],
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dense.json", json.dumps([DENSE, {**DENSE, "id": "8"}])),
        ("dense.jsonl", json.dumps(DENSE) + "\n" + json.dumps({**DENSE, "id": "8"}) + "\n"),
    ],
)
def test_denselayout(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    benchmark = load_benchmark("denselayout", tmp_path)
    assert [found.key for found in benchmark.items] == ["7", "8"]
    truth = benchmark.items[0].truth
    assert (truth.frame, truth.boxes) == ((200, 100), ((0, 0, 100, 50), (50, 0, 200, 100)))
    assert (truth.categories, truth.order, truth.overlap_pairs) == (("car", "bus"), None, ((0, 1),))


ODD = {**DENSE, "id": "odd", "width": 1024, "height": 682, "annos": [
    {"bbox": [0.0, 0.0, 512.0, 341.0], "category_name": "car", "caption": "a red car"},
    {"bbox": [512.0, 341.0, 1030.0, 682.0], "category_name": "bus", "caption": "bus"},
]}  # fmt: skip


@pytest.mark.parametrize("annos", [ODD["annos"], json.dumps(ODD["annos"])], ids=["nested", "text"])
def test_denselayout_as_a_table(tmp_path, annos):
    extra = {"split": "test", "score": 0.5}
    write_table(tmp_path / "data" / "test-0.parquet", [{**ODD, **extra, "annos": annos}])
    benchmark = load_benchmark("denselayout", tmp_path)
    (found,) = benchmark.items
    assert (found.key, found.layout.width, found.layout.height) == ("odd", 1024, 682)
    assert [tuple(box) for box in found.layout.boxes] == [(0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1)]
    assert found.truth.boxes == ((0, 0, 512, 341), (512, 341, 1030, 682))
    assert found.truth.categories == ("car", "bus")
    assert benchmark.settings["clipped boxes"]["first"] == ["odd: annos[1]"]


def test_denselayout_without_an_id_is_named_by_its_row(tmp_path):
    row = {name: value for name, value in ODD.items() if name != "id"}
    write_table(tmp_path / "a.parquet", [row, row])
    write_table(tmp_path / "b.parquet", [row])
    keys = [found.key for found in load_benchmark("denselayout", tmp_path).items]
    assert keys == ["00000000", "00000001", "00000002"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"bbox": [0, 0, 2000, 10]}, "annos[0].bbox: expected x2 from 0 to 1024, got 2000"),
        ({"bbox": [0, 0, 10]}, "annos[0].bbox: expected four numbers x1, y1, x2, y2, got [0, 0, 10]"),
        ({"bbox": None}, "annos[0].bbox: expected a value, got nothing"),
        ({"caption": "", "category_name": ""}, "annos[0].caption: expected some text, got ''"),
    ],
)
def test_denselayout_problems_of_a_row(tmp_path, change, problem):
    row = {**ODD["annos"][0], **change}
    (tmp_path / "dense.json").write_text(json.dumps([{**ODD, "annos": [row]}]))
    with pytest.raises(BenchmarkError) as error:
        load_benchmark("denselayout", tmp_path)
    assert error.value.problems == [f"dense.json record 0: {problem}"]


def test_denselayout_of_one_record_each(tmp_path):
    (tmp_path / "first.json").write_text(json.dumps({name: DENSE[name] for name in DENSE if name != "id"}))
    (tmp_path / "second.json").write_text("[3]")
    (tmp_path / "third.json").write_text("{")
    with pytest.raises(BenchmarkError) as error:
        load_benchmark("denselayout", tmp_path)
    assert error.value.problems[0] == "second.json record 0: expected an object, got 3"
    assert error.value.problems[1].startswith("third.json: line 1, column 2: not JSON")
    kept = load_benchmark("denselayout", tmp_path, unreadable="skip")
    assert [found.key for found in kept.items] == ["first"]
    assert kept.settings["left out"] == ["second.json record 0", "third.json"]


def write_sacap(folder, *, segments=((11, "a cat"), (12, "a dog")), pictures=("sa_1",)):
    (folder / "test" / "sa_000000").mkdir(parents=True)
    masks = {11: [0, 6, 6], 12: [8, 4]}
    annotations = [
        {"id": number, "segmentation": {"size": [4, 3], "counts": compress(counts)}} for number, counts in masks.items()
    ]
    place = folder / "test" / "sa_000000"
    (place / "sa_1.json").write_text(json.dumps({"image": {"image_id": 1}, "annotations": annotations}))
    for name in pictures:
        Image.new("RGB", (3, 4), (9, 9, 9)).save(place / f"{name}.jpg")
    rows = [
        {
            "imagename": "sa_1.jpg",
            "image_group": "sa_000000",
            "caption": "a cat and a dog",
            "segments_info": [{"anno_id": number, "caption": caption} for number, caption in segments],
        }
    ]
    write_table(folder / "annotations" / "anno_test.parquet", rows)


def test_sacap(tmp_path):
    write_sacap(tmp_path)
    (found,) = load_benchmark("sacap-eval", tmp_path).items
    assert (found.key, found.truth.names) == ("sa_1", ("11", "12"))
    assert [tuple(box) for box in found.layout.boxes] == [(0, 0, 2 / 3, 1), (2 / 3, 0, 1, 1)]
    assert [mask["size"] for mask in found.truth.masks] == [[1024, 1024]] * 2
    assert found.truth.boxes[0] == pytest.approx((0, 0, 2 / 3 * 1024, 1024))
    assert found.truth.prompt_boxes[0] == pytest.approx((0, 0, 1 / 3 * 1024, 3 / 4 * 1024)), "up to the last pixel"
    assert found.reference().size == (3, 4)


def test_sacap_problems(tmp_path):
    write_sacap(tmp_path, segments=((11, "a cat"), (13, "a hen")), pictures=())
    with pytest.raises(BenchmarkError) as error:
        load_benchmark("sacap-eval", tmp_path)
    assert error.value.problems == [
        "anno_test.parquet row 0: expected sa_1.jpg beside sa_1.json, found none",
        "anno_test.parquet row 0: segments_info[1]: anno_id: expected an annotation of the picture, got 13",
    ]


def own(folder, **source):
    path = folder / "own.definition.json"
    fields = {"name": "own", "title": "Own", "metrics": ["overlap", "occlusion"]}
    path.write_text(json.dumps({**fields, "source": {"format": "layouts", "files": ["layouts/*.json"], **source}}))
    return path


def layout(order):
    fields = item().layout.model_dump()
    return Layout.model_validate({**fields, "order": {"front_to_back": order}})


def test_layouts_of_ones_own(tmp_path):
    (tmp_path / "layouts").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "layouts" / "a.json").write_text(write_layout(layout(["second cat", "dog", "first cat"])))
    Image.fromarray(np.full((4, 4, 3), 3, np.uint8)).save(tmp_path / "pictures" / "a.png")
    (found,) = load_benchmark(own(tmp_path, references="pictures")).items
    assert found.reference().getpixel((0, 0)) == (3, 3, 3)
    assert found.truth.order == ((0, 0, 0), (1, 0, 0), (0, 0, 0)), "only boxes that meet can hide each other"
    assert found.truth.overlap_pairs == ((0, 1),)


def test_layouts_without_the_pictures_they_should_have(tmp_path):
    (tmp_path / "layouts").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "layouts" / "a.json").write_text(write_layout(item().layout))
    with pytest.raises(BenchmarkError, match="expected a picture a in pictures, found none"):
        load_benchmark(own(tmp_path, references="pictures"))
    with pytest.raises(BenchmarkError, match=r"source\.references: expected a folder"):
        load_benchmark(own(tmp_path, references="images"))
    with pytest.raises(BenchmarkError, match=r"source\.layout_format: expected native, published"):
        load_benchmark(own(tmp_path, layout_format="svg"))
