"""What `data convert` is asked for, and which converter does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlusionformer.apps.cli.console import RefusedError
from occlusionformer.apps.cli.output_files import folder_problems

if TYPE_CHECKING:
    from occlusionformer.data.records.making import Coming

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


def run_conversion(wish: Conversion) -> dict[str, Any]:
    """Do it; gives the numbers of what was made."""
    if problems := wish.problems():
        raise RefusedError(problems)
    from occlusionformer.data.records.making import DataSetMaker, bare_items

    coming = READERS[wish.format](wish)
    if wish.bare:
        coming = bare_items(coming)
    if wish.to == "sa-z":
        from occlusionformer.data.converters.sa_z import write_sa_z

        records = write_sa_z(_records_of(coming), wish.target, lossy=wish.lossy)
        return {"output": str(wish.target), "records": records, "rejected": 0}
    maker = DataSetMaker(wish.target, split=wish.split, image_root=wish.images, skip_bad=wish.skip_bad)
    made = maker.make(coming)
    return {"output": str(wish.target), "records": made.records, "shards": made.shards, "rejected": made.rejected}


def _records_of(coming: Iterable[Coming]) -> Iterator[Any]:
    for item in coming:
        if isinstance(item, ValueError):
            raise item
        yield item[0] if isinstance(item, tuple) else item


def _scenes(wish: Conversion) -> Iterator[Coming]:
    from occlusionformer.data.records import scene_items
    from occlusionformer.data.scenes import SceneDataset, SceneSpec

    count, seed, size = wish.scenes
    return scene_items(SceneDataset(seed=seed, length=count, spec=SceneSpec(size=size)))


def _records(wish: Conversion) -> Iterator[Coming]:
    from occlusionformer.data.records import RecordFolder

    return RecordFolder(wish.source).items()


def _sa_z(wish: Conversion) -> Iterator[Coming]:
    from occlusionformer.data.converters.sa_z import read_sa_z

    return read_sa_z(wish.source)


def _instaorder(wish: Conversion) -> Iterator[Coming]:
    from occlusionformer.data.converters.instaorder import read_instaorder

    assert wish.instances is not None
    return read_instaorder(wish.source, instances=wish.instances, captions=wish.captions)


def _cocoa(wish: Conversion) -> Iterator[Coming]:
    from occlusionformer.data.converters.cocoa import read_cocoa

    return read_cocoa(wish.source)


def _kins(wish: Conversion) -> Iterator[Coming]:
    from occlusionformer.data.converters.kins import read_kins

    return read_kins(wish.source)


def _overlaybench(wish: Conversion) -> Iterator[Coming]:
    from occlusionformer.data.converters.overlaybench import read_overlaybench

    return read_overlaybench(wish.source)


def _coco_amodal(wish: Conversion) -> Iterator[Coming]:
    from occlusionformer.data.converters.coco_amodal import read_coco_amodal

    return read_coco_amodal(wish.source)


READERS: dict[str, Callable[[Conversion], Iterator[Coming]]] = {
    "records": _records,
    "scenes": _scenes,
    "sa-z": _sa_z,
    "instaorder": _instaorder,
    "cocoa": _cocoa,
    "kins": _kins,
    "overlaybench": _overlaybench,
    "coco-amodal": _coco_amodal,
}
