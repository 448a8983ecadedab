"""The plan of a build: a source of pictures with masks, and the stages applied to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from occlusionformer.data.engine.item import digest
from occlusionformer.data.records.packages import from_extra
from occlusionformer.layout.document import Document
from occlusionformer.layout.problems import LayoutError, Problem, one_of, shown

LONGEST_PLAN = 2**16
"""Bytes; real plans have less than a thousand, and YAML is read slowly."""

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(strict=True, ge=1)]


class SceneSourcePlan(Document):
    """Layered scenes drawn on the way, of which only pictures and visible masks are used."""

    kind: Literal["scenes"] = "scenes"
    seed: Annotated[int, Field(strict=True, ge=0)]
    count: Count
    size: Annotated[int, Field(strict=True, ge=16, le=1024)] = 256
    min_instances: Count = 2
    max_instances: Count = 6


class FolderSourcePlan(Document):
    """Pictures in a folder, each with a JSON file of the same name that lists its masks, as in SA-1B."""

    kind: Literal["folder"] = "folder"
    images: str = Field(min_length=1, description="Relative to the plan.")
    annotations: str | None = Field(default=None, description="The JSON files; where the pictures are, unless said.")
    dataset: str = Field(min_length=1, description="Name of the data set the pictures come from.")
    license: str = ""


class RecordSourcePlan(Document):
    """A data set of records: its pictures, prompts and visible masks."""

    kind: Literal["records"] = "records"
    folder: str = Field(min_length=1, description="Relative to the plan.")
    split: str | None = None


SourcePlan = SceneSourcePlan | FolderSourcePlan | RecordSourcePlan


class StagePlan(Document):
    """Fields that every stage has. Those in `RESOURCES` say where it runs and change nothing in the data."""

    RESOURCES: ClassVar[frozenset[str]] = frozenset({"cpus", "gpus", "actors"})

    batch_size: Count = 16
    """Pictures that a stage gets at a time."""
    cpus: Annotated[float, Field(ge=0)] = 1
    gpus: Annotated[float, Field(ge=0)] = 0
    actors: Count = 1
    """Copies of the stage on a cluster."""


class CaptionPlan(StagePlan):
    """Stage: a caption for every instance."""

    stage: Literal["caption"] = "caption"
    model: str
    longest: Count = 400
    """Characters; a longer caption is cut at the last full sentence or word."""


class OrderPlan(StagePlan):
    """Stage: the occlusion order of every two instances whose masks touch."""

    stage: Literal["order"] = "order"
    model: str
    reach: Count = 2
    """Pixels that two masks may lie apart and still meet."""
    threshold: Share = 0.5
    """Least probability of a relation; either direction is decided alone."""


class AmodalPlan(StagePlan):
    """Stage: amodal masks."""

    stage: Literal["amodal"] = "amodal"
    model: str
    confine: bool = True
    """Hidden parts lie only under instances in front; without, they lie where the model says."""


class CleanPlan(StagePlan):
    """Stage: resolve contradictions, drop tiny and duplicate instances."""

    stage: Literal["clean"] = "clean"
    min_side: Share = 0.015
    """Least length of a visible box's sides, as a share of the picture's longer side: 16 pixels of 1024."""
    min_pixels: Count = 16
    duplicate_iou: Share = 0.9
    """Visible masks that overlap more are one instance."""
    min_overlap: Count = 1
    """Pixels of an instance that have to lie under another for the other to be in front of it."""
    cycles: Literal["break", "keep"] = "break"
    """Whether loops lose their least sure relations."""


class FilterPlan(StagePlan):
    """Stage: keep instances and pictures that meet conditions."""

    stage: Literal["filter"] = "filter"
    min_visible_recall: Share = 0.8
    """Least share of the visible mask that the completed one, as the model gave it, has to contain."""
    max_growth_unoccluded: Annotated[float, Field(ge=1)] = 4
    """Greatest area of a completed mask nobody is in front of, in visible areas."""
    min_instances: Count = 2
    max_instances: Count = 50


class Expected(Document):
    """Expected amounts, for estimates before a run; fields left out are estimated at their maximum."""

    pictures: Count
    instances: Count
    pairs: Count | None = None
    """Masks that meet, two by two. At most all pairs of a picture of the mean number of instances."""
    occluded: Count | None = None
    """Instances that somebody is in front of. At most all."""
    picture_bytes: Count | None = None
    """Mean size of a picture's file."""


StageKind = CaptionPlan | OrderPlan | AmodalPlan | CleanPlan | FilterPlan
SOURCES: dict[str, type[SourcePlan]] = {
    "scenes": SceneSourcePlan,
    "folder": FolderSourcePlan,
    "records": RecordSourcePlan,
}
STAGES: dict[str, type[StageKind]] = {
    "caption": CaptionPlan,
    "order": OrderPlan,
    "amodal": AmodalPlan,
    "clean": CleanPlan,
    "filter": FilterPlan,
}


class BuildPlan(Document):
    """A whole plan, read from YAML or JSON with `read_plan`."""

    version: Literal[1] = 1
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_]+$", description="Of the split that is written.")
    source: SourcePlan
    stages: tuple[StageKind, ...] = Field(min_length=1)
    shard_size: Count = 100
    """Pictures of a shard: what is done at once and, after a stop, done again."""
    expected: Expected | None = None
    """For estimates alone."""
    max_broken: Share = 0.5
    """Share of a shard's pictures that may be broken; with more, the run stops, as something else is wrong."""

    def settings(self) -> dict[str, Any]:
        """All settings that determine the data, as JSON; without those that say where it runs."""
        value: dict[str, Any] = self.model_dump(mode="json", exclude={"expected"})
        for stage in value["stages"]:
            for name in StagePlan.RESOURCES:
                del stage[name]
        return value

    def hash(self, revisions: Mapping[str, str]) -> str:
        """A hash of the settings and of the models' revisions."""
        return digest(json.dumps([self.settings(), dict(revisions)], sort_keys=True))


def read_plan(path: str | Path) -> BuildPlan:
    """A plan from a YAML or JSON file of at most LONGEST_PLAN bytes. Raises LayoutError with every problem."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(LONGEST_PLAN + 1)
        if len(content) > LONGEST_PLAN:
            raise LayoutError([f"{path}: expected a plan of at most {LONGEST_PLAN >> 10} kB"])
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise LayoutError([f"{path}: no such file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError([f"{path}: expected a text file: {error}"]) from None
    yaml = from_extra("yaml")
    try:
        value = yaml.load(text, Loader=_loader(yaml))
    except RecursionError:
        raise LayoutError([f"{path}: expected YAML or JSON of fewer levels"]) from None
    except (yaml.YAMLError, ValueError) as error:  # a ValueError for dates and numbers that are none
        raise LayoutError([f"{path}: expected YAML or JSON: {' '.join(str(error).split())}"]) from None
    if not isinstance(value, Mapping):
        raise LayoutError([f"{path}: expected an object, got {shown(value)}"])
    return parse_plan(value)


def _loader(yaml: Any) -> type:
    """yaml's safe loader, for which a field that stands twice is an error instead of its last value."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in seen:
                    again = f"expected every field once, got {shown(key.value)} again"
                    raise yaml.constructor.ConstructorError(None, None, again, key.start_mark)
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    return Loader


def parse_plan(value: Any) -> BuildPlan:
    """A plan from plain values. Raises LayoutError with every problem."""
    if not isinstance(value, Mapping):
        raise LayoutError([f"expected an object, got {shown(value)}"])
    fields = dict(value)
    problems: list[Problem] = []
    if "source" in fields:
        fields["source"] = _chosen(fields["source"], "kind", SOURCES, ("source",), problems)
    stages = fields.get("stages")
    if isinstance(stages, list):
        fields["stages"] = tuple(
            _chosen(stage, "stage", STAGES, ("stages", place), problems) for place, stage in enumerate(stages)
        )
    if problems:
        good = {name: part for name, part in fields.items() if name not in ("source", "stages")}
        raise LayoutError([*problems, *_problems_of_rest(good)])
    return BuildPlan.model_validate(fields)


def _problems_of_rest(fields: dict[str, Any]) -> list[Problem]:
    """Problems of the plan beside its source and stages."""
    stand_in = {"source": SceneSourcePlan(seed=0, count=1), "stages": (CleanPlan(),)}
    try:
        BuildPlan.model_validate({**fields, **stand_in})
    except LayoutError as error:
        return list(error.details)
    return []


def _chosen(
    value: Any, name: str, kinds: Mapping[str, type[Any]], path: tuple[str | int, ...], problems: list[Problem]
) -> Any:
    """The part parsed as the kind it names; problems are collected."""
    if not isinstance(value, Mapping):
        problems.append(Problem(path, f"expected an object, got {shown(value)}"))
        return None
    kind = value.get(name)
    if not isinstance(kind, str) or kind not in kinds:
        problems.append(Problem((*path, name), f"expected {one_of(kinds)}, got {shown(kind)}"))
        return None
    try:
        return kinds[kind].model_validate(dict(value))
    except LayoutError as error:
        problems += error.under(path).details
        return None
