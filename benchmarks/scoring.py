"""How long recorded judgements take to be read and scored, and how much memory that needs.

    python benchmarks/scoring.py [--json] [--judgements 100000] [--instances 6] [--features 2048]

Writes the folder of a made-up run, then reads and scores it in a fresh process, as `eval replay` does: all metrics of
OverLayBench with intervals over pictures, eleven questions for each picture, two feature vectors among them. Memory is
the greatest resident set of that process; seconds are those of one processor, so that others do not count.
"""

from __future__ import annotations

import argparse
import base64
import json
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL.Image import Image

from occlusionformer.evaluation.benchmark import Benchmark, BenchmarkItem, ItemTruth, Question, QuestionKind
from occlusionformer.evaluation.judgement import Identity, JudgeAnswer, JudgementError, JudgeRequest
from occlusionformer.evaluation.records import JudgementRecord
from occlusionformer.evaluation.running.folder import PictureEntry, RunFolder, Shard
from occlusionformer.evaluation.running.judgement_store import JudgementStore
from occlusionformer.evaluation.running.plan import Plan
from occlusionformer.evaluation.running.result import RecordedRun, result_of
from occlusionformer.evaluation.specs import METRICS
from occlusionformer.layout import Box, Instance, Layout

SIDE = 1024
CATEGORIES = ("cat", "dog", "car", "tree", "cup")
APPLIED = (
    "overlap_in_whole_pixels",
    "entities",
    "relations",
    "clip",
    "fid",
    "occlusion_of_reference",
    "depth_of_reference",
)
QUESTIONS = tuple(dict.fromkeys(question for name in APPLIED for question in METRICS[name].needs))
IDENTITY: Identity = {"name": "stand-in", "model": "none", "revision": "1", "settings": {}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--judgements", type=int, default=100_000)
    parser.add_argument("--instances", type=int, default=6)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        sys.stdout.write(json.dumps(measured(options.read)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        pictures = options.judgements // len(QUESTIONS) + 1
        write(path, pictures, options.instances, options.features)
        command = [sys.executable, __file__, "--read", str(path)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
        found.update(folder_mb=round(size / 2**20), pictures=pictures, machine=platform.platform())
    lines = [f"{name:>12} {value}" for name, value in found.items()]
    sys.stdout.write((json.dumps(found) if options.json else "\n".join(lines)) + "\n")


class StandIn:
    """Answers nothing itself: its answers are made up before."""

    identity = IDENTITY
    kinds = frozenset(question.kind for question in QUESTIONS)
    needs: frozenset[QuestionKind] = frozenset()
    parallel = 1

    def judge(self, picture: Image, request: JudgeRequest) -> JudgeAnswer:
        raise JudgementError("refused")


def write(path: Path, pictures: int, instances: int, features: int) -> None:
    """The folder of a run, as if everything had been drawn and judged."""
    metrics = tuple(METRICS[name] for name in APPLIED)
    items = tuple(item(number, instances) for number in range(pictures))
    benchmark = Benchmark(name="made-up", title="Made up", items=items, metrics=metrics)
    plan = Plan(benchmark=benchmark, method="nobody", judges=(StandIn(),))
    folder = RunFolder(path)
    folder.start(plan.document(benchmark, list(items)), items)
    with folder.writing(Shard()) as files:
        subjects = ("generated", "reference")
        files.pictures(
            PictureEntry(item=each.key, subject=subject, digest=f"{each.key} {subject}")
            for each in items
            for subject in subjects
        )
        (spec,) = plan.judge_specs()
        files.judge(spec.name, IDENTITY)
        store = JudgementStore.of(folder, [spec])
        for number, each in enumerate(items):
            files.judgements(
                JudgementRecord(key=str(store.key(each, question)), item=each.key, kind=question.kind, answer=answer)
                for question, answer in answers(number, instances, features)
            )


def measured(path: Path) -> dict[str, float]:
    """Seconds of processor time for reading and for scoring, and megabytes."""
    started = time.process_time()
    scoring = RecordedRun.of(RunFolder(path))
    read = time.process_time()
    result = result_of(scoring)
    done = time.process_time()
    assert all(each.num_missing == each.num_failed == 0 for each in result.scores)
    return {
        "judgements": len(scoring.store.records),
        "columns": len(result.scores),
        "read_s": round(read - started, 2),
        "score_s": round(done - read, 2),
        "total_s": round(done - started, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def item(number: int, instances: int) -> BenchmarkItem:
    """A picture to draw, the same for the same number."""
    source = random.Random(number)
    boxes = [_box(source) for _ in range(instances)]
    categories = [source.choice(CATEGORIES) for _ in boxes]
    layout = Layout(
        prompt="things",
        width=SIDE,
        height=SIDE,
        instances=tuple(
            Instance(id=str(place), caption=name, box=Box.from_pixels(*box, width=SIDE, height=SIDE))
            for place, (box, name) in enumerate(zip(boxes, categories, strict=True))
        ),
    )
    truth = ItemTruth(
        boxes=tuple(boxes),
        frame=(SIDE, SIDE),
        names=tuple(str(place) for place in range(instances)),
        categories=tuple(categories),
        relations={f"({place}, {place + 1})": "beside" for place in range(instances - 1)},
        overlap_pairs=tuple((place, place + 1) for place in range(instances - 1)),
    )
    return BenchmarkItem(key=str(number), layout=layout, truth=truth)


def answers(number: int, instances: int, features: int) -> Iterator[tuple[Question, object]]:
    """One made-up answer to every question about a picture."""
    source = random.Random(-number)
    generator = np.random.default_rng(number)
    truth = item(number, instances).truth
    for question in QUESTIONS:
        if question.kind == "detect":
            found: dict[str, list[list[int]]] = {}
            for box, category in zip(truth.boxes, truth.categories, strict=True):
                found.setdefault(category, []).append([round(edge + source.gauss(0, 20)) for edge in box])
            yield question, found
        elif question.kind == "order":
            yield question, (np.triu(generator.integers(0, 2, (instances, instances)), 1)).tolist()
        elif question.kind == "depth":
            yield question, generator.integers(0, 3, (instances, instances)).tolist()
        elif question.kind == "fid_features":
            yield question, base64.b64encode(generator.random(features).astype("<f4").tobytes()).decode()
        elif question.kind == "clip_global":
            yield question, source.random()
        elif question.kind == "clip_local":
            yield question, [source.random() for _ in range(instances)]
        else:
            keys = truth.names if question.kind == "entity" else truth.relations
            yield question, {key: source.choice(("yes", "no")) for key in keys}


def _box(source: random.Random) -> tuple[float, float, float, float]:
    left, top = source.randrange(SIDE - 300), source.randrange(SIDE - 300)
    return left, top, left + source.randrange(50, 300), top + source.randrange(50, 300)


if __name__ == "__main__":
    main()
