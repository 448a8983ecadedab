"""Items on their way between processes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from occlusionformer.data.engine.item import BadItemError, Item, Removal, decode_image, pack, unpack
from occlusionformer.data.records import png
from tests.data.engine.pictures import item_of, rectangle


def test_what_is_packed_comes_back():
    whole = item_of(rectangle(1, 1, 9, 9), rectangle(5, 5, 12, 20))
    items = [
        whole,
        Item(key="kept elsewhere", path="/a/b.png", record=whole.record),
        Item(key="empty file", content=b""),
        replace(whole, removals=(Removal(instance="a", stage="clean", reason="tiny"),)).failed(
            "x", "é", kind="filtered"
        ),
    ]
    assert unpack(pack(items)) == items
    assert unpack(b"") == []


@pytest.mark.parametrize("cut", [0, 10, 60])
def test_a_damaged_picture_is_refused(cut: int):
    noise = np.random.default_rng(0).integers(0, 255, size=(16, 16, 3), dtype=np.uint8)
    with pytest.raises(BadItemError, match=f"image: expected a picture, got {cut} bytes"):
        decode_image(png(noise)[:cut])
    np.testing.assert_array_equal(decode_image(png(noise)), noise)
