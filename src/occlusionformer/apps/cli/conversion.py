"""What `data convert` is asked for, and which converter does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlusionformer.apps.cli.console import RefusedError
from occlusionformer.apps.cli.output_files import folder_problems

if TYPE_CHECKING:
    from occlusionformer.data.records import Record
    from occlusionformer.data.records.making import Coming
    from occlusionformer.data.records.repairs import Repairs

FORMATS = ("records", "scenes", "sa-z", "instaorder", "cocoa", "kins", "overlaybench", "coco-amodal")
TARGETS = ("records", "sa-z")


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The arguments of `data convert`."""

    source: str
    target: Path
    from_: str | None
    to: str
    split: str
    images: Path | None
    instances: Path | None
    captions: Path | None
    scenes: tuple[int, int, int]
    """How many, seed, side."""
    bare: bool
    skip_bad: bool
    lossy: bool
    repair: bool = False

    @property
    def format(self) -> str:
        """Of IN: folders are data sets of records unless something else is said."""
        if self.from_ is not None:
            return self.from_
        if self.source == "scenes":
            return "scenes"
        return "records" if Path(self.source).is_dir() else ""

    def problems(self) -> list[str]:
        """Everything about the arguments that does not fit together."""
        problems = []
        if self.format not in FORMATS:
            problems.append(f"--from: expected one of {', '.join(FORMATS)}, got {self.from_ or 'nothing'}")
        elif self.format != "scenes" and not Path(self.source).exists():
            problems.append(f"IN: no file or folder {self.source}")
        if self.format == "scenes":
            problems += _size_problems(self.scenes[2])
        if not self.split.replace("_", "a").isalnum() or not self.split.isascii():
            problems.append(f"--split: expected letters, digits and underscores, got {self.split!r}")
        if self.format == "instaorder" and self.instances is None:
            problems.append("--instances: expected the COCO instances file beside InstaOrder, got nothing")
        for name, path in (("--images", self.images), ("--instances", self.instances), ("--captions", self.captions)):
            if path is not None and not path.exists():
                problems.append(f"{name}: no file or folder {path}")
        return problems + self._target_problems()

    def _target_problems(self) -> list[str]:
        if self.to not in TARGETS:
            return [f"--to: expected one of {', '.join(TARGETS)}, got {self.to}"]
        if self.to == "records":
            return ["--lossy: only with --to sa-z"] if self.lossy else []
        return folder_problems("OUT", self.target) + (["--skip-bad: only into records"] if self.skip_bad else [])


def _size_problems(size: int) -> list[str]:
    from occlusionformer.data.world.scenes import SIDES

    return [] if SIDES[0] <= size <= SIDES[1] else [f"--size: expected {SIDES[0]} to {SIDES[1]}, got {size}"]


def run_conversion(wish: Conversion) -> dict[str, Any]:
    """Do it; gives the numbers of what was made, and every repair."""
    if problems := wish.problems():
        raise RefusedError(problems)
    from occlusionformer.data.records.making import DataSetMaker, bare_items
    from occlusionformer.data.records.repairs import Repairs

    repairs = Repairs() if wish.repair else None
    coming = READERS[wish.format](wish, repairs)
    if wish.bare:
        coming = bare_items(coming)
    if wish.to == "sa-z":
        return _to_sa_z(wish, coming, repairs)
    maker = DataSetMaker(
        wish.target,
        split=wish.split,
        image_root=wish.images,
        skip_bad=wish.skip_bad,
        require=() if wish.bare else ("captions",),
        repairs=repairs,
    )
    made = maker.make(coming)
    numbers = {"records": made.records, "shards": made.shards, "rejected": made.rejected}
    return {"output": str(wish.target), **numbers, **_told(repairs)}


def _to_sa_z(wish: Conversion, coming: Iterable[Coming], repairs: Repairs | None) -> dict[str, Any]:
    from occlusionformer.data.converters.sa_z import write_sa_z

    records = write_sa_z(_admitted(coming, repairs), wish.target, lossy=wish.lossy)
    return {"output": str(wish.target), "records": records, "rejected": 0, **_told(repairs)}


def _told(repairs: Repairs | None) -> dict[str, list[str]]:
    return {} if repairs is None else {"repairs": repairs.made}


def _admitted(coming: Iterable[Coming], repairs: Repairs | None) -> Iterator[Record]:
    """Records that keep the rules, one after another. Raises ValueError for the first that does not."""
    from occlusionformer.data.records.intake import Intake

    intake = Intake(require=(), repairs=repairs)
    for item in coming:
        if isinstance(item, ValueError):
            raise item
        yield intake.admit(item[0] if isinstance(item, tuple) else item)
        if repairs is not None:
            repairs.keep()


def _scenes(wish: Conversion, repairs: Repairs | None) -> Iterator[Coming]:
    from occlusionformer.data.records import scene_items
    from occlusionformer.data.world.scenes import WorldDataset, WorldSpec

    count, seed, size = wish.scenes
    return scene_items(WorldDataset(seed=seed, length=count, spec=WorldSpec(width=size, height=size)))


def _records(wish: Conversion, repairs: Repairs | None) -> Iterator[Coming]:
    from occlusionformer.data.records import RecordFolder

    return RecordFolder(wish.source).items()


def _sa_z(wish: Conversion, repairs: Repairs | None) -> Iterator[Coming]:
    from occlusionformer.data.converters.sa_z import read_sa_z

    return read_sa_z(wish.source, repairs=repairs)


def _instaorder(wish: Conversion, repairs: Repairs | None) -> Iterator[Coming]:
    from occlusionformer.data.converters.instaorder import read_instaorder

    assert wish.instances is not None
    return read_instaorder(wish.source, instances=wish.instances, captions=wish.captions, repairs=repairs)


def _cocoa(wish: Conversion, repairs: Repairs | None) -> Iterator[Coming]:
    from occlusionformer.data.converters.cocoa import read_cocoa

    return read_cocoa(wish.source, repairs=repairs)


def _kins(wish: Conversion, repairs: Repairs | None) -> Iterator[Coming]:
    from occlusionformer.data.converters.kins import read_kins

    return read_kins(wish.source, repairs=repairs)


def _overlaybench(wish: Conversion, repairs: Repairs | None) -> Iterator[Coming]:
    from occlusionformer.data.converters.overlaybench import read_overlaybench

    return read_overlaybench(wish.source, repairs=repairs)


def _coco_amodal(wish: Conversion, repairs: Repairs | None) -> Iterator[Coming]:
    from occlusionformer.data.converters.coco_amodal import read_coco_amodal

    return read_coco_amodal(wish.source, repairs=repairs)


READERS: dict[str, Callable[[Conversion, Repairs | None], Iterator[Coming]]] = {
    "records": _records,
    "scenes": _scenes,
    "sa-z": _sa_z,
    "instaorder": _instaorder,
    "cocoa": _cocoa,
    "kins": _kins,
    "overlaybench": _overlaybench,
    "coco-amodal": _coco_amodal,
}
