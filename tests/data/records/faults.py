"""Ways to damage a data set, each with what has to be reported: in which file, of which record, about which field."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from occlusionformer.data.records import Mask, Record, encode_mask, write_shard
from occlusionformer.data.records.record import RecordOrigin, Step
from occlusionformer.data.records.shards import FORMAT_KEY, ShardWriter
from occlusionformer.layout import rle
from tests.data.records.examples import HEIGHT, WIDTH, data_set, picture, record, rectangle, with_instance

SHARD, TAR = "data/train-00001.parquet", "data/train-00001.tar"
NAMES = ("one", "two", "three", "four")
PLACE = 2
"""The damaged record: the first of the second shard."""


@dataclass(frozen=True)
class Fault:
    """A damage, and the file, row and field of the only violation."""

    name: str
    make: Callable[[Path], None]
    file: str
    row: int | None
    field: str
    expected: str
    """Part of what is said."""


def in_record(name: str, change: Callable[[Record], Record], field: str, expected: str) -> Fault:
    """A fault of record `three`; the shard itself is right."""

    def make(folder: Path) -> None:
        path = data_set(folder) / SHARD
        write_shard(path, [(change(record(NAMES[PLACE])), picture(1)), (record(NAMES[PLACE + 1]), picture(1))])

    return Fault(name, make, SHARD, 0, field, expected)


def in_instance(name: str, change: dict[str, Any], field: str, expected: str, *, place: int = 1) -> Fault:
    """A fault of one instance of record `three`."""

    def changed(of: Record) -> Record:
        return with_instance(of, place, replace(of.instances[place], **change))

    return in_record(name, changed, f"instances[{place}].{field}", expected)


def in_files(name: str, damage: Callable[[Path], None], file: str, field: str, expected: str) -> Fault:
    """A fault of the files of a right data set."""

    def make(folder: Path) -> None:
        data_set(folder)
        damage(folder)

    return Fault(name, make, file, None, field, expected)


def in_row(name: str, change: Callable[[dict[str, Any]], None], field: str, expected: str) -> Fault:
    """A fault of the row of record `three` that no `Record` could have; or of its picture's columns."""

    def make(folder: Path) -> None:
        path = data_set(folder) / SHARD
        table = pq.read_table(path)
        rows = table.to_pylist()
        change(rows[0])
        columns = [pa.field(each.name, _nullable(each.type)) for each in table.schema]
        loose = pa.schema(columns, metadata=table.schema.metadata)
        pq.write_table(pa.Table.from_pylist(rows, schema=loose), path)

    return Fault(name, make, SHARD, 0, field, expected)


def _nullable(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(each.name, _nullable(each.type)) for each in kind])
    return pa.list_(_nullable(kind.value_type)) if pa.types.is_list(kind) else kind


def _mask(counts: list[int]) -> Mask:
    return Mask(height=HEIGHT, width=WIDTH, counts=rle.compress(counts))


def _text(counts: str) -> Mask:
    return Mask(height=HEIGHT, width=WIDTH, counts=counts)


def _entry(name: str, row: int, column: int, value: Any) -> Callable[[Record], Record]:
    def changed(of: Record) -> Record:
        matrix = [list(each) for each in getattr(of, name)]
        matrix[row][column] = value
        return replace(of, **{name: tuple(map(tuple, matrix))})

    return changed


def _columns(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def _with_strangers(folder: Path, strangers: dict[str, bytes]) -> None:
    """A shard whose tar holds more than its records name, and says so itself."""
    with ShardWriter(folder / SHARD) as writer:
        for name in NAMES[PLACE:]:
            writer.add(record(name), picture(1))
        for name, content in strangers.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            writer._archive.addfile(member, io.BytesIO(content))


def _a_byte_changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _statistics(folder: Path, text: str) -> None:
    (folder / "statistics.json").write_text(text)


FULL = encode_mask(rectangle(0, 0, WIDTH, HEIGHT))
OTHER = encode_mask(rectangle(16, 1, 23, 14))
EMPTY = _mask([HEIGHT * WIDTH])

FAULTS = [
    # the head of a record
    in_record("no image id", lambda r: replace(r, image_id=" "), "image_id", "expected printable text, got ' '"),
    in_record("image id with a line end", lambda r: replace(r, image_id="a\nb"), "image_id", "got 'a\\nb'"),
    in_record("prompt with NUL", lambda r: replace(r, prompt="a\0b"), "prompt", "expected text without NUL"),
    in_record(
        "path out of the folder", lambda r: replace(r, image_path="../x.png"), "image_path", "expected a path below"
    ),
    in_record("absolute path", lambda r: replace(r, image_path="/x.png"), "image_path", "got '/x.png'"),
    in_record(
        "no data set", lambda r: replace(r, provenance=RecordOrigin(dataset="")), "provenance.dataset", "got nothing"
    ),
    in_record(
        "a step without a stage",
        lambda r: replace(r, provenance=RecordOrigin(dataset="x", steps=(Step(stage=""),))),
        "provenance.steps[0].stage",
        "expected a name, got nothing",
    ),
    in_record("extra is a list", lambda r: replace(r, extra="[]"), "extra", "expected a JSON object, got '[]'"),
    in_record("extra is no JSON", lambda r: replace(r, extra="{"), "extra", "expected a JSON object: "),
    # instances
    in_instance("no caption", {"caption": ""}, "caption", "expected a caption, got nothing"),
    in_instance("caption with NUL", {"caption": "a\0"}, "caption", "expected text without NUL"),
    in_instance("no id", {"id": ""}, "id", "expected printable text, got ''"),
    in_instance("an id again", {"id": "7"}, "id", "expected an id of its own, got '7' again"),
    in_instance("blank category", {"category": " "}, "category", "expected a name or null"),
    in_instance("extra of an instance", {"extra": "3"}, "extra", "expected a JSON object, got '3'"),
    # boxes
    in_instance(
        "no box",
        {"visible_box": None, "amodal_box": None, "visible_mask": None, "amodal_mask": None},
        "visible_box",
        "got neither",
    ),
    in_instance("three numbers", {"visible_box": (1, 2, 3)}, "visible_box", "expected four finite numbers"),
    in_instance("not a number", {"visible_box": (1, 2, 3, float("nan"))}, "visible_box", "got [1.0, 2.0, 3.0, nan]"),
    in_instance("infinite", {"amodal_box": (1, 2, 3, float("inf"))}, "amodal_box", "expected four finite numbers"),
    in_instance("x1 after x2", {"visible_box": (9, 2, 3, 9)}, "visible_box", "expected x1 < x2, got 9 and 3"),
    in_instance("no height", {"amodal_box": (2, 5, 9, 5)}, "amodal_box", "expected y1 < y2, got 5 and 5"),
    in_instance("visible box outside", {"visible_box": (6, 4, 30, 14)}, "visible_box", "expected a box inside 24 x 16"),
    in_instance(
        "amodal box elsewhere", {"amodal_box": (30, 4, 40, 14)}, "amodal_box", "expected a box that overlaps 24 x 16"
    ),
    in_instance("box beside its mask", {"visible_box": (1, 1, 5, 5)}, "visible_box", "expected the box of its mask"),
    in_instance(
        "amodal box beside its mask", {"amodal_box": (1, 1, 5, 5)}, "amodal_box", "expected the box of its mask"
    ),
    in_instance("mask without box", {"visible_box": None}, "visible_box", "expected the box of the mask, got null"),
    in_instance("amodal mask without box", {"amodal_box": None}, "amodal_box", "expected the box of the mask"),
    # masks
    in_instance(
        "mask of another size",
        {"visible_mask": Mask(height=WIDTH, width=HEIGHT, counts=FULL.counts)},
        "visible_mask.size",
        "expected the size of the picture, [16, 24], got [24, 16]",
    ),
    in_instance("foreign letters", {"visible_mask": _text("0~")}, "visible_mask.counts", "'~' at 1 is none of"),
    in_instance("cut off", {"amodal_mask": _text("P")}, "amodal_mask.counts", "the last number is cut off"),
    in_instance("too long", {"amodal_mask": _text("P" * 9 + "0")}, "amodal_mask.counts", "is too long"),
    in_instance("negative run", {"visible_mask": _mask([-1, 385])}, "visible_mask.counts", "at least 0, got -1"),
    in_instance(
        "too few pixels", {"visible_mask": _mask([8, 5])}, "visible_mask.counts", "add up to 16 x 24 = 384, got 13"
    ),
    in_instance("too many pixels", {"amodal_mask": _mask([8, 999])}, "amodal_mask.counts", "= 384, got 1007"),
    in_instance(
        "box of a hidden instance", {"visible_mask": EMPTY}, "visible_box", "expected null beside a mask without"
    ),
    in_instance("empty amodal mask", {"amodal_mask": EMPTY}, "amodal_mask.counts", "at least one set pixel"),
    in_instance(
        "amodal beside visible",
        {"amodal_mask": OTHER, "amodal_box": (16, 1, 23, 14)},
        "amodal_mask",
        "expected a mask that covers 80% of the visible one, got 0%",
    ),
    # matrices
    in_record("order with a row less", lambda r: replace(r, order=r.order[:2]), "order", "expected 3 rows"),
    in_record(
        "order with an entry less", lambda r: replace(r, order=((0, 1), *r.order[1:])), "order[0]", "expected 3 entries"
    ),
    in_record("order of 2", _entry("order", 1, 0, 2), "order[1][0]", "expected 1, 0 or -1, got 2"),
    in_record("in front of itself", _entry("order", 1, 1, 1), "order[1][1]", "expected 0, got 1: an instance beside"),
    in_record("order of null", _entry("order", 1, 0, None), "order[1][0]", "expected a value, got null"),
    in_record("depth of 3", _entry("depth", 1, 2, 3), "depth[1][2]", "expected 1, 0, 2 or -1, got 3"),
    in_record("both closer", _entry("depth", 1, 0, 1), "depth[0][1]", "expected 0 beside [1][0] = 1, got 1"),
    in_record("depth of itself", _entry("depth", 0, 0, 2), "depth[0][0]", "expected -1, got 2"),
    in_record("depth too large", lambda r: replace(r, depth=(*r.depth, r.depth[0])), "depth", "expected 3 rows"),
    in_record("sure beyond 1", _entry("order_confidence", 0, 1, 1.5), "order_confidence[0][1]", "0 to 1, got 1.5"),
    in_record("NaN as confidence", _entry("depth_confidence", 2, 1, float("nan")), "depth_confidence[2][1]", "got nan"),
    in_record(
        "confidence of another size",
        lambda r: replace(r, order_confidence=r.order_confidence[:1]),
        "order_confidence",
        "expected 3 rows",
    ),
    in_record(
        "confidence of nothing", lambda r: replace(r, order=None), "order_confidence", "expected null beside a missing"
    ),
    # rows that no program of ours writes
    in_row("null as id", lambda row: row.update(image_id=None), "image_id", "expected a value, got null"),
    in_row("null as prompt", lambda row: row.update(prompt=None), "prompt", "expected a value, got null"),
    in_row("null as provenance", lambda row: row.update(provenance=None), "provenance", "got null"),
    in_row("null as instances", lambda row: row.update(instances=None), "instances", "got null"),
    in_row("null as caption", lambda row: row["instances"][2].update(caption=None), "instances[2].caption", "got null"),
    in_row("null in a list", lambda row: row["instances"].__setitem__(1, None), "instances[1]", "got null"),
    in_row(
        "null as counts",
        lambda row: row["instances"][0]["visible_mask"].update(counts=None),
        "instances[0].visible_mask.counts",
        "expected a value, got null",
    ),
    in_row(
        "a mask with one side",
        lambda row: row["instances"][1]["amodal_mask"].update(size=[16]),
        "instances[1].amodal_mask.size",
        "expected height and width, got [16]",
    ),
    in_row("null as a row of a matrix", lambda row: row["order"].__setitem__(0, None), "order[0]", "got null"),
    in_row("another hash", lambda row: row.update(image_sha256="0" * 64), "image_sha256", "expected the hash of the"),
    in_row("no hash", lambda row: row.update(image_sha256=None), "image_sha256", "or neither of them, got one"),
    # pictures
    in_files(
        "a tar too short",
        lambda f: (f / TAR).write_bytes((f / TAR).read_bytes()[:-512]),
        TAR,
        "",
        "10240 bytes, got 9728",
    ),
    in_files("a byte of the tar", lambda f: _a_byte_changed(f / TAR), TAR, "", "expected contents with the SHA-256"),
    in_files(
        "a picture too many",
        lambda f: _with_strangers(f, {"stranger.png": b"x"}),
        TAR,
        "['stranger.png']",
        "expected only pictures that a record names",
    ),
    # files
    in_files("no Parquet file", lambda f: (f / SHARD).write_bytes(b"junk"), SHARD, "", "expected a Parquet file"),
    in_files("a foreign file", lambda f: (f / "data" / ".x.tmp").write_bytes(b""), "data/.x.tmp", "", "a name like"),
    in_files(
        "a tar alone",
        lambda f: (f / "data" / "train-00002.tar").write_bytes(b""),
        "data/train-00002.tar",
        "",
        "expected the Parquet file of this shard beside it",
    ),
    in_files(
        "a column less", lambda f: _columns(f / SHARD, lambda t: t.drop_columns(["depth"])), SHARD, "depth", "got none"
    ),
    in_files(
        "a column of another type",
        lambda f: _columns(f / SHARD, lambda t: t.set_column(1, "width", pa.array(["24", "24"]))),
        SHARD,
        "width",
        "expected int32, got string",
    ),
    in_files(
        "another kind of file",
        lambda f: _columns(f / SHARD, lambda t: t.replace_schema_metadata({FORMAT_KEY: '{"version": 2}'})),
        SHARD,
        "",
        "expected a shard of records",
    ),
    in_files("other statistics", lambda f: _statistics(f, '{"records": 5}'), "statistics.json", "records", "got 5"),
    in_files("damaged statistics", lambda f: _statistics(f, "["), "statistics.json", "", "expected statistics"),
]
"""Each makes one violation; faults that make several are tested on their own."""
