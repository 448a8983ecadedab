"""KINS: amodal shapes over KITTI pictures, in a COCO-style file; the order is read off the masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from occlusionformer.data.converters.coco_amodal import read_coco_amodal
from occlusionformer.data.converters.refusal import BadRecordError
from occlusionformer.data.records.record import Record
from occlusionformer.data.records.repairs import Repairs


def read_kins(path: str | Path, *, repairs: Repairs | None = None) -> Iterator[Record | BadRecordError]:
    """`inmodal_seg` and `inmodal_bbox` are visible, `segmentation` and `bbox` amodal.

    An `inmodal_seg` without a set pixel says that the instance is hidden. `ico_id` and `oco_id`, the place in its
    cluster and the cluster, stay in `extra`.
    """
    return read_coco_amodal(path, dataset="KINS", license="CC BY-NC-SA 3.0 (KITTI)", repairs=repairs)
