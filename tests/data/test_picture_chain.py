"""Masks lie on the right pixels of every kind of picture: converted, checked, built, trained on and evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlusionformer.data.engine.building import build
from occlusionformer.data.engine.local import LocalExecutor
from occlusionformer.data.engine.plan import parse_plan
from occlusionformer.data.engine.sources import make_source
from occlusionformer.data.engine.stages import view_of
from occlusionformer.data.records import RecordSource, check_folder
from occlusionformer.evaluation import Plan, evaluate
from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.judgement import Identity, JudgeAnswer, JudgeRequest
from occlusionformer.evaluation.masks import encode_mask
from occlusionformer.tensors.grid import TokenGrid
from occlusionformer.training.examples import resized, token_share
from tests.apps.conftest import Command, run
from tests.pictures.files import encoded, png_file, turned

__all__ = ["run"]

WIDTH, HEIGHT = 48, 32
GROUND, FIRST, SECOND = 30, 120, 210
"""Greys of the background and of two things; their edges lie on blocks of JPEG."""
RINGS = (
    ("first", [0, 0, 16, 0, 16, 16, 0, 16]),
    ("second", [24, 16, 48, 16, 48, 24, 32, 24, 32, 32, 24, 32]),
)


def masks() -> np.ndarray:
    found = np.zeros((2, HEIGHT, WIDTH), bool)
    found[0, :16, :16] = True
    found[1, 16:24, 24:] = found[1, 24:, 24:32] = True
    return found


def picture() -> np.ndarray:
    """(H, W) uint8."""
    first, second = masks()
    return np.where(first, FIRST, np.where(second, SECOND, GROUND)).astype(np.uint8)


def colours() -> np.ndarray:
    return np.repeat(picture()[..., None], 3, axis=2)


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def _turned_back(values: np.ndarray) -> Image.Image:
    """As a camera stores it that is turned left."""
    return Image.fromarray(np.ascontiguousarray(np.rot90(values)))


def _see_through() -> np.ndarray:
    """Opaque where things are."""
    return np.where(masks().any(0), 255, 0).astype(np.uint8)


def _cmyk() -> Image.Image:
    inks = Image.fromarray(np.ascontiguousarray(np.rot90(255 - picture())))
    return Image.merge("CMYK", (inks, inks, inks, Image.new("L", inks.size, 0)))


def _sixteen() -> bytes:
    return (picture().astype(">u2") * 257).tobytes()


KINDS: dict[str, tuple[str, Callable[[], bytes]]] = {
    **{f"png-{n}": ("png", lambda n=n: turned(colours(), n, "PNG")) for n in range(1, 9)},
    **{f"jpeg-{n}": ("JPG", lambda n=n: turned(colours(), n, "JPEG", quality=95)) for n in range(1, 9)},
    **{f"webp-{n}": ("webp", lambda n=n: turned(colours(), n, "WEBP", lossless=True)) for n in (3, 6)},
    "grey-of-16-bits": ("png", lambda: png_file(WIDTH, HEIGHT, _sixteen(), bits=16, kind=0)),
    "grey-of-16-bits-turned": (
        "png",
        lambda: png_file(
            HEIGHT,
            WIDTH,
            np.rot90(picture().astype(">u2") * 257).tobytes(),
            bits=16,
            kind=0,
            before=((b"eXIf", _exif(6)[6:]),),
        ),
    ),
    "colour-of-16-bits": (
        "png",
        lambda: png_file(WIDTH, HEIGHT, (colours().astype(">u2") * 257).tobytes(), bits=16, kind=2),
    ),
    "alpha": ("png", lambda: encoded(Image.fromarray(np.dstack([colours(), _see_through()])), "PNG")),
    "grey-and-alpha": ("png", lambda: encoded(Image.fromarray(np.dstack([picture(), _see_through()]), "LA"), "PNG")),
    "alpha-webp": (
        "webp",
        lambda: encoded(Image.fromarray(np.dstack([colours(), _see_through()])), "WEBP", lossless=True),
    ),
    "cmyk": ("jpg", lambda: encoded(_cmyk(), "JPEG", quality=95, exif=_exif(6))),
    "palette": ("png", lambda: encoded(Image.fromarray(colours()).quantize(8), "PNG")),
    "palette-turned": ("png", lambda: encoded(_turned_back(picture()).convert("P"), "PNG", exif=_exif(6))),
    "palette-and-alpha": ("png", lambda: encoded(Image.fromarray(picture()).convert("P"), "PNG", transparency=GROUND)),
}
"""Ending and contents of files that all show the same; those with alpha over nothing where the others have ground."""


def shown(kind: str) -> np.ndarray:
    """(H, W): what every reader has to see."""
    return np.where(masks().any(0), picture(), 255) if "alpha" in kind else picture()


def check_pixels(kind: str, image_HWC: np.ndarray, masks_NHW: np.ndarray) -> None:
    """Each mask is the true one, and its pixels show its thing."""
    np.testing.assert_array_equal(masks_NHW, masks())
    slack = 6 if kind.startswith(("jpeg", "cmyk")) else 0
    assert np.abs(image_HWC.astype(int) - shown(kind)[..., None]).max() <= slack
    for mask, grey in zip(masks_NHW, (FIRST, SECOND), strict=True):
        assert np.abs(image_HWC[mask].astype(int) - grey).max() <= slack


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name, (ending, make) in KINDS.items():
        (folder / f"{name}.{ending}").write_bytes(make())
    return folder


@pytest.fixture
def converted(pictures: Path, tmp_path: Path, run: Command) -> Path:
    """A data set of records, by the command line."""
    images, annotations = [], []
    for number, (name, (ending, _)) in enumerate(KINDS.items()):
        images.append({"id": number, "width": WIDTH, "height": HEIGHT, "file_name": f"{name}.{ending.lower()}"})
        for label, ring in RINGS:
            row = {"id": len(annotations), "image_id": number, "caption": label, "segmentation": [ring]}
            annotations.append(row)
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    done = run("data", "convert", tmp_path / "a.json", tmp_path / "set", "--from", "coco-amodal", "--images", pictures)
    assert done.code == 0, done.err
    done = run("data", "validate", tmp_path / "set", "--require", "captions,visible,images")
    assert done.code == 0, done.out
    return tmp_path / "set"


def test_from_a_file_of_annotations_to_a_training_sample(converted: Path, tmp_path: Path):
    plan = parse_plan(
        {
            "name": "train",
            "source": {"kind": "records", "folder": "set"},
            "stages": [{"stage": "clean"}],
            "max_broken": 0,
        }
    )
    source = make_source(plan.source, tmp_path)
    for place, kind in enumerate(KINDS):
        view = view_of(source.load(place))
        check_pixels(kind, view.image, view.masks)
    build(plan, base=tmp_path, out=tmp_path / "built", executor=LocalExecutor())
    assert [str(violation) for violation in check_folder(tmp_path / "built", require=())] == []
    for folder in (converted, tmp_path / "built"):
        samples = RecordSource(folder, masks="visible")
        assert len(samples) == len(KINDS)
        for place, kind in enumerate(KINDS):
            sample = samples[place]
            assert sample.visible is not None
            check_pixels(kind, sample.image, sample.visible)
            check_tokens(kind, sample)


def check_tokens(kind: str, sample) -> None:
    """On a canvas of half the size, a token that is full of a mask shows its thing."""
    small = resized(sample, (HEIGHT // 2, WIDTH // 2))
    share = token_share(small.visible, TokenGrid.from_pixels(HEIGHT // 2, WIDTH // 2, 4)).reshape(2, 4, 6)
    tokens = small.image.reshape(4, 4, 6, 4, 3).astype(float).mean(axis=(1, 3, 4))
    assert share.sum(axis=(1, 2)).tolist() == [4, 4]
    # Bits of other tokens come over the edge when a picture is made smaller.
    for place, grey in enumerate((FIRST, SECOND)):
        assert np.abs(tokens[share[place] == 1] - grey).max() < 20, kind


def test_a_folder_of_pictures_and_notes_is_built(pictures: Path, tmp_path: Path):
    notes = tmp_path / "notes"
    notes.mkdir()
    rows = [{"id": place, "segmentation": encode_mask(mask)} for place, mask in enumerate(masks())]
    for name in KINDS:
        (notes / f"{name}.json").write_text(json.dumps({"annotations": rows}))
    folder = {"kind": "folder", "images": str(pictures), "annotations": str(notes), "dataset": "mine"}
    plan = parse_plan({"name": "train", "source": folder, "stages": [{"stage": "clean"}], "max_broken": 0})
    build(plan, base=tmp_path, out=tmp_path / "built", executor=LocalExecutor())
    samples = RecordSource(tmp_path / "built", masks="visible")
    assert sorted(sample.key for sample in samples) == sorted(KINDS)
    for sample in samples:
        assert sample.visible is not None
        check_pixels(sample.key, sample.image, sample.visible)


@dataclass
class Eye:
    """A judge that keeps what it is shown."""

    kinds: frozenset = frozenset({"fid_features"})
    needs: frozenset = frozenset()
    parallel: int = 1
    identity: Identity = field(default_factory=lambda: {"name": "eye", "model": "e", "revision": "1", "settings": {}})
    seen: list[np.ndarray] = field(default_factory=list)

    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        assert picture.mode == "RGB"
        self.seen.append(np.array(picture))
        return JudgeAnswer(answer=[float(number) for number in np.asarray(picture, float).mean(axis=(0, 1))])


def test_drawn_pictures_and_references_are_judged_upright(pictures: Path, tmp_path: Path):
    (tmp_path / "data").mkdir()
    instances = [
        {"id": name, "caption": name, "box": [min(ring[::2]), min(ring[1::2]), max(ring[::2]), max(ring[1::2])]}
        for name, ring in RINGS
    ]
    for each in instances:
        each["box"] = [edge / side for edge, side in zip(each["box"], (WIDTH, HEIGHT) * 2, strict=True)]
    for name in KINDS:
        layout = {"version": 1, "prompt": name, "width": WIDTH, "height": HEIGHT, "instances": instances}
        (tmp_path / "data" / f"{name}.json").write_text(json.dumps(layout))
    definition = {
        "name": "kinds",
        "title": "Kinds of pictures",
        "source": {"format": "layouts", "references": str(pictures)},
        "metrics": ["fid"],
    }
    (tmp_path / "kinds.json").write_text(json.dumps(definition))
    benchmark = load_benchmark(tmp_path / "kinds.json", tmp_path / "data")
    eye = Eye()
    evaluate(Plan(benchmark=benchmark, method=pictures, judges=(eye,)), tmp_path / "run")
    for item in benchmark.items:
        assert item.reference is not None
        check_pixels(item.key, np.asarray(item.reference()), masks())
    kinds = {kind: shown(kind)[..., None] for kind in KINDS}
    apart = np.array([[np.abs(seen.astype(int) - right).max() for right in kinds.values()] for seen in eye.seen])
    assert len(eye.seen) > 1
    assert apart.min(axis=1).max() <= 6, "something was seen that no picture shows"
    assert apart.min(axis=0).max() <= 6, "a picture was not seen as it is"
