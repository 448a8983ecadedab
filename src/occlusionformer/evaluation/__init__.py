"""How good pictures are: metrics, judges, benchmarks, runs and reports."""

from occlusionformer.evaluation.benchmarks import benchmark_names, load_benchmark
from occlusionformer.evaluation.export import ExportedLayouts, benchmark_of_run, export_layouts
from occlusionformer.evaluation.reports import compare_results, comparison_page, items_text, summarise, table_rows
from occlusionformer.evaluation.running.folder import Shard
from occlusionformer.evaluation.running.plan import Drawing, Plan
from occlusionformer.evaluation.running.result import Result, read_result
from occlusionformer.evaluation.running.runner import RunOptions, evaluate, rescore

__all__ = [
    "Drawing",
    "ExportedLayouts",
    "Plan",
    "Result",
    "RunOptions",
    "Shard",
    "benchmark_names",
    "benchmark_of_run",
    "compare_results",
    "comparison_page",
    "evaluate",
    "export_layouts",
    "items_text",
    "load_benchmark",
    "read_result",
    "rescore",
    "summarise",
    "table_rows",
]
