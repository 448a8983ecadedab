"""Shards that other programs have written back: the same records, or everything that keeps them from being read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from occlusionformer.data.records import (
    Record,
    RecordFolder,
    RecordSource,
    Splitting,
    check_folder,
    shard_path,
    split_data_set,
    statistics_of,
    write_descriptions,
    write_shard,
)
from occlusionformer.data.records.columns import schema
from occlusionformer.data.records.spelling import column_problems, conformed
from tests.data.records.examples import data_set, picture, record
from tests.tables import for_each

Retype = Callable[[pa.DataType], pa.DataType]


def rewritten(folder: Path, change: Callable[[pa.Table], pa.Table], **options: Any) -> Path:
    """A data set of four records whose shards have been read, changed and written back."""
    for path in sorted((data_set(folder) / "data").glob("*.parquet")):
        pq.write_table(change(pq.read_table(path)), path, **options)
    return folder


def respelt(plain: Retype, many: Retype = pa.list_) -> Callable[[pa.Table], pa.Table]:
    """The same values with other types for plain values and for lists, `many` being given the type of an element."""

    def kind(found: pa.DataType) -> pa.DataType:
        if pa.types.is_struct(found):
            return pa.struct([pa.field(each.name, kind(each.type)) for each in found])
        return many(kind(found.value_type)) if pa.types.is_list(found) else plain(found)

    def changed(table: pa.Table) -> pa.Table:
        fields = [pa.field(each.name, kind(each.type)) for each in table.schema]
        return pa.Table.from_pylist(table.to_pylist(), schema=pa.schema(fields, metadata=table.schema.metadata))

    return changed


def _of(test: Callable[[pa.DataType], bool], other: pa.DataType) -> Retype:
    return lambda found: other if test(found) else found


def _wide(found: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_integer(found) else found


def _unsigned_sides(table: pa.Table) -> pa.Table:
    return table.set_column(1, "width", table["width"].cast(pa.uint16()))


def _with_columns(table: pa.Table) -> pa.Table:
    mine = pa.array([[{"a": 1}]] * len(table), pa.list_(pa.struct([("a", pa.int64()), ("b", pa.string())])))
    maps = pa.array([[("k", 1)]] * len(table), pa.map_(pa.string(), pa.int32()))
    return table.add_column(0, "mine", mine).append_column("maps", maps).append_column("x.y", pa.nulls(len(table)))


def _with_fields(table: pa.Table) -> pa.Table:
    """Fields in instances and masks, in another order, and one more of each."""
    rows = table.to_pylist()
    for row in rows:
        row["instances"] = [
            {"score": 0.5, **{name: instance[name] for name in reversed(instance)}} for instance in row["instances"]
        ]
    return pa.Table.from_pylist(rows).replace_schema_metadata(table.schema.metadata)


def _fixed_boxes(table: pa.Table) -> pa.Table:
    def kind(found: pa.DataType) -> pa.DataType:
        if pa.types.is_struct(found):
            fields = (
                pa.field(each.name, pa.list_(pa.float32(), 4) if each.name.endswith("_box") else kind(each.type))
                for each in found
            )
            return pa.struct(list(fields))
        return pa.list_(kind(found.value_type)) if pa.types.is_list(found) else found

    fields = [pa.field(each.name, kind(each.type)) for each in table.schema]
    return pa.Table.from_pylist(table.to_pylist(), schema=pa.schema(fields, metadata=table.schema.metadata))


REWRITINGS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "columns more": _with_columns,
    "columns in another order": lambda table: table.select(table.column_names[::-1]),
    "fields more, and in another order": _with_fields,
    "large text": respelt(_of(pa.types.is_string, pa.large_string())),
    "text as a dictionary": respelt(_of(pa.types.is_string, pa.dictionary(pa.int32(), pa.string()))),
    "large lists": respelt(lambda found: found, pa.large_list),
    "elements under another name": respelt(lambda found: found, lambda kind: pa.list_(pa.field("item", kind))),
    "64 bits": respelt(_wide),
    "unsigned sides": _unsigned_sides,
    "boxes of four 32-bit numbers": _fixed_boxes,
    "all of it": lambda table: _with_columns(respelt(_of(pa.types.is_string, pa.large_string()), pa.large_list)(table)),
    "without our note": lambda table: table.replace_schema_metadata({}),
    "by pandas": lambda table: pa.Table.from_pandas(table.to_pandas().assign(mine=1)),
}


@for_each("name", REWRITINGS)
def test_what_others_write_back_is_read_as_before(tmp_path: Path, name: str):
    plain = data_set(tmp_path / "plain")
    folder = rewritten(tmp_path / "set", REWRITINGS[name])
    assert [str(violation) for violation in check_folder(folder)] == []
    assert list(RecordFolder(folder).items()) == list(RecordFolder(plain).items())
    assert RecordFolder(folder)[2] == RecordFolder(plain)[2]
    assert statistics_of(folder) == statistics_of(plain)
    source, expected = RecordSource(folder), RecordSource(plain)
    assert [source.shape_of(place) for place in range(4)] == [expected.shape_of(place) for place in range(4)]
    assert not any(source.is_for_evaluation(place) for place in range(4))
    np.testing.assert_array_equal(source[3].visible, expected[3].visible)
    sizes = split_data_set(folder, tmp_path / "split", Splitting(shares={"a": 0.5, "b": 0.5}))
    assert sum(sizes.values()) == 4
    assert [str(violation) for violation in check_folder(tmp_path / "split")] == []


def test_views_are_taken_for_what_they_are_views_of(tmp_path: Path):
    """Arrow has them in memory; the Parquet writer of today has not."""
    table = pq.read_table(data_set(tmp_path) / "data" / "train-00000.parquet")
    views = respelt(_of(pa.types.is_string, pa.string_view()), pa.list_view)(table)
    assert column_problems(views.schema) == []
    assert conformed(views).to_pylist() == table.to_pylist()


def test_the_library_of_the_hub_adds_a_column(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    folder = data_set(tmp_path / "set")
    for path in sorted((folder / "data").glob("*.parquet")):
        rows = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
        rows.add_column("mine", [1.5] * len(rows)).to_parquet(str(path))
    assert [str(violation) for violation in check_folder(folder)] == []
    assert [each.image_id for each in RecordFolder(folder)] == ["one", "two", "three", "four"]
    assert statistics_of(folder)["instances"] == 12


def test_records_without_what_may_be_missing_are_written_back_by_pandas(tmp_path: Path):
    """pandas knows no type for columns and lists without a value."""
    little = replace(
        record("a"),
        order=None,
        order_confidence=None,
        depth=None,
        depth_confidence=None,
        image_path=None,
        provenance=replace(record().provenance, steps=()),
        instances=tuple(replace(each, amodal_mask=None, amodal_box=None) for each in record().instances),
    )
    path = shard_path(tmp_path, "train", 0)
    path.parent.mkdir()
    write_shard(path, [(little, picture())])
    written = list(RecordFolder(tmp_path))
    pq.write_table(pa.Table.from_pandas(pq.read_table(path).to_pandas()), path)
    assert pq.read_schema(path).field("order").type == pa.null()
    assert list(RecordFolder(tmp_path)) == written
    assert [str(violation) for violation in check_folder(tmp_path)] == []
    write_descriptions(tmp_path)


def test_everything_that_is_missing_is_told_at_once(tmp_path: Path):
    def damaged(table: pa.Table) -> pa.Table:
        rows = table.drop_columns(["depth", "prompt"]).to_pylist()
        for row in rows:
            row["width"] = str(row["width"])
            row["instances"] = [
                {name: value for name, value in instance.items() if name != "caption"} for instance in row["instances"]
            ]
        return pa.Table.from_pylist(rows).replace_schema_metadata(table.schema.metadata)

    folder = rewritten(tmp_path / "set", damaged)
    expected = [
        "width: expected int32, got string",
        "prompt: expected this column, got none",
        "instances.caption: expected this field, got none",
        "depth: expected this column, got none",
    ]
    files = [f"data/train-0000{number}.parquet" for number in (0, 1)]
    assert [str(violation) for violation in check_folder(folder)] == [
        f"{file}: {problem}" for file in files for problem in expected
    ]
    for read in (list, statistics_of, lambda records: records[0]):
        with pytest.raises(ValueError, match="expected") as caught:
            read(folder if read is statistics_of else RecordFolder(folder))
        assert str(caught.value).splitlines() == [f"{folder / files[0]}: {problem}" for problem in expected]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda row: row.update(prompt=None), "record 1 ('two'): prompt: expected a value, got null"),
        (
            lambda row: row["instances"][2].update(caption=None),
            "record 1 ('two'): instances[2].caption: expected a value, got null",
        ),
        (
            lambda row: row["instances"][0]["visible_mask"].update(size=[16]),
            "record 1 ('two'): instances[0].visible_mask.size: expected height and width, got [16]",
        ),
    ],
)
def test_holes_are_told_to_whoever_reads(tmp_path: Path, change: Callable[[dict[str, Any]], None], expected: str):
    def damaged(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        if rows[1]["image_id"] == "two":
            change(rows[1])
        return pa.Table.from_pylist(rows).replace_schema_metadata(table.schema.metadata)

    folder = rewritten(tmp_path / "set", damaged)
    file = folder / "data" / "train-00000.parquet"
    for read in (list, lambda records: records[1]):
        with pytest.raises(ValueError, match="record 1") as caught:
            read(RecordFolder(folder))
        assert str(caught.value) == f"{file}: {expected}"


def test_numbers_that_do_not_fit_are_refused(tmp_path: Path):
    wide = rewritten(
        tmp_path / "set", lambda table: table.set_column(1, "width", pa.array([2**40] * len(table), pa.int64()))
    )
    with pytest.raises(ValueError, match=r"train-00000\.parquet: width: expected int32: "):
        list(RecordFolder(wide))
    found = [str(violation) for violation in check_folder(wide)]
    assert found[0].startswith("data/train-00000.parquet: expected readable records in row group 0: width: expected")


def test_the_schema_is_the_one_that_records_are_checked_against():
    assert {each.name for each in schema()} == {each for each in Record.__dataclass_fields__}
