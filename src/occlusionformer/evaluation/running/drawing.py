"""The first half of a run: a picture for every item, each on the disk before the next batch is begun."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from occlusionformer.evaluation.benchmark import BenchmarkItem
from occlusionformer.evaluation.benchmarks.canvas import accepted_sizes
from occlusionformer.evaluation.judgement import Json
from occlusionformer.evaluation.records import picture_digest
from occlusionformer.evaluation.running.folder import PictureEntry, RunFolder, ShardFiles
from occlusionformer.evaluation.running.plan import PictureMaker, Plan, Progress, pictures_by_key
from occlusionformer.evaluation.running.shelf import PictureShelf
from occlusionformer.generation import (
    GeneratedImage,
    GenerationRequest,
    Generator,
    ProvenanceError,
    load_generator,
    read_provenance,
)
from occlusionformer.layout import write_atomic
from occlusionformer.pictures import PictureError, read_picture

BATCH = 8
"""Items handed to a picture maker at once; what is drawn is lost with a kill until the whole batch is saved."""

DIGESTS_AT_ONCE = 64
"""Pictures whose digests are written at once."""

PROVENANCE_FIELDS = (
    "model",
    "versions",
    "width",
    "height",
    "steps",
    "guidance",
    "grounding_ratio",
    "strength",
    "device",
    "dtype",
)
"""Fields of a picture's provenance that a result states."""


class KeptModel:
    """A generator by name, loaded when the first picture is drawn and kept for the runs that follow."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._generator: Generator | None = None

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GeneratedImage]:
        if self._generator is None:
            self._generator = load_generator(self.name)
        return self._generator.generate(requests)

    def __reduce__(self) -> tuple[type[KeptModel], tuple[str]]:
        """Another process loads it again."""
        return KeptModel, (self.name,)


def draw_missing(
    plan: Plan,
    folder: RunFolder,
    files: ShardFiles,
    items: Sequence[BenchmarkItem],
    progress: Progress,
    shelf: PictureShelf | None = None,
) -> dict[str, Path]:
    """The picture of every item, by key; what is there already, or on the shelf, is not drawn again.

    Raises ValueError, with all of them, for pictures that cannot be read or have another size than their layouts:
    scores would be of something else.
    """
    if isinstance(plan.method, Path):
        found = pictures_by_key(plan.method, list(items))
        places = {item.key: found[item.key] for item in items}
    else:
        places = {item.key: folder.picture(item) for item in items}
        _draw(plan, items, places, progress, shelf)
    known = folder.digests()
    new = [item for item in items if (item.key, "generated") not in known]
    for start in range(0, len(new), DIGESTS_AT_ONCE):
        _note_pictures(new[start : start + DIGESTS_AT_ONCE], places, files)
    return places


def _draw(
    plan: Plan,
    items: Sequence[BenchmarkItem],
    places: Mapping[str, Path],
    progress: Progress,
    shelf: PictureShelf | None,
) -> None:
    requests = {
        item.key: plan.drawing.request(item.layout, item_seed=item.seed)
        for item in items
        if not places[item.key].exists()
    }
    if shelf is not None:
        requests = {key: each for key, each in requests.items() if not shelf.take(key, each, places[key])}
    if not requests:
        return
    assert not isinstance(plan.method, Path)
    generator: PictureMaker = load_generator(plan.method) if isinstance(plan.method, str) else plan.method
    missing = list(requests)
    for start in range(0, len(missing), BATCH):
        progress("drawing", start, len(missing))
        keys = missing[start : start + BATCH]
        for key, picture in zip(keys, generator.generate([requests[key] for key in keys]), strict=True):
            _save(picture, places[key])
            if shelf is not None:
                shelf.keep(key, requests[key], places[key])
    progress("drawing", len(missing), len(missing))


def _save(picture: GeneratedImage | Image.Image, place: Path) -> None:
    if isinstance(picture, Image.Image):
        encoded = io.BytesIO()
        picture.save(encoded, format="PNG")
        write_atomic(place, encoded.getvalue())
    else:
        picture.save(place)


def _note_pictures(items: Sequence[BenchmarkItem], places: Mapping[str, Path], files: ShardFiles) -> None:
    """Note the digests of pictures, and check their sizes."""
    entries: list[PictureEntry] = []
    problems: list[str] = []
    for item in items:
        path, sizes = places[item.key], accepted_sizes(item.layout)
        try:
            picture = read_picture(path, name=str(path))
        except PictureError as error:
            problems.append(str(error))
            continue
        if picture.image.size in sizes:
            entries.append(
                PictureEntry(
                    item=item.key,
                    subject="generated",
                    digest=picture_digest(picture.image),
                    size=None if picture.image.size == sizes[0] else picture.image.size,
                    made=_made(path),
                )
            )
        else:
            expected = " or ".join(f"{width} x {height}" for width, height in sizes)
            width, height = picture.image.size
            problems.append(f"{path}: expected {expected}, got {width} x {height}{picture.exif_hint}")
    if problems:
        raise ValueError("\n".join(problems))
    files.pictures(entries)


def _made(path: Path) -> dict[str, Json] | None:
    """The provenance in a picture file; None where it has none."""
    try:
        provenance = read_provenance(path)
    except ProvenanceError:
        return None
    return {name: value for name, value in provenance.items() if name in PROVENANCE_FIELDS}
