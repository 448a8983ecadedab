"""How good pictures are: metrics, judges, benchmarks, runs and reports."""

from occlusionformer.evaluation.benchmarks import benchmark_names, load_benchmark
from occlusionformer.evaluation.reports import compare_results, comparison_page, table_rows
from occlusionformer.evaluation.running.folder import Shard
from occlusionformer.evaluation.running.plan import Drawing, Plan
from occlusionformer.evaluation.running.result import Result, read_result
from occlusionformer.evaluation.running.runner import RunOptions, evaluate, rescore

__all__ = [
    "Drawing",
    "Plan",
    "Result",
    "RunOptions",
    "Shard",
    "benchmark_names",
    "compare_results",
    "comparison_page",
    "evaluate",
    "load_benchmark",
    "read_result",
    "rescore",
    "table_rows",
]
