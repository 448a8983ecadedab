from __future__ import annotations

import pytest

from occlusionformer.evaluation.benchmark import Question
from occlusionformer.evaluation.benchmarks import BenchmarkError, benchmark_names, load_benchmark
from tests.evaluation.benchmarks.files import picture, stored, write_table

CAT = {"category": "cat", "bbox": [0, 0, 512, 512.9], "local_prompts": "a tabby's tail"}
DOG = {"category": "dog", "bbox": [256, 256, 1024, 1024], "local_prompts": "a brown dog"}
ANNOTATION = {
    "caption": "a cat and a dog",
    "annotations": {"cat_1": CAT, "dog_1": DOG},
    "relations": {"(cat_1, dog_1)": "in front of"},
    "valid_overlap": [{"overlap_box": [0, 1], "score": 0.1}],
}


def row(key, annotation=ANNOTATION, shade=1):
    return {"image": stored(shade), "annotation": repr(annotation), "image_id": key}


def load(folder, rows, **options):
    write_table(folder / "data" / "hard-00000-of-00001.parquet", rows)
    return load_benchmark("overlaybench-complex", folder, **options)


def test_reads_what_is_published(tmp_path):
    benchmark = load(tmp_path, [row(f"0000000{place}", shade=place) for place in range(5)])
    assert [item.key for item in benchmark.items] == [f"0000000{place}" for place in range(5)]
    item = benchmark.items[3]
    assert (item.layout.prompt, item.layout.width, item.layout.height) == ("a cat and a dog", 1024, 1024)
    assert [instance.caption for instance in item.layout.instances] == ["a tabby's tail", "a brown dog"]
    assert item.truth.boxes == ((0, 0, 512, 512), (256, 256, 1024, 1024))
    assert (item.truth.names, item.truth.categories) == (("cat_1", "dog_1"), ("cat", "dog"))
    assert item.truth.relations == {"(cat_1, dog_1)": "in front of"}
    assert item.truth.overlap_pairs == ((0, 1),)
    assert item.truth.order is None
    assert [item.reference().getpixel((0, 0)) for item in benchmark.items] == [(shade, 0, 0) for shade in range(5)]


def test_says_what_moves_its_numbers(tmp_path):
    benchmark = load(tmp_path, [row("a")])
    assert benchmark.conditions_on == Question("order", "reference")
    assert benchmark.questions[0] == Question("order", "reference")
    assert {str(question) for question in benchmark.questions} >= {"detect", "entity", "fid_features of the reference"}
    assert list(benchmark.settings["files"]) == ["data/hard-00000-of-00001.parquet"]
    assert benchmark.settings["num_items"] == 1
    assert benchmark.reported["OcclusionFormer"]["miou"] == 0.6037


@pytest.mark.parametrize("name", [name for name in benchmark_names() if name.startswith("overlaybench")])
def test_every_split_finds_its_own_files(tmp_path, name):
    for split in ("simple", "medium", "hard"):
        write_table(tmp_path / f"{split}-00000-of-00001.parquet", [row(split)])
    wanted = {"simple": "simple", "regular": "medium", "complex": "hard"}[name.removeprefix("overlaybench-")]
    assert [item.key for item in load_benchmark(name, tmp_path).items] == [wanted]


def test_every_problem_of_every_row_is_told(tmp_path):
    bad_box = {**ANNOTATION, "annotations": {"cat_1": {**CAT, "bbox": [0, 0, 2000, 10]}, "dog_1": DOG}}
    bad_pair = {**ANNOTATION, "valid_overlap": [{"overlap_box": [0, 2]}, {"overlap_box": [1, 1]}, 3]}
    rows = [
        row("a"),
        row("b", bad_box),
        row("../c"),
        row("d", bad_pair),
        {**row("e"), "annotation": "{'caption': __import__('os').system('true')}"},
        {**row("f"), "annotation": "[1, 2"},
        row("a"),
    ]
    with pytest.raises(BenchmarkError) as error:
        load(tmp_path, rows)
    file = "hard-00000-of-00001.parquet"
    assert error.value.problems == [
        f"{file} row 1: annotations.cat_1.bbox: expected x2 from 0 to 1024, got 2000",
        f"{file} row 2: expected an id of letters, digits, '.', '_' and '-', got '../c'",
        f"{file} row 3: valid_overlap[0].overlap_box: expected two places of 2 instances, got [0, 2]",
        f"{file} row 3: valid_overlap[1].overlap_box: expected two places of 2 instances, got [1, 1]",
        f"{file} row 3: valid_overlap[2].overlap_box: expected two places of 2 instances, got null",
        f"{file} row 4: line 1, column 13: not a Python literal: expected only text, numbers, lists and dicts",
        f"{file} row 5: line 1, column 1: not a Python literal: '[' was never closed",
        "a: expected every id once, got it 2 times",
    ]


def test_rows_that_are_none_can_be_left_out(tmp_path):
    benchmark = load(tmp_path, [row("a"), row("../b"), row("c"), row("a", shade=9)], unreadable="skip")
    assert [item.key for item in benchmark.items] == ["a", "c"]
    assert benchmark.items[0].reference().getpixel((0, 0)) == (1, 0, 0)
    assert benchmark.settings["left out"] == ["hard-00000-of-00001.parquet row 1"]
    assert benchmark.notes[-1] == "1 row could not be read: left out."


def test_boxes_slightly_outside_are_cut_off_and_counted(tmp_path):
    reaching = {**ANNOTATION, "annotations": {"cat_1": {**CAT, "bbox": [-4, 0, 512, 1030.5]}, "dog_1": DOG}}
    benchmark = load(tmp_path, [row("a", reaching), row("b")])
    first = benchmark.items[0]
    assert tuple(first.layout.boxes[0]) == (0, 0, 0.5, 1)
    assert first.truth.boxes[0] == (-4, 0, 512, 1030), "metrics take the box as it is given"
    assert benchmark.settings["clipped boxes"] == {"number": 1, "first": ["a: cat_1"]}
    assert benchmark.notes[-1].startswith("1 box reached slightly beyond the canvas")


def test_a_box_far_outside_is_refused(tmp_path):
    for edge in (1024 * 17 / 16 + 1, -65):
        far = {**ANNOTATION, "annotations": {"cat_1": {**CAT, "bbox": [min(edge, 0), 0, max(edge, 9), 9]}}}
        with pytest.raises(BenchmarkError, match=r"cat_1\.bbox: expected x"):
            load(tmp_path, [row("a", {**far, "valid_overlap": []})])


def test_fields_that_the_format_does_not_have_are_left_unread(tmp_path):
    wide = {**ANNOTATION, "version": 2, "annotations": {"cat_1": {**CAT, "score": 0.9, "mask": [1]}, "dog_1": DOG}}
    assert load(tmp_path, [row("a", wide)]).items[0].layout == load(tmp_path, [row("a")]).items[0].layout


def test_without_an_id_items_are_named_by_their_row(tmp_path):
    rows = [{name: value for name, value in row("x", shade=place).items() if name != "image_id"} for place in range(3)]
    benchmark = load(tmp_path, rows)
    assert [item.key for item in benchmark.items] == ["00000000", "00000001", "00000002"]
    assert benchmark.items[2].reference().getpixel((0, 0)) == (2, 0, 0)


def test_a_literal_is_limited(tmp_path):
    long = {**row("a"), "annotation": "[" * 300 + "]" * 300}
    wide = {**row("b"), "annotation": "'" + "x" * 2**20 + "'"}
    with pytest.raises(BenchmarkError) as error:
        load(tmp_path, [long, wide])
    deep, large = error.value.problems
    assert "row 0: expected at most 64 levels of objects and lists inside each other" in deep
    assert "row 1: annotation: expected at most 1048576 characters, got 1048578" in large


def test_tells_what_files_it_looked_for(tmp_path):
    with pytest.raises(BenchmarkError, match=r"expected files \*\*/hard-\*.parquet or"):
        load_benchmark("overlaybench-complex", tmp_path)
    with pytest.raises(
        BenchmarkError, match="data: expected the folder with the files of overlaybench-complex, got no"
    ):
        load_benchmark("overlaybench-complex")
    (tmp_path / "hard-1.parquet").write_bytes(b"none")
    with pytest.raises(BenchmarkError, match=r"hard-1\.parquet: not Parquet"):
        load_benchmark("overlaybench-complex", tmp_path)
    write_table(tmp_path / "hard-1.parquet", [{"image": stored(1), "image_id": "a"}])
    with pytest.raises(BenchmarkError, match="expected a column 'annotation', got image, image_id"):
        load_benchmark("overlaybench-complex", tmp_path)


def test_pictures_may_be_plain_bytes(tmp_path):
    benchmark = load(tmp_path, [{**row("a"), "image": picture(7)}])
    assert benchmark.items[0].reference().getpixel((0, 0)) == (7, 0, 0)
