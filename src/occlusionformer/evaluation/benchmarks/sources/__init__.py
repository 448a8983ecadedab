"""The forms that items of benchmarks are kept in, by name."""

from __future__ import annotations

from collections.abc import Mapping

from occlusionformer.evaluation.benchmarks.source import Source
from occlusionformer.evaluation.benchmarks.sources.overlaybench import OVERLAYBENCH

SOURCES: Mapping[str, Source] = {source.name: source for source in (OVERLAYBENCH,)}
