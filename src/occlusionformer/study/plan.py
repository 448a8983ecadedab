"""What a study compares: cells of a table that differ in their method alone, and the budget that all of them have."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

from pydantic import Field, ValidationError

from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.judges.registry import check_judge
from occlusionformer.layout.problems import one_of, shown
from occlusionformer.training import RECIPES, RunConfig, recipe
from occlusionformer.training.method_settings import SETTINGS_OF, Settings
from occlusionformer.training.overrides import SettingsError, override

BACKBONE = "backbone.safetensors"
"""In the folder that a plan's `backbone` names."""
UNTRAINED = ("larender", "none")
"""Methods that have nothing to learn beside the backbone."""
OWN = ("model.method.", "objective.", "data.extent=")
"""What a cell may set; everything else is the budget and the data, which are the same for all."""
SHARED = ("seed", "steps", "batch", "optimizer.lr", "model.method", "model.train_backbone", "model.init_")
"""Settings that the plan itself decides."""
SAFE = "abcdefghijklmnopqrstuvwxyz0123456789-_"
MOST_PROBLEMS = 100


class StudyCell(Settings):
    """One row of the table: a method with its settings."""

    name: str = Field(min_length=1, max_length=60)
    """Small letters, digits, - and _: it becomes a folder."""
    method: str
    settings: tuple[str, ...] = ()
    """As `--set` takes them, of the method, of the objective, or data.extent."""
    variants: tuple[tuple[str, ...], ...] = ()
    """For a method without training: settings of which the best is chosen on layouts that are not the benchmark's."""
    trains_backbone: bool = False
    """Whether the backbone is trained too; such cells are a block of their own."""
    seeds: int | None = Field(default=None, ge=1)
    """Only the first so many seeds of the plan."""
    rate_of: str | None = None
    """The cell whose learning rate this one takes instead of searching: for an ablation, the whole method."""

    @property
    def trained(self) -> bool:
        return self.trains_backbone or self.method not in UNTRAINED


class StudyPlan(Settings):
    """A study. The same plan, code and machine give the same result."""

    name: str = Field(min_length=1, max_length=100)
    cells: tuple[StudyCell, ...] = Field(min_length=1, max_length=100)
    reference: str
    """The cell that the others are compared with."""
    backbone: Path | None = None
    """Folder with backbone.safetensors, which all cells start from; null starts from fresh weights, and then every cell
    has to train its backbone."""
    recipe: str = "embedded"
    settings: tuple[str, ...] = ()
    """Settings of all cells."""
    images: int = Field(ge=1)
    """Seen in every training."""
    batch: int = Field(default=16, ge=1)
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1, max_length=100)
    rates: tuple[float, ...] = Field(default=(3e-4, 1e-3, 3e-3), min_length=1, max_length=20)
    """Learning rates of which every trained cell takes the best, chosen by a short run of the first seed."""
    search_images: int = Field(default=2000, ge=1)
    """Seen in each of those short runs."""
    benchmarks: tuple[str, ...] = ("world-simple", "world-regular", "world-complex")
    """From the easiest to the hardest: the growth of an advantage is from the first to the last."""
    limit: int = Field(default=200, ge=1)
    """Layouts of every benchmark."""
    search_limit: int = Field(default=40, ge=1)
    """Layouts on which variants are compared."""
    judge: str = "art"
    steps: int | None = Field(default=None, ge=1, le=1000)
    """Denoising steps of every picture; null leaves them to the model."""
    size: int | None = Field(default=None, ge=16, le=4096, multiple_of=16)
    """Side of the pictures in pixels; null is that of the layouts."""

    @property
    def training_steps(self) -> int:
        return self.images // self.batch

    def cell(self, name: str) -> StudyCell:
        """KeyError for a name that none has."""
        return next(iter([cell for cell in self.cells if cell.name == name]), None) or _missing(name)

    def seeds_of(self, cell: StudyCell) -> tuple[int, ...]:
        return self.seeds if cell.seeds is None else self.seeds[: cell.seeds]

    def problems(self) -> list[str]:
        """All that is wrong beyond the types of fields: unknown names, unequal budgets, settings that do not exist."""
        found = [*self._names(), *self._budget(), *self._measures()]
        for place, cell in enumerate(self.cells):
            found += self._of_cell(f"cells[{place}]", cell)
        return found[:MOST_PROBLEMS]

    def config(self, cell: StudyCell, *, seed: int, rate: float, images: int) -> RunConfig:
        """The run of a cell. Raises SettingsError for settings that do not make one."""
        steps = images // self.batch
        start = [] if self.backbone is None else [f"model.init_from={self.backbone}", "model.init_parts=backbone"]
        found = override(
            recipe(self.recipe),
            [
                f"model.method={cell.method}",
                f"model.train_backbone={str(cell.trains_backbone).lower()}",
                *self.settings,
                *cell.settings,
                *start,
                f"seed={seed}",
                f"data.seed={1_000 + seed}",
                f"steps={steps}",
                f"batch={self.batch}",
                f"optimizer.lr={rate!r}",
                "logging.pictures=0",
                "logging.trackers=[]",
                f"logging.probe_every={steps}",
                f"optimizer.warmup={min(100, steps // 5)}",
            ],
        )
        assert isinstance(found, RunConfig)
        return found

    def _names(self) -> list[str]:
        names = [cell.name for cell in self.cells]
        found = [
            f"cells: expected every name once, got {shown(name)} {n} times"
            for name, n in Counter(names).items()
            if n > 1
        ]
        found += [
            f"cells[{place}].name: expected small letters, digits, - and _, got {shown(name)}"
            for place, name in enumerate(names)
            if set(name) - set(SAFE)
        ]
        if self.reference not in names:
            found.append(f"reference: expected {one_of(names)}, got {shown(self.reference)}")
        if self.recipe not in RECIPES or not isinstance(recipe(self.recipe), RunConfig):
            known = [name for name in RECIPES if isinstance(recipe(name), RunConfig)]
            found.append(f"recipe: expected {one_of(known)}, got {shown(self.recipe)}")
        if self.backbone is not None and not (self.backbone / BACKBONE).is_file():
            found.append(f"backbone: expected a folder with backbone.safetensors, got {shown(str(self.backbone))}")
        return found

    def _budget(self) -> list[str]:
        found = [
            f"{name}: expected a multiple of batch, {self.batch}, got {number}"
            for name, number in (("images", self.images), ("search_images", self.search_images))
            if number % self.batch
        ]
        found += [
            f"settings[{place}]: expected none that the plan decides ({', '.join(SHARED)}), got {shown(line)}"
            for place, line in enumerate(self.settings)
            if line.startswith(SHARED)
        ]
        if len(set(self.seeds)) != len(self.seeds):
            found.append(f"seeds: expected every one once, got {list(self.seeds)}")
        if any(rate <= 0 for rate in self.rates) or len(set(self.rates)) != len(self.rates):
            found.append(f"rates: expected different numbers above 0, got {list(self.rates)}")
        return found

    def _measures(self) -> list[str]:
        found = []
        for place, name in enumerate(self.benchmarks):
            try:
                load_benchmark(name)
            except ValueError as error:
                found += [f"benchmarks[{place}]: {line}" for line in str(error).splitlines()]
        try:
            check_judge(self.judge)
        except ValueError as error:
            found.append(f"judge: {str(error).removeprefix('judges: ')}")
        return found

    def _of_cell(self, path: str, cell: StudyCell) -> list[str]:
        if cell.method not in SETTINGS_OF:
            return [f"{path}.method: expected {one_of(SETTINGS_OF)}, got {shown(cell.method)}"]
        found = [
            f"{path}.{name}: expected settings that start with {one_of(OWN)}, so that all cells have one budget and "
            f"one data, got {shown(line)}"
            for name, lines in [
                ("settings", cell.settings),
                *((f"variants[{n}]", v) for n, v in enumerate(cell.variants)),
            ]
            for line in lines
            if not line.startswith(OWN)
        ]
        if self.backbone is None and not cell.trains_backbone:
            found.append(f"{path}.trains_backbone: expected true where the plan has no backbone, got false")
        if cell.seeds is not None and cell.seeds > len(self.seeds):
            found.append(f"{path}.seeds: expected at most {len(self.seeds)}, got {cell.seeds}")
        if (problem := self._rate_problem(cell)) is not None:
            found.append(f"{path}.rate_of: {problem}")
        if cell.variants and cell.trained:
            found.append(f"{path}.variants: expected none for a method that is trained, got {len(cell.variants)}")
        if found or self.recipe not in RECIPES:
            return found
        try:
            for variant in cell.variants or ((),):
                varied = cell.model_copy(update={"settings": (*cell.settings, *variant)})
                self.config(varied, seed=0, rate=self.rates[0], images=max(self.images, self.batch))
        except SettingsError as error:
            found += [f"{path}: {problem}" for problem in error.problems]
        return found

    def _rate_problem(self, cell: StudyCell) -> str | None:
        """What is wrong with the cell whose rate another one takes."""
        if cell.rate_of is None:
            return None
        if not cell.trained:
            return f"expected none for a method that is not trained, got {shown(cell.rate_of)}"
        searched = [other.name for other in self.cells if other.trained and other.rate_of is None]
        if cell.rate_of not in searched:
            return f"expected {one_of(searched)}, got {shown(cell.rate_of)}"
        return None


def _missing(name: str) -> StudyCell:
    raise KeyError(name)


def read_plan(path: Path) -> StudyPlan:
    """A plan from a TOML file; a relative backbone is meant from the folder of the file.

    Raises SettingsError with everything that is wrong.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError([f"{path}: expected a plan in TOML: {error}"]) from error
    if isinstance(values.get("backbone"), str):
        values["backbone"] = str(path.parent / values["backbone"])
    try:
        plan = StudyPlan.model_validate(values)
    except ValidationError as error:
        raise SettingsError(
            [f"{'.'.join(map(str, one['loc']))}: {one['msg']}, got {shown(one['input'])}" for one in error.errors()]
        ) from error
    problems = plan.problems()
    if problems:
        raise SettingsError(problems)
    return plan
