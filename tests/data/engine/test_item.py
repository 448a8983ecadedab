"""Items on their way between processes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from occlusionformer.data.engine.item import Item, Removal, pack, unpack
from occlusionformer.data.records import png
from occlusionformer.pictures import PictureError
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
    with pytest.raises(PictureError, match=r"^k: expected a "):
        Item(key="k", content=png(noise)[:cut]).image()
    np.testing.assert_array_equal(Item(key="k", content=png(noise)).image(), noise)


def test_a_picture_of_another_size_than_its_record_is_refused():
    item = item_of(rectangle(1, 1, 9, 9))
    with pytest.raises(PictureError, match=r"^picture: expected 32 x 32 pixels, got 16 x 16$"):
        replace(item, content=png(np.zeros((16, 16, 3), dtype=np.uint8))).image()
