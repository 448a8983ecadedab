"""Plans of runs: benchmark, method, settings of drawing, judges. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from occlusionformer.evaluation.benchmark import Benchmark, BenchmarkItem
from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.benchmarks.loading import Unreadable
from occlusionformer.evaluation.judgement import Json, digest
from occlusionformer.evaluation.judges.protocol import Judge
from occlusionformer.evaluation.judges.registry import check_judge
from occlusionformer.evaluation.running.code import code_version
from occlusionformer.evaluation.running.folder import FORMAT
from occlusionformer.evaluation.running.judge_specs import JudgeSpec, judge_name_of, judge_spec_of
from occlusionformer.evaluation.running.snapshot import MERELY_PRINTED, benchmark_as_json, item_as_json
from occlusionformer.generation import GeneratedImage, GenerationRequest, check_generator, nearest_size
from occlusionformer.generation.request import MAX_SEED
from occlusionformer.layout import Layout
from occlusionformer.pictures import pictures_in

MOST_PROBLEMS = 100


class PictureMaker(Protocol):
    """A generator of this package, or any object with `generate` that returns pictures.

    One that has a `name` is called by it in tables, others by their class.
    """

    def generate(self, requests: Sequence[GenerationRequest]) -> Sequence[GeneratedImage | Image.Image]:
        """One picture per request, in their order."""
        ...


Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Settings that all pictures are drawn with; None leaves a setting to the model."""

    seed: int = 0
    """To which every item's own number is added: 0 in published protocols, which draw all items with one seed."""
    steps: int | None = None
    guidance: float | None = None
    grounding_ratio: float | None = None
    strength: float = 1.0

    def request(self, layout: Layout, *, item_seed: int = 0) -> GenerationRequest:
        """The request for the layout of an item, with sides that are multiples of an image token.

        Raises ValueError for a number out of its range.
        """
        width, height = nearest_size(layout.width, layout.height)
        return GenerationRequest(
            layout=layout,
            width=width,
            height=height,
            seed=self.seed + item_seed,
            steps=self.steps,
            guidance=self.guidance,
            grounding_ratio=self.grounding_ratio,
            strength=self.strength,
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a run is defined by. A plan of names alone can be divided among processes."""

    benchmark: Benchmark | str
    data: Path | None = None
    """The folder with the files of a benchmark that is given by name."""
    unreadable: Unreadable = "fail"
    """What to do about rows of those files that cannot be read."""
    method: PictureMaker | str | Path
    """A picture maker, the name of a generator, or a folder of pictures named by the keys of the items."""
    judges: tuple[Judge | str, ...] = ()
    """A question goes to the first judge that answers its kind."""
    drawing: Drawing = Drawing()
    limit: int | None = None
    """Take only the first items."""
    name: str | None = None
    """Name of the method in tables."""
    weights: str | None = None
    """Digest of the files of the model; a run is not continued with others."""

    def load(self) -> Benchmark:
        """The benchmark itself. Raises ValueError for an unknown name, and for files that are not the benchmark's."""
        if isinstance(self.benchmark, str):
            return load_benchmark(self.benchmark, self.data, unreadable=self.unreadable)
        return self.benchmark

    def items_of(self, benchmark: Benchmark) -> list[BenchmarkItem]:
        """The items to draw. Raises ValueError for keys that could not be file names, and for none at all."""
        count = len(benchmark.items) if self.limit is None else min(self.limit, len(benchmark.items))
        items = [benchmark.items[place] for place in range(count)]
        names = [item.key for item in items]
        problems = [f"items: expected a file name as key, got {name!r}" for name in names if not _is_file_name(name)]
        if len(set(names)) != len(names):
            problems.append("items: expected every key once")
        if not items:
            problems.append("items: expected at least one, got none")
        highest = MAX_SEED - max((item.seed for item in items), default=0)
        if self.drawing.seed > highest:
            problems.append(
                f"seed: expected at most {highest} for the items of this benchmark, got {self.drawing.seed}"
            )
        if problems:
            raise ValueError("\n".join(problems[:20]))
        return items

    def document(self, benchmark: Benchmark, items: list[BenchmarkItem]) -> dict[str, Json]:
        """Everything that determines the result, as written to `run.json`."""
        described = benchmark_as_json(benchmark)
        asked = {
            "format": FORMAT,
            "benchmark": described,
            "items": {"number": len(items), "digest": digest([item_as_json(item) for item in items])},
            "method": self.method_name,
            "model": None if isinstance(self.method, Path) else self.model_name,
            "pictures": str(self.method.resolve()) if isinstance(self.method, Path) else None,
            **({} if self.weights is None else {"weights": self.weights}),
            "drawing": None if isinstance(self.method, Path) else asdict(self.drawing),
            "judges": [spec.as_json() for spec in self.judge_specs()],
        }
        moving = {name: value for name, value in described.items() if name not in MERELY_PRINTED}
        config = digest({name: value for name, value in {**asked, "benchmark": moving}.items() if name != "pictures"})
        return {**asked, "config": config, "code": code_version()}

    def judge_specs(self) -> list[JudgeSpec]:
        """The judges in their order. Loads those of other packages, to learn what they can be asked."""
        return [judge_spec_of(judge) for judge in self.judges]

    @property
    def model_name(self) -> str:
        return self.method if isinstance(self.method, str) else getattr(self.method, "name", type(self.method).__name__)

    @property
    def method_name(self) -> str:
        if self.name is not None:
            return self.name
        return self.method.name if isinstance(self.method, Path) else self.model_name

    def check(self) -> None:
        """Raises ValueError with every problem that can be found before anything is loaded."""
        problems: list[str] = []
        for judge in self.judges:
            try:
                if isinstance(judge, str):
                    check_judge(judge)
            except ValueError as error:
                problems.append(str(error))
        specs = [judge_name_of(judge) for judge in self.judges]
        problems += [f"judges: expected every judge once, got {spec!r} again" for spec in _repeated(specs)]
        if isinstance(self.method, str):
            try:
                check_generator(self.method)
            except ValueError as error:
                problems.append(str(error))
        if isinstance(self.method, Path) and not self.method.is_dir():
            problems.append(f"pictures: expected a folder, got {str(self.method)!r}")
        if self.limit is not None and self.limit < 1:
            problems.append(f"limit: expected at least 1, got {self.limit}")
        try:
            self.drawing.request(Layout(prompt="a", width=16, height=16))
        except ValueError as error:
            problems += str(error).splitlines()
        if problems:
            raise ValueError("\n".join(problems))


def pictures_by_key(folder: Path, items: list[BenchmarkItem]) -> Mapping[str, Path]:
    """The picture of every item, named by its key or as published code names it.

    Raises ValueError that lists the items without a picture, and those with several.
    """
    found = pictures_in(folder)
    by_key = {
        item.key: [path for name in (item.key, *item.picture_names) for path in found.get(name, ())] for item in items
    }
    missing = [key for key, paths in by_key.items() if not paths]
    problems = []
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        problems.append(f"{folder}: expected a picture for every item, found none for {', '.join(missing[:10])}{more}")
    for key, paths in by_key.items():
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            problems.append(f"{folder}: expected one picture of {key}, found {names}")
    if problems:
        raise ValueError("\n".join(problems[:MOST_PROBLEMS]))
    return {key: paths[0] for key, paths in by_key.items()}


def _is_file_name(key: str) -> bool:
    return bool(key) and key.isprintable() and not set(key) & set('/\\:*?"<>|') and key.strip(". ") == key


def _repeated(values: list[str]) -> list[str]:
    return sorted({value for value in values if values.count(value) > 1})
