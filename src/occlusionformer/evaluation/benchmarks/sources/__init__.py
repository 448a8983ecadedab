"""Sources of benchmark items by name."""

from __future__ import annotations

from collections.abc import Mapping

from occlusionformer.evaluation.benchmarks.source import BenchmarkSource
from occlusionformer.evaluation.benchmarks.sources.denselayout import DENSELAYOUT
from occlusionformer.evaluation.benchmarks.sources.layouts import LAYOUTS
from occlusionformer.evaluation.benchmarks.sources.layoutsam import LAYOUTSAM
from occlusionformer.evaluation.benchmarks.sources.overlaybench import OVERLAYBENCH
from occlusionformer.evaluation.benchmarks.sources.sa_z import SA_Z
from occlusionformer.evaluation.benchmarks.sources.sacap import SACAP
from occlusionformer.evaluation.benchmarks.sources.scenes import ORDER_CONTROL, ROBUSTNESS, SCENES

SOURCES: Mapping[str, BenchmarkSource] = {
    source.name: source
    for source in (SCENES, ORDER_CONTROL, ROBUSTNESS, OVERLAYBENCH, SA_Z, LAYOUTSAM, DENSELAYOUT, SACAP, LAYOUTS)
}
