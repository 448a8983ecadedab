"""The JSON Schema in the documentation is the one the code checks with."""

from __future__ import annotations

import json
from pathlib import Path

from occlusionformer.layout import Layout

PUBLISHED = Path(__file__).parents[2] / "docs" / "layout.schema.json"


def test_the_published_schema_is_the_layouts():
    """Remake it with `occlusionformer schema > docs/layout.schema.json`."""
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == Layout.model_json_schema()
