"""Annotated pictures on disk: typed records in Parquet shards, their pictures in WebDataset tars beside them.

A data set is a folder::

    data/train-00000.parquet    records: `Record`, one a row
    data/train-00000.tar        their pictures, named after their image ids; none where pictures are kept elsewhere
    record.schema.json          what a record is made of
    statistics.json, README.md  counts, and the card

Making and taking apart::

    Record, RecordInstance, Mask, Provenance, Step     frozen; boxes in pixels x1, y1, x2, y2
    encode_mask(mask_HW) -> Mask, decode_masks(masks) -> (N, H, W) bool, box_of(mask)
    to_plain(record) -> JSON-able dict, from_plain(dict) -> Record
    record_of_scene, scene_of_record, scene_items(WorldDataset); record_of_sample, sample_of_record; layout_of_record

`order[i][j] == 1` says that i hides part of j, as `pred_order` of SA-Z does; `depth[i][j] == 1` that i is closer.

Writing: one shard at a time with `write_shard(shard_path(folder, split, number), items)`, items being pairs of a
record and its picture's bytes or None, or `with RecordWriter(folder, split) as writer: writer.add(record, image)`.
A shard and its tar appear together or not at all; the same items always make the same bytes.

Reading: `RecordFolder(folder, split=None)` iterates, has `len`, `[index]`, `item(index)` (record and picture) and
`shards`; `Shard(path)` does the same for one; `RecordSource(folder, split, masks="amodal" | "visible")` gives samples
to train on.

Checking: `check_record(record)` lists what is wrong with a record, `check_folder(folder)` what is wrong anywhere.
"""

from occlusionformer.data.records.card import record_schema, write_descriptions
from occlusionformer.data.records.checking import REQUIREMENTS, check_record
from occlusionformer.data.records.folder import RecordFolder, RecordWriter
from occlusionformer.data.records.joining import Join, sa_1b_pictures, sa_number, sacap_rows, with_sacap
from occlusionformer.data.records.making import DataSetMaker, Making, bare
from occlusionformer.data.records.masks import box_of, decode_masks, encode_mask
from occlusionformer.data.records.record import (
    Mask,
    Record,
    RecordInstance,
    RecordOrigin,
    Step,
    from_plain,
    to_plain,
)
from occlusionformer.data.records.scenes import png, record_of_scene, scene_items, scene_of_record
from occlusionformer.data.records.shards import RecordShard, ShardWriter, remove_shard, shard_path, write_shard
from occlusionformer.data.records.source import (
    RecordSource,
    decode_image,
    layout_of_record,
    record_of_sample,
    sample_of_record,
)
from occlusionformer.data.records.splitting import Splitting, split_data_set
from occlusionformer.data.records.statistics import statistics_of
from occlusionformer.data.records.validation import Violation, check_folder
from occlusionformer.layout.new_folder import new_folder

__all__ = [
    "REQUIREMENTS",
    "DataSetMaker",
    "Join",
    "Making",
    "Mask",
    "Record",
    "RecordFolder",
    "RecordInstance",
    "RecordOrigin",
    "RecordShard",
    "RecordSource",
    "RecordWriter",
    "ShardWriter",
    "Splitting",
    "Step",
    "Violation",
    "bare",
    "box_of",
    "check_folder",
    "check_record",
    "decode_image",
    "decode_masks",
    "encode_mask",
    "from_plain",
    "layout_of_record",
    "new_folder",
    "png",
    "record_of_sample",
    "record_of_scene",
    "record_schema",
    "remove_shard",
    "sa_1b_pictures",
    "sa_number",
    "sacap_rows",
    "sample_of_record",
    "scene_items",
    "scene_of_record",
    "shard_path",
    "split_data_set",
    "statistics_of",
    "to_plain",
    "with_sacap",
    "write_descriptions",
    "write_shard",
]
