"""`GET /api/vocabularies`: of models that are loaded and know what they can draw."""

from __future__ import annotations

import time
from typing import Any

from occlusionformer.apps.studio.response_schemas import Vocabularies
from occlusionformer.generation import NamingGenerator
from occlusionformer.generation.vocabulary import LINKS
from tests.apps.studio.conftest import Running, Serve
from tests.apps.studio.fake import FakeGenerator
from tests.generation.test_vocabulary import KNOWN


class NamingPainter(FakeGenerator):
    vocabulary = KNOWN


def vocabularies(running: Running) -> list[dict[str, Any]]:
    end = time.monotonic() + 20
    while running.client.get("/api/health").json()["status"] != "ready":
        assert time.monotonic() < end
        time.sleep(0.01)
    told = running.client.get("/api/vocabularies").json()
    Vocabularies.model_validate(told, strict=True)
    return told["vocabularies"]


def test_a_model_tells_its_words(serve: Serve):
    assert isinstance(NamingPainter(), NamingGenerator)
    expected = {"model": "embedded", **KNOWN.as_json(), "links": sorted(LINKS)}
    assert vocabularies(serve(NamingPainter())) == [expected]


def test_a_model_without_words_is_left_out(plain: Running):
    assert not isinstance(FakeGenerator(), NamingGenerator)
    assert vocabularies(plain) == []
