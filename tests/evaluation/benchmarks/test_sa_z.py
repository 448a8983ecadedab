from __future__ import annotations

import json

import pytest
from PIL import Image

from occlusionformer.data.held_out import is_held_out_image
from occlusionformer.evaluation.benchmarks import BenchmarkError, load_benchmark
from occlusionformer.evaluation.benchmarks.phrases import head_phrase
from occlusionformer.layout.rle import compress
from tests.tables import for_each

HELD_OUT = [str(number) for number in range(2000) if is_held_out_image(str(number))]
TRAINED_ON = next(str(number) for number in range(2000) if not is_held_out_image(str(number)))


def record(image_id, *, shift=0.0, order=((0, 1, 1), (0, 0, -1), (0, 0, 0))):
    boxes = [[0, 0, 100, 100], [50 + shift, 50, 100, 100], [40, 60, 100, 100.5]]
    rows = [
        {
            "id": 100 + place,
            "bbox": box,
            "area": 5,
            "segmentation": {"size": [200, 300], "counts": compress([0, 100, 200 * 300 - 100])},
            "predicted_iou": 0.9,
            "point_coords": [[1, 2]],
            "crop_box": [0, 0, 300, 200],
            "stability_score": 0.9,
            "caption": caption,
        }
        for place, (box, caption) in enumerate(zip(boxes, ["A red car on a road", "a cup of tea", "dog"], strict=True))
    ]
    return {
        "image_id": int(image_id),
        "folder_name": "sa_000000",
        "image_path": f"images/sa_{image_id}.jpg",
        "prompt": "a road",
        "mask_annotation": rows,
        "pred_order": [list(row) for row in order],
    }


def load(folder, records, *, pictures=True, **options):
    (folder / "SA-Z.json").write_text(json.dumps({str(each["image_id"]): each for each in records}))
    (folder / "images").mkdir(exist_ok=True)
    for each in records if pictures else ():
        Image.new("RGB", (300, 200), (4, 4, 4)).save(folder / each["image_path"])
    return load_benchmark("sa-z-eval", folder, **options)


def test_reads_the_held_out_alone(tmp_path):
    benchmark = load(tmp_path, [record(image_id) for image_id in (HELD_OUT[1], TRAINED_ON, HELD_OUT[0])])
    assert [item.key for item in benchmark.items] == sorted(HELD_OUT[:2])
    item = benchmark.items[0]
    assert (item.layout.width, item.layout.height, item.truth.frame) == (1024, 688, (300, 200))
    assert item.truth.boxes[1] == pytest.approx((50, 50, 150, 150))
    assert item.truth.categories == ("red car", "cup of tea", "dog")
    assert item.truth.names == ("100", "101", "102")
    assert item.truth.order == ((0, 1, 1), (0, 0, -1), (0, 0, 0))
    assert item.layout.zorder.edges == {(0, 1), (0, 2)}
    assert item.truth.overlap_pairs == ((0, 1), (0, 2), (1, 2))
    assert item.reference().size == (300, 200)


def test_pairs_that_hardly_overlap_count_when_one_hides_the_other(tmp_path):
    mutual = ((0, 1, 0), (1, 0, 0), (0, 0, 0))
    (item,) = load(tmp_path, [record(HELD_OUT[0], shift=45, order=mutual)]).items
    assert item.layout.boxes[0].iou(item.layout.boxes[1]) < 0.05
    assert (0, 1) in item.truth.overlap_pairs
    assert item.layout.zorder.edges == {(0, 1), (1, 0)}


def test_easy_pictures_are_left_out(tmp_path):
    one_edge = ((0, 1, 0), (0, 0, 0), (0, 0, 0))
    with pytest.raises(BenchmarkError, match="expected items of sa-z-eval, found none"):
        load(tmp_path, [record(HELD_OUT[0], order=one_edge)])


def test_problems_of_held_out_records_alone_are_told(tmp_path):
    wrong = record(HELD_OUT[0])
    wrong["mask_annotation"][1]["bbox"] = [1, 2, 3]
    ignored = {**record(TRAINED_ON), "mask_annotation": 3}
    outside = {**record(HELD_OUT[2]), "image_path": "../secret.jpg"}
    (tmp_path / "images").mkdir()
    with pytest.raises(BenchmarkError) as error:
        load(tmp_path, [wrong, ignored, record(HELD_OUT[1]), outside], pictures=False)
    first, *others = error.value.problems
    assert first.startswith(f"SA-Z.json: {HELD_OUT[0]}: mask_annotation[1].bbox: ")
    assert sorted(others) == sorted(
        [
            f"{HELD_OUT[1]}: image_path: expected a picture, found none at images/sa_{HELD_OUT[1]}.jpg",
            f"{HELD_OUT[2]}: image_path: expected a path below {tmp_path.name}, got '../secret.jpg'",
        ]
    )


def test_a_file_that_is_cut_off(tmp_path):
    (tmp_path / "SA-Z.json").write_text(json.dumps({"1": record("1")})[:-9])
    with pytest.raises(BenchmarkError, match=r"SA-Z\.json: byte"):
        load_benchmark("sa-z-eval", tmp_path)


@for_each(
    ("caption", "phrase"),
    [
        ("A red car parked on the street", "red car"),
        ("The man's blue-striped shirt, buttoned", "man's blue-striped shirt"),
        ("a bunch of ripe bananas in a bowl", "bunch of ripe bananas"),
        ("picture of a dog", "picture"),
        ("Two dogs", "two dogs"),
        ("on the left", "on the left"),
        ("dog", "dog"),
        ("café table", "café table"),
    ],
)
def test_phrases(caption, phrase):
    assert head_phrase(caption) == phrase


def test_boxes_slightly_outside_are_cut_off_and_counted(tmp_path):
    reaching = record(HELD_OUT[0])
    reaching["mask_annotation"][1]["bbox"] = [50, 50, 255, 151.5]
    benchmark = load(tmp_path, [reaching])
    (item,) = benchmark.items
    assert tuple(item.layout.boxes[1]) == pytest.approx((1 / 6, 1 / 4, 1, 1))
    assert item.truth.boxes[1] == (50, 50, 305, 201.5), "metrics take the box as it is given"
    assert benchmark.settings["clipped boxes"]["first"] == [f"{HELD_OUT[0]}: mask_annotation[1]"]
    reaching["mask_annotation"][1]["bbox"] = [50, 50, 400, 100]
    with pytest.raises(BenchmarkError, match=r"mask_annotation\[1\]\.bbox: expected x2 from 0 to 300, got 450"):
        load(tmp_path, [reaching])
