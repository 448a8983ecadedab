"""OverLayBench: Python literals beside pictures in Parquet, with or without ids."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from occlusionformer.data.converters.overlaybench import read_overlaybench
from occlusionformer.data.converters.refusal import BadRecordError
from occlusionformer.data.records import DataSetMaker, RecordFolder, check_folder
from tests.tables import for_each

ANNOTATION = {
    "caption": "a dog and a cat",
    "annotations": {
        "dog 1": {"category": "dog", "bbox": [10, 20, 300, 400], "local_prompts": "the cat's dog"},
        "cat 1": {"category": "cat", "bbox": [200, 20.5, 600, 1024], "local_prompts": "a cat"},
    },
    "relations": {"(dog 1, cat 1)": "in front of"},
    "valid_overlap": [{"overlap_box": [0, 1]}],
}


def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (1024, 1024), "grey").save(stream, format="PNG")
    return stream.getvalue()


def parquet(path: Path, annotations: list[str], *, ids: list[str] | None) -> Path:
    columns: dict[str, Any] = {
        "image": [{"bytes": picture(), "path": f"{place}.png"} for place in range(len(annotations))],
        "annotation": annotations,
    }
    if ids is not None:
        columns["image_id"] = ids
    pq.write_table(pa.table(columns), path)
    return path


def test_records_with_their_pictures(tmp_path: Path):
    source = parquet(tmp_path / "simple.parquet", [repr(ANNOTATION)] * 2, ids=["000000001", "000000002"])
    DataSetMaker(tmp_path / "set", split="simple").make(read_overlaybench(source))
    assert list(check_folder(tmp_path / "set", require=["captions", "prompt", "images"])) == []
    record, image = RecordFolder(tmp_path / "set").item(0)
    assert image == picture()
    assert (record.image_id, record.prompt, record.order) == ("000000001", "a dog and a cat", None)
    assert [(each.id, each.category, each.caption) for each in record.instances] == [
        ("dog 1", "dog", "the cat's dog"),
        ("cat 1", "cat", "a cat"),
    ]
    assert record.instances[1].visible_box == (200.0, 20.5, 600.0, 1024.0)
    assert json.loads(record.extra) == {name: ANNOTATION[name] for name in ("relations", "valid_overlap")}


def test_rows_without_an_id_are_numbered(tmp_path: Path):
    parquet(tmp_path / "train-0.parquet", [repr(ANNOTATION)] * 2, ids=None)
    found = list(read_overlaybench(tmp_path))
    assert [item[0].image_id for item in found if isinstance(item, tuple)] == ["train-0-0", "train-0-1"]


@for_each(
    ("annotation", "message"),
    [
        ("{'caption': f()}", "annotation: "),
        ("[]", "annotation: expected an object, got []"),
        ("{'caption': 'x'}", "annotation.annotations: expected an object, got null"),
        (
            "{'caption': 'x', 'annotations': {'a': {'bbox': [1, 2], 'local_prompts': 'a'}}}",
            "annotation.annotations.a.bbox: expected four numbers x1, y1, x2, y2, got [1, 2]",
        ),
        (
            "{'caption': 'x', 'annotations': {'a': {'bbox': [1, 2, 3, 4]}}}",
            "annotation.annotations.a.local_prompts: expected text, got nothing",
        ),
        (
            "{'caption': 3, 'annotations': {'a': {'bbox': [1, 2, 3, 4], 'local_prompts': 'a'}}}",
            "annotation.caption: expected text, got 3",
        ),
    ],
)
def test_a_bad_annotation_is_told(tmp_path: Path, annotation: str, message: str):
    (found,) = read_overlaybench(parquet(tmp_path / "x.parquet", [annotation], ids=["a"]))
    assert isinstance(found, BadRecordError)
    assert found.problems[0].startswith(f"x.parquet: record 'a': {message}")


def test_other_files_are_refused(tmp_path: Path):
    (tmp_path / "x.parquet").write_bytes(b"junk")
    with pytest.raises(ValueError, match="expected a Parquet file"):
        list(read_overlaybench(tmp_path))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="annotation: expected this column, got none"):
        list(read_overlaybench(tmp_path))
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="expected Parquet files, got none"):
        list(read_overlaybench(tmp_path / "none"))
