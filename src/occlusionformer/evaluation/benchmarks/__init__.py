"""Benchmarks as data: a definition names the source of its items, the metrics that apply and published figures.

A new benchmark is a definition, a JSON file like those in `definitions/`. A new file format to read items from is a
module in `sources/`.
"""

from __future__ import annotations

from occlusionformer.evaluation.benchmarks.definition import Definition
from occlusionformer.evaluation.benchmarks.loading import benchmark_names, load_benchmark
from occlusionformer.evaluation.benchmarks.source import BenchmarkError, BenchmarkSource, LoadedItems

__all__ = ["BenchmarkError", "BenchmarkSource", "Definition", "LoadedItems", "benchmark_names", "load_benchmark"]
