"""Instances of which nothing is seen: legal in records, without a visible box wherever they go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from occlusionformer.data.converters.sa_z import read_sa_z, write_sa_z
from occlusionformer.data.records import (
    Record,
    RecordSource,
    bare,
    check_folder,
    check_record,
    encode_mask,
    layout_of_record,
    record_of_sample,
    sample_of_record,
    statistics_of,
)
from tests.data.records.examples import HEIGHT, WIDTH, data_set, record

EMPTY = encode_mask(np.zeros((HEIGHT, WIDTH), dtype=bool))


def with_hidden(name: str):
    known = record(name)
    hidden = replace(known.instances[1], visible_mask=EMPTY, visible_box=None)
    return replace(known, instances=(known.instances[0], hidden, known.instances[2]))


def test_it_is_valid_counted_and_trained_on(tmp_path: Path):
    folder = data_set(tmp_path / "set", [with_hidden(name) for name in ("one", "two", "three", "four")])
    assert list(check_folder(folder)) == []
    [counted] = statistics_of(folder)["splits"].values()
    assert counted["hidden_instances"] == 4
    whole, seen = RecordSource(folder), RecordSource(folder, masks="visible")
    assert [source.shape_of(0).instances for source in (whole, seen)] == [3, 2]
    assert [len(source[0].captions) for source in (whole, seen)] == [3, 2]
    np.testing.assert_allclose(whole[0].boxes[1], [6 / 24, 4 / 16, 16 / 24, 14 / 16])
    assert not whole[0].visible[1].any()
    assert (whole[0].boxes[:, 2:] > whole[0].boxes[:, :2]).all()
    assert (seen[0].boxes[:, 2:] > seen[0].boxes[:, :2]).all()


def test_layouts_samples_and_bare_records_know_it(tmp_path: Path):
    known = with_hidden("one")
    assert layout_of_record(known).instances[1].region is None
    sample = sample_of_record(known, np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
    again = record_of_sample(sample, known.provenance)
    assert check_record(again) == []
    assert again.instances[1].visible_box is None
    assert [each.id for each in bare(known).instances] == ["7", "9"]


def test_the_published_file_is_without_it_when_that_is_allowed(tmp_path: Path):
    write_sa_z([with_hidden("one")], tmp_path / "back.json", lossy=True)
    [again] = read_sa_z(tmp_path / "back.json")
    assert isinstance(again, Record)
    assert [each.id for each in again.instances] == ["7", "9"]
    assert again.order == ((0, 0), (0, 0))


def test_what_contradicts_itself_is_told():
    known = with_hidden("one")
    boxed = replace(known.instances[1], visible_box=(6.0, 4.0, 16.0, 14.0))
    nowhere = replace(known.instances[1], amodal_box=None, amodal_mask=None)
    for instance, text in (
        (
            boxed,
            "instances[1].visible_box: expected null beside a mask without a set pixel, got [6.0, 4.0, 16.0, 14.0]",
        ),
        (nowhere, "instances[1].visible_box: expected a visible_box or an amodal_box, got neither"),
    ):
        changed = replace(known, instances=(known.instances[0], instance, known.instances[2]))
        assert list(map(str, check_record(changed))) == [text]
