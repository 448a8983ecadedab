"""One tiny pipeline for tests that do not change it, a fresh one for those that do."""

from __future__ import annotations

import pytest

from occlusionformer.pipelines import OcclusionFormerPipeline
from tests.pipelines.tiny import tiny_pipeline


@pytest.fixture(scope="session")
def pipeline() -> OcclusionFormerPipeline:
    return tiny_pipeline()


@pytest.fixture
def fresh() -> OcclusionFormerPipeline:
    return tiny_pipeline()
