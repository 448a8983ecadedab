from __future__ import annotations

import json
import re

import pytest

from occlusionformer.evaluation.benchmarks import BenchmarkError, benchmark_names, load_benchmark
from occlusionformer.evaluation.benchmarks.definition import Definition
from occlusionformer.evaluation.benchmarks.sources import SOURCES
from occlusionformer.evaluation.specs import METRICS
from occlusionformer.layout import LayoutError
from tests.evaluation.benchmarks.files import write_table
from tests.evaluation.benchmarks.test_overlaybench import row
from tests.tables import for_each


def definitions():
    from importlib import resources

    folder = resources.files("occlusionformer.evaluation.benchmarks") / "definitions"
    return [Definition.model_validate_json((folder / f"{name}.json").read_bytes()) for name in benchmark_names()]


@for_each("definition", definitions(), ids=lambda definition: definition.name)
def test_what_is_packaged_is_right(definition):
    source = dict(definition.source)
    SOURCES[source.pop("format")].settings.model_validate(source)
    columns = {column.name for name in definition.metrics for column in METRICS[name].columns}
    assert all(columns >= figures.keys() for figures in definition.reported.values())
    asked = {question.kind for name in definition.metrics for question in METRICS[name].needs}
    assert set(definition.judges) >= asked


def test_names_are_those_of_the_files():
    assert [definition.name for definition in definitions()] == list(benchmark_names())


def test_a_benchmark_of_ones_own_is_a_file_beside_its_data(tmp_path):
    write_table(tmp_path / "mine.parquet", [row("a"), row("b")])
    definition = {
        "name": "mine",
        "title": "Mine",
        "source": {"format": "overlaybench", "files": ["*.parquet"], "size": 512},
        "metrics": ["overlap", "clip"],
    }
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(definition))
    benchmark = load_benchmark(path)
    assert [metric.name for metric in benchmark.metrics] == ["overlap", "clip"]
    assert (benchmark.conditions_on, benchmark.items[0].layout.width) == (None, 512)
    assert benchmark.items[0].truth.frame == (1024, 1024)


def test_tells_everything_wrong_with_a_definition(tmp_path):
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps({"name": "", "title": "T", "source": {}, "metrics": ["miou", "clip"], "colour": 1}))
    with pytest.raises(LayoutError) as error:
        load_benchmark(path)
    assert sorted(error.value.problems) == [
        "colour: unknown field; expected name, title, source, metrics, conditions_on, judges, reported, "
        "reported_with or notes",
        "metrics[0]: expected overlap, overlap_in_whole_pixels, entities, relations, clip, fid, occlusion, "
        "occlusion_of_reference, depth, depth_of_reference, attributes, attributes_by_caption, grounding, "
        "grounding_in_declared_boxes, masks, masks_by_soft_prompt, appearance, colour, occlusion_of_counted_pairs, "
        "obedience, decided_pairs, identity or swaps, got 'miou'",
        "name: expected some text, got ''",
        "source.format: expected a name, got null",
    ]


def test_tells_what_is_wrong_with_the_settings_of_a_source(tmp_path):
    path = tmp_path / "wrong.json"
    fields = {"name": "n", "title": "T", "metrics": ["clip"]}
    path.write_text(json.dumps({**fields, "source": {"format": "overlaybench", "files": "x", "sise": 3}}))
    with pytest.raises(LayoutError) as error:
        load_benchmark(path)
    assert [problem.split(":")[0] for problem in error.value.problems] == ["source.files", "source.sise"]
    path.write_text(json.dumps({**fields, "source": {"format": "zip"}}))
    with pytest.raises(LayoutError, match=r"source\.format: expected .*overlaybench.*, got 'zip'"):
        load_benchmark(path)


def test_a_name_that_is_none(tmp_path):
    with pytest.raises(BenchmarkError, match=re.escape("or the path of a definition, got 'overlaybench'")):
        load_benchmark("overlaybench", tmp_path)
