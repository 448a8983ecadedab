"""Carrying out a study: choosing rates, training, drawing and judging every cell, whatever of it is missing."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from occlusionformer.evaluation.benchmark import Benchmark
from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.running.code import code_version
from occlusionformer.evaluation.running.drawing import KeptModel
from occlusionformer.evaluation.running.plan import Drawing, Plan
from occlusionformer.evaluation.running.runner import RunOptions, evaluate
from occlusionformer.evaluation.scenes.measuring import ResizedItems
from occlusionformer.evaluation.scenes.variants import with_instances
from occlusionformer.generation import load_generator
from occlusionformer.layout import write_atomic
from occlusionformer.study.folder import DRAWN, SEARCHED, TRAINED, StudyFolder, read_json, write_json
from occlusionformer.study.plan import StudyCell, StudyPlan
from occlusionformer.training import RunConfig
from occlusionformer.training.trainer import CONFIG, Trainer

NOISE = 1_000
"""Between the noises of two seeds: a benchmark numbers its layouts below it."""
SEARCH_SERIES = 1
"""Of the layouts on which variants are compared; those of the benchmark are series 0."""
CHOSEN_BY = "probe_error"
"""The figure of the trainer's own held-out scenes by which rates are chosen: least is best."""
VARIANTS_BY = "occ_f1"
"""The figure by which variants are chosen: greatest is best."""
BOXES = (1, 4, 8, 12, 16, 24)
"""Numbers of boxes that pictures are timed with."""
TIMES = 3
"""Drawings of which the fastest counts."""
WAITING = 5.0
"""Seconds between looks at what others are still working on."""

Tell = Callable[[str], None]


class StudyStoppedError(RuntimeError):
    """Somebody asked the process to stop; what was done is kept."""


@dataclass(frozen=True)
class Work:
    """A piece of work that one process does alone."""

    name: str
    cell: StudyCell
    is_done: Callable[[], bool]
    is_ready: Callable[[], bool]
    work: Callable[[], None]


@dataclass(frozen=True)
class Study:
    """A plan in its folder."""

    plan: StudyPlan
    folder: StudyFolder
    tell: Tell

    def run(self) -> None:
        """Do what is missing, and wait for what others are doing.

        Raises StudyStoppedError when a signal stopped a training; the next call goes on from its checkpoint.
        """
        self.folder.start(self.plan)
        while missing := [part for part in self.parts() if not part.is_done()]:
            if not any([self._tried(part) for part in missing if part.is_ready()]):
                time.sleep(WAITING)

    def _tried(self, part: Work) -> bool:
        """Whether a part was done here; not if somebody else has it."""
        with self.folder.claimed(part.name) as mine:
            if not mine:
                return False
            if not part.is_done():
                self.tell(part.name)
                part.work()
            return True

    def parts(self) -> Iterator[Work]:
        """Everything, in an order in which it can be done."""
        for cell in self.plan.cells:
            ready = _always if cell.rate_of is None else partial(self._has_chosen, self.plan.cell(cell.rate_of))
            chosen = partial(self._has_chosen, cell)
            yield Work(f"search-{cell.name}", cell, chosen, ready, partial(self._search, cell))
        # A whole table of one seed comes before the next seed: stopped early, it compares all the same.
        for seed in self.plan.seeds:
            for cell in self.plan.cells:
                if seed in self.plan.seeds_of(cell):
                    yield from self._of(cell, seed)

    def _time(self, cell: StudyCell) -> None:
        """Processor seconds of a picture by the number of boxes, by the first seed's model."""
        generator = load_generator(f"run:{self.folder.training(cell, self.plan.seeds[0])}")
        seconds = {}
        for count in BOXES:
            layout = with_instances(count, 0).scene.layout
            request = Drawing(steps=self.plan.steps).request(layout)
            if self.plan.size is not None:
                request = replace(request, width=self.plan.size, height=self.plan.size)
            taken = []
            for _ in range(TIMES):
                began = time.process_time()
                generator.generate([request])
                taken.append(time.process_time() - began)
            seconds[str(count)] = min(taken)
        write_json(self.folder.cell(cell) / DRAWN, {"processor_seconds": seconds})

    def _of(self, cell: StudyCell, seed: int) -> Iterator[Work]:
        chosen = partial(self._has_chosen, cell)
        name = f"{cell.name}-{seed}"
        uses = [
            Work(
                f"judge-{name}-{benchmark}",
                cell,
                (self.folder.judging(cell, seed, benchmark) / "result.json").exists,
                partial(self._can_draw, cell, seed),
                partial(self._judge, cell, seed, benchmark),
            )
            for benchmark in self.plan.benchmarks
        ]
        if seed == self.plan.seeds[0]:
            timed = self.folder.cell(cell) / DRAWN
            can_draw = partial(self._can_draw, cell, seed)
            uses.append(Work(f"time-{cell.name}", cell, timed.exists, can_draw, partial(self._time, cell)))

        def is_trained() -> bool:
            """Weights that nothing needs any longer may be gone."""
            done = (self.folder.training(cell, seed).parent / TRAINED).exists()
            return done and (self._can_draw(cell, seed) or all(use.is_done() for use in uses))

        yield Work(f"train-{name}", cell, is_trained, chosen, partial(self._train, cell, seed))
        yield from uses

    def _can_draw(self, cell: StudyCell, seed: int) -> bool:
        folder = self.folder.training(cell, seed)
        weights = folder / "branch.safetensors" if cell.trained else folder / CONFIG
        return self._has_chosen(cell) and (folder.parent / TRAINED).exists() and weights.exists()

    def _has_chosen(self, cell: StudyCell) -> bool:
        """Whether there is a rate or a variant, chosen as the plan says; runs may have become longer since."""
        found = read_json(self.folder.search(cell) / SEARCHED)
        return found is not None and (not self._searches(cell) or found.get("images") == self.plan.search_images)

    def _searches(self, cell: StudyCell) -> bool:
        """Whether a learning rate is chosen."""
        return cell.trained and len(self.plan.rates) > 1

    def _search(self, cell: StudyCell) -> None:
        """Choose the rate, or the variant, on layouts that are not the benchmark's."""
        place, seed = self.folder.search(cell), self.plan.seeds[0]
        if cell.variants:
            seen = {number: self._variant_figure(cell, number) for number in range(len(cell.variants))}
            write_json(place / SEARCHED, {"variant": max(seen, key=lambda number: seen[number]), "figures": seen})
            return
        if cell.rate_of is not None:
            other = read_json(self.folder.search(self.plan.cell(cell.rate_of)) / SEARCHED)
            assert other is not None
            self._choose(cell, {**other, "rate_of": cell.rate_of, "figures": {}})
            return
        if not self._searches(cell):
            self._choose(cell, {"rate": self.plan.rates[0], "figures": {}})
            return
        figures = {}
        for rate in self.plan.rates:
            config = self.plan.config(cell, seed=seed, rate=rate, images=self.plan.search_images)
            run = place / f"{self.plan.search_images}-images-rate-{rate:g}"
            self._trained(config, run)
            figures[rate] = next((row[CHOSEN_BY] for row in reversed(log_rows(run)) if CHOSEN_BY in row), math.inf)
        known = {rate: value for rate, value in figures.items() if math.isfinite(value)}
        if not known:
            raise ValueError(
                f"{cell.name}: expected a finite {CHOSEN_BY} at one of the rates, got none at {list(figures)}"
            )
        best = min(known, key=lambda rate: known[rate])
        found = {f"{rate:g}": value for rate, value in known.items()}
        self._choose(cell, {"rate": best, "figures": found, "images": self.plan.search_images})

    def _choose(self, cell: StudyCell, chosen: dict[str, Any]) -> None:
        """Write it down; trainings at a rate that other runs chose before go where it is another now."""
        before = read_json(self.folder.search(cell) / SEARCHED)
        if before is not None and before["rate"] != chosen["rate"]:
            for seed in self.plan.seeds_of(cell):
                shutil.rmtree(self.folder.training(cell, seed).parent, ignore_errors=True)
            (self.folder.cell(cell) / DRAWN).unlink(missing_ok=True)
        write_json(self.folder.search(cell) / SEARCHED, chosen)

    def _variant_figure(self, cell: StudyCell, number: int) -> float:
        varied = cell.model_copy(update={"settings": (*cell.settings, *cell.variants[number])})
        folder = self.folder.search(cell) / f"variant-{number}"
        self._untrained(
            self.plan.config(varied, seed=0, rate=self.plan.rates[0], images=self.plan.batch), folder / "run"
        )
        benchmark = load_benchmark(self.plan.benchmarks[-1], source_settings={"series": SEARCH_SERIES})
        result = evaluate(
            self._drawn(benchmark, folder / "run", seed=0, name=cell.name, limit=self.plan.search_limit),
            folder / "judged",
            options=RunOptions(draws_first=True),
        )
        return result.value(VARIANTS_BY) or 0.0

    def _train(self, cell: StudyCell, seed: int) -> None:
        plan, folder = self.plan, self.folder.training(cell, seed)
        chosen = read_json(self.folder.search(cell) / SEARCHED)
        assert chosen is not None
        if cell.variants:
            cell = cell.model_copy(update={"settings": (*cell.settings, *cell.variants[chosen["variant"]])})
        rate = chosen.get("rate", plan.rates[0])
        config = plan.config(cell, seed=seed, rate=rate, images=plan.images)
        parameters = self._trained(config, folder) if cell.trained else self._untrained(config, folder)
        facts = {
            "cell": cell.name,
            "method": cell.method,
            "settings": list(cell.settings),
            "seed": seed,
            "rate": rate if cell.trained else None,
            "images": plan.images if cell.trained else 0,
            "trainable_parameters": parameters,
            "config": config_hash(config),
            "code": {
                name: value
                for name, value in code_version().items()
                if name in ("occlusionformer", "commit", "changed")
            },
        }
        write_json(folder.parent / TRAINED, facts)

    def _trained(self, config: RunConfig, folder: Path) -> int:
        """Train, or go on; how many parameters were trained."""
        trainer = Trainer(config, folder, resume=True)
        parameters = sum(parameter.numel() for parameter in trainer.parameters.values())
        if trainer.run().reason == "stopped":
            raise StudyStoppedError(str(folder))
        return parameters

    def _untrained(self, config: RunConfig, folder: Path) -> int:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / CONFIG, config.model_dump_json(indent=2) + "\n")
        return 0

    def _judge(self, cell: StudyCell, seed: int, name: str) -> None:
        folder = self.folder.judging(cell, seed, name)
        plan = self._drawn(
            load_benchmark(name), self.folder.training(cell, seed), seed=seed, name=cell.name, limit=self.plan.limit
        )
        evaluate(plan, folder, options=RunOptions(draws_first=True))

    def _drawn(self, benchmark: Benchmark, run: Path, *, seed: int, name: str, limit: int) -> Plan:
        size = self.plan.size
        if size is not None:
            settings = {**benchmark.settings, "size": size}
            benchmark = replace(benchmark, items=ResizedItems(benchmark.items, size), settings=settings)
        return Plan(
            benchmark=benchmark,
            method=KeptModel(f"run:{run}"),
            judges=(self.plan.judge,),
            drawing=Drawing(seed=NOISE * seed, steps=self.plan.steps),
            limit=limit,
            name=name,
        )


def _always() -> bool:
    return True


def log_rows(folder: Path) -> list[dict[str, float]]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def config_hash(config: RunConfig) -> str:
    """Of all settings of a run, but for those that change nothing of what is learned."""
    values = config.model_dump(mode="json", exclude={"execution", "saving", "logging"})
    if values["model"].get("init_from"):
        values["model"]["init_from"] = "the study's backbone"
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
