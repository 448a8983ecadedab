"""Layouts for these tests."""

from __future__ import annotations

from occlusionformer.layout import Box, FrontToBack, Instance, Layout


def cat_and_vase(**fields: object) -> Layout:
    values = {
        "prompt": "a sunny room",
        "width": 128,
        "height": 96,
        "instances": (
            Instance(id="cat", caption="a tabby cat — asleep", category="cat", box=Box(0.1, 0.2, 0.7, 0.9)),
            Instance(id="vase", caption="a blue vase", box=Box(0.5, 0.1, 0.9, 0.8), opacity=0.5),
        ),
        "order": FrontToBack(front_to_back=("vase", "cat")),
    }
    return Layout(**{**values, **fields})
