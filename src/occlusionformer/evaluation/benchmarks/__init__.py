"""Benchmarks as data: a definition names the source of its items, the metrics that apply and what was published.

Adding one is writing a definition, a JSON file like those in `definitions/`; a new kind of file to read items from is
one more source in `sources/`.
"""

from __future__ import annotations

from occlusionformer.evaluation.benchmarks.definition import Definition
from occlusionformer.evaluation.benchmarks.loading import benchmark_names, load_benchmark
from occlusionformer.evaluation.benchmarks.source import BenchmarkError, LoadedItems, Source

__all__ = ["BenchmarkError", "Definition", "LoadedItems", "Source", "benchmark_names", "load_benchmark"]
