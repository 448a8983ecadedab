from __future__ import annotations

import base64
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlusionformer.evaluation.benchmark import Contribution, Question
from occlusionformer.evaluation.scores import compare, score
from occlusionformer.evaluation.specs import METRICS
from tests.evaluation.things import BOXES, DEPTH, MASK, NAMES, PERFECT, SIDE, item
from tests.properties import examples
from tests.tables import for_each

PER_IMAGE = [metric for metric in METRICS.values() if metric.of_image]


def scores_of(judged, *metrics):
    return {found.column.name: found for found in score([METRICS[name] for name in metrics], judged)}


def value(answers, *metrics, column):
    return scores_of([("a", item(), answers)], *metrics)[column].value


@for_each("metric", PER_IMAGE, ids=lambda metric: metric.name)
def test_perfect_answers_score_one(metric):
    found = score([metric], [("a", item("a"), PERFECT), ("b", item("b"), PERFECT)])
    assert len(found) == len(metric.columns)
    for column in found:
        if column.column.name == "occ_none":
            assert column.value == 0
        elif column.value is not None:
            assert column.value == (1 if column.column.higher_is_better else 0)
            assert (column.num_failed, column.num_missing) == (0, 0)
    assert any(column.value is not None for column in found)


@for_each("metric", PER_IMAGE, ids=lambda metric: metric.name)
@for_each("garbage", [None, 7, "yes", [], [[]], {"cat": 3}, [[0, 5], [1]], [None] * 4, True])
def test_garbage_costs_one_picture_and_is_counted(metric, garbage):
    bad = {question: garbage if question.subject == "generated" else PERFECT[question] for question in metric.needs}
    found = score([metric], [("a", item("a"), PERFECT), ("b", item("b"), bad)])
    good = score([metric], [("a", item("a"), PERFECT)])
    for column, best in zip(found, good, strict=True):
        if best.value is None or column.column.name == "occ_none":
            continue
        assert column.num_images == 2
        assert column.column.merit(column.value) < best.column.merit(best.value)
    if garbage is None:
        assert {column.num_failed for column in found} == {1}


@for_each("metric", PER_IMAGE, ids=lambda metric: metric.name)
def test_what_was_not_asked_is_not_run(metric):
    found = score([metric], [("a", item("a"), {})])
    assert {(column.status, column.value, column.num_missing) for column in found} == {("not run", None, 1)}
    half = score([metric], [("a", item("a"), {}), ("b", item("b"), PERFECT)])
    assert {column.status for column in half if column.value is not None} == {"partial"}


def test_what_cannot_be_told_of_a_look_does_not_count_and_the_best_is_in_between():
    look = PERFECT[Question("appearance")]
    answers = [{**look, "sharpness": None}, {**look, "sharpness": 1.5}]
    found = scores_of(
        [(str(n), item(str(n)), {Question("appearance"): a}) for n, a in enumerate(answers)], "appearance"
    )
    assert (found["sharpness"].value, found["sharpness"].num_images) == (1.5, 1)
    column = found["sharpness"].column
    assert column.merit(1) > column.merit(0.9) > column.merit(1.5)
    assert (column.arrow, found["clutter"].column.arrow, found["completeness"].column.arrow) == ("→ 1", "↓", "↑")


def test_how_pictures_are_listed_changes_nothing():
    judged = []
    generator = random.Random(1)
    for key in range(12):
        boxes = [[edge + generator.uniform(-9, 9) for edge in box] for box in BOXES]
        detected = {"cat": [boxes[0], boxes[2]], "dog": [boxes[1]]}
        judged.append((str(key), item(str(key)), {**PERFECT, Question("detect"): detected}))
    before = score(list(METRICS.values()), judged)
    generator.shuffle(judged)
    assert score(list(METRICS.values()), judged) == before


def test_rates_pool_keys_and_overlaps_average_pictures():
    small = replace(item(), truth=replace(item().truth, relations={"(first cat, dog)": "beside"}))
    large = replace(item(), truth=replace(item().truth, relations=dict.fromkeys("abc", "beside")))
    judged = [("a", small, PERFECT), ("b", large, PERFECT)]
    found = scores_of(judged, "relations")["sr_r"]
    assert found.value == 0.25
    assert (found.totals, found.weights) == ((1, 0), (1, 3))


def test_boxes_come_in_pixels_of_the_picture():
    """A frame of 1024 and a picture of 100."""
    large = item(frame=(1024, 1024))
    assert scores_of([("a", large, PERFECT)], "overlap")["miou"].value == pytest.approx(1)
    cut = scores_of([("a", large, PERFECT)], "overlap_in_whole_pixels")["miou"].value
    assert cut == pytest.approx(1)


def test_whole_pixels_are_cut_off_not_rounded():
    answers = {Question("detect"): {"cat": [["0", 0.9, 40.9, "40.99"], [80, 80, 100, 100]], "dog": [[20, 20, 60, 60]]}}
    assert value(answers, "overlap_in_whole_pixels", column="miou") == 1
    assert value(answers, "overlap", column="miou") < 1


@for_each("box", [[0, 0, 40], "0 0 40 40", [0, 0, "x", 40], [0, None, 40, 40], [0, 0, 40, "1e999"], 3])
def test_a_box_that_is_none_is_dropped_alone(box):
    answers = {Question("detect"): {"cat": [box, [80, 80, 100, 100]], "dog": [list(BOXES[1])]}}
    found = scores_of([("a", item(), answers)], "overlap")["miou"]
    assert found.value == pytest.approx(2 / 3)
    assert found.num_failed == 0


def test_boxes_that_are_not_in_a_list_are_none():
    assert value({Question("detect"): {"dog": list(BOXES[1])}}, "overlap", column="miou") == 0


def test_a_picture_whose_order_failed_is_not_taken_for_one_without_occlusions():
    nothing = replace(item(), truth=replace(item().truth, order=((0,) * 3,) * 3))
    found = scores_of([("a", nothing, {Question("order"): None})], "occlusion")
    assert [found[name].value for name in ("occ_f1", "occ_recall", "occ_precision")] == [0, 0, 0]
    assert found["occ_none"].value == 1
    assert found["occ_f1_declared"].status == "empty"


def test_an_item_without_a_known_order_does_not_count():
    unknown = replace(item(), truth=replace(item().truth, order=None, depth=None, masks=None))
    for found in score([METRICS[name] for name in ("occlusion", "depth", "masks")], [("a", unknown, PERFECT)]):
        assert (found.value, found.num_images, found.status) == (None, 0, "empty")


def test_reversed_order_and_depth():
    reversed_order = [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert value({Question("order"): reversed_order}, "occlusion", column="occ_f1") == 0
    swapped = [list(column) for column in zip(*DEPTH, strict=True)]
    found = scores_of([("a", item(), {Question("depth"): swapped})], "depth")
    assert found["dep_ovlOX_all"].value == pytest.approx(2 / 3)
    assert found["dep_ovlO_all"].value == 1
    assert found["dep_ovlX_all"].value == 0.5


def test_the_reference_is_the_truth_where_the_metric_says_so():
    answers = {
        Question("order"): [[0, 0, 0], [1, 0, 0], [0, 0, 0]],
        Question("order", "reference"): [[0, 0, 0], [1, 0, 0], [0, 0, 0]],
    }
    assert value(answers, "occlusion_of_reference", column="occ_f1") == 1
    failed = {**answers, Question("order", "reference"): None}
    found = scores_of([("a", item(), failed)], "occlusion_of_reference")["occ_f1"]
    assert (found.value, found.num_failed) == (None, 1)


def test_masks_of_an_answer_that_are_none_are_empty():
    half, whole = {"size": [2, 2], "counts": [2, 2]}, {"size": [2, 2], "counts": [0, 4]}
    answers = {Question("segment_by_mask"): [half, None, {"size": [2, 2], "counts": "?"}]}
    assert value(answers, "masks", column="mask_miou") == pytest.approx(0.5 / 3)
    other_size = {Question("segment_by_mask"): [{"size": [1, 2], "counts": [0, 2]}, None, whole]}
    assert value(other_size, "masks", column="mask_miou") == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "mask", [3, {"size": [2]}, {"size": [2, float("inf")], "counts": []}, {"size": [2, 2], "counts": [2**70]}]
)
def test_a_mask_that_is_none_costs_itself(mask):
    answers = {Question("segment_by_mask"): [mask, None, MASK]}
    assert value(answers, "masks", column="mask_miou") == pytest.approx(1 / 3)


def features(*rows):
    return [
        (str(key), item(str(key)), {Question("fid_features"): row, Question("fid_features", "reference"): real})
        for key, (row, real) in enumerate(rows)
    ]


def test_fid_of_numbers_and_of_base64():
    judged = features(([0.0], [3.0]), ([2.0], [5.0]))
    assert scores_of(judged, "fid")["fid"].value == pytest.approx(9)
    packed = [
        (key, thing, {q: base64.b64encode(np.array(row, "<f4").tobytes()).decode() for q, row in answers.items()})
        for key, thing, answers in judged
    ]
    assert scores_of(packed, "fid")["fid"].value == pytest.approx(9)


def test_fid_leaves_out_failures_and_counts_them():
    judged = features(([0.0], [3.0]), ([2.0], [5.0]), (None, [4.0]), ([float("nan")], [4.0]))
    found = scores_of(judged, "fid")["fid"]
    assert (found.num_failed, found.status) == (2, "ok")
    assert scores_of(judged[:1], "fid")["fid"].status == "empty"


def test_fid_takes_every_reference_once():
    judged = features(([0.0], [3.0]), ([2.0], [5.0]))
    again = [(key + " again", thing, answers) for key, thing, answers in judged]
    twice = scores_of(judged + again, "fid")["fid"].value
    spread = np.sqrt(4 / 3)
    assert twice == pytest.approx(9 + (spread - np.sqrt(2)) ** 2)


def test_methods_are_compared_on_the_pictures_both_have():
    good = [(key, item(key), PERFECT) for key in "abcd"]
    poor = [(key, item(key), {**PERFECT, Question("entity"): {NAMES[0]: "yes"}}) for key in "bcde"]
    first, second = (scores_of(judged, "entities")["sr_e"] for judged in (good, poor))
    found = compare(first, second)
    assert found.difference == pytest.approx(2 / 3)
    assert (found.wins, found.ties, found.losses) == (3, 0, 0)
    assert compare(first, replace(second, keys=tuple("wxyz"))) is None


def test_an_item_conditioned_on_an_order():
    ordered = item().ordered([[0, 1, 1], [1, 0, 0], [0, 0, 0]])
    assert ordered.layout.zorder.edges == {(0, 1), (0, 2), (1, 0)}
    assert (ordered.key, ordered.layout.instances) == ("one", item().layout.instances)


@for_each("answer", [None, {}, "no", [[0, 1], [0, 0]], [[1, 0, 0], [0, 0, 0], [0, 0, 0]], [[0, 1], [0]]])
def test_an_order_that_is_none_conditions_nothing(answer):
    assert item().ordered(answer) == item()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([*NAMES, "yes"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*NAMES, "cat", "size", "counts", "spatial"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@examples(60)
@given(anything)
def test_no_answer_stops_the_scoring(answer):
    answers = dict.fromkeys((question for metric in METRICS.values() for question in metric.needs), answer)
    for found in score(list(METRICS.values()), [("a", item(), answers), ("b", item(), PERFECT | answers)]):
        assert found.value is None or np.isfinite(found.value)
    item().ordered(answer)


def test_difficulty():
    assert item().difficulty == pytest.approx(
        {"instances": 3, "overlapping_pairs": 1, "max_iou": 400 / 2800, "total_iou": 400 / 2800}
    )
    assert item().layout.width == SIDE


def test_weights_of_pictures_reach_the_interval():
    found = scores_of([(key, item(key), PERFECT) for key in "ab"], "entities")["sr_e"]
    assert (found.value, found.low, found.high, found.weights) == (1, 1, 1, (3, 3))
    assert Contribution(1.0).weight == 1
