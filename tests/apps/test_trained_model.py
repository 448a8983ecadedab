"""The embedded model as training leaves it: drawn, judged, served and published like the packaged one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlusionformer.apps.weights import weights_digest
from occlusionformer.data.world.scenes import CANVASES
from occlusionformer.embedded.nearest import NearestObjects
from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.embedded.text import packaged_reader
from occlusionformer.embedded.vocabulary import packaged_vocabulary
from occlusionformer.generation import GenerationRequest, load_generator
from occlusionformer.generation.vocabulary import LINKS, UnknownCaptionWarning
from occlusionformer.layout import Layout
from occlusionformer.training import override, recipe
from occlusionformer.training.trainer import Trainer
from tests.apps.conftest import Command
from tests.apps.studio.conftest import serving

KNOWN = packaged_vocabulary()
CAPTIONS = ("a black cat sitting", "a red balloon", "two people kissing", "a frog")
PARTLY_UNKNOWN = ("a black cat sitting", "chandelier", "two people kissing", "a red xylophone stand")
BOXES = ([0.05, 0.3, 0.5, 0.95], [0.3, 0.1, 0.8, 0.7], [0.6, 0.4, 0.95, 0.9], [0.1, 0.05, 0.4, 0.5])
TINY = (
    "steps=1", "batch=1", "execution.workers=0", "execution.precision=no", "logging.trackers=[]",
    "logging.probe_count=1", "logging.probe_every=1000", "logging.pictures=0", "data.world.max_instances=2",
    "data.world.width=192", "data.world.height=192", "optimizer.lr=0.02", "optimizer.ema=0.0",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    Trainer(override(recipe("embedded"), TINY), folder).run()
    return folder


@pytest.fixture(scope="module")
def by_the_run(trained: Path) -> np.ndarray:
    """What the run draws of the smallest layout, in two steps."""
    request = GenerationRequest(layout=Layout.model_validate(document(192, 192)), seed=3, steps=2)
    return np.asarray(load_generator(f"run:{trained}").generate([request])[0].image)


def document(width: int, height: int, captions: Sequence[str] = CAPTIONS) -> dict:
    instances = [
        {"id": f"i{place}", "caption": caption, "box": box}
        for place, (caption, box) in enumerate(zip(captions, BOXES, strict=True))
    ]
    return {"version": 1, "prompt": "a meadow", "width": width, "height": height, "instances": instances}


def written(folder: Path, value: dict) -> str:
    (folder / "layout.json").write_text(json.dumps(value))
    return "layout.json"


def drawn(run: Command, model: str, layout: str, *options: object) -> tuple[np.ndarray, list[str]]:
    done = run("generate", layout, "--model", model, "--seed", 3, *options)
    assert done.code == 0, done.err
    with Image.open("out.png") as picture:
        return np.asarray(picture.convert("RGB")), done.err.splitlines()


def test_a_run_and_the_embedded_model_with_its_weights_draw_one_picture(
    run: Command, folder: Path, trained: Path, by_the_run: np.ndarray
):
    layout = written(folder, document(192, 192))
    assert (drawn(run, f"embedded:{trained}", layout, "--steps", 2)[0] == by_the_run).all()
    assert by_the_run.std() > 1
    assert (drawn(run, f"run:{trained}", layout, "--steps", 2, "--strength", 0)[0] != by_the_run).any()
    assert (drawn(run, "embedded", layout, "--steps", 2)[0] != by_the_run).any()


def test_what_it_does_not_know_is_the_nearest_that_it_knows(run: Command, folder: Path, trained: Path):
    nearest = NearestObjects(KNOWN, packaged_reader())
    expected = [
        f"warning: instances[{place}].caption: no object for {PARTLY_UNKNOWN[place]!r}: "
        f"nearest is {nearest.of(PARTLY_UNKNOWN[place]).name!r}"
        for place in (1, 3)
    ]
    layout = written(folder, document(256, 256, PARTLY_UNKNOWN))
    picture, warned = drawn(run, f"run:{trained}", layout, "--steps", 1)
    assert warned == expected
    assert picture.shape == (256, 256, 3)


def test_it_says_what_it_takes_by_default(trained: Path):
    for name in ("run", "embedded"):
        generator = load_generator(f"{name}:{trained}")
        told = generator.defaults
        assert (told.size, told.steps, told.side_multiple) == (256, 6, 16)
        assert generator.vocabulary == KNOWN
        assert generator.pipeline.scheduler.config.shift == EMBEDDED.shift


@pytest.mark.slow
def test_canvases_of_its_training_are_drawn(run: Command, folder: Path, trained: Path):
    for width, height in ((320, 192), (192, 224), (320, 320)):
        picture, _ = drawn(run, f"embedded:{trained}", written(folder, document(width, height)), "--steps", 1)
        assert picture.shape == (height, width, 3)
    generator = load_generator(f"run:{trained}")
    layouts = [Layout.model_validate(document(*canvas, PARTLY_UNKNOWN)) for canvas in sorted(set(CANVASES))]
    with pytest.warns(UnknownCaptionWarning):
        images = generator.generate([GenerationRequest(layout=layout, seed=1, steps=1) for layout in layouts])
    assert [one.image.size for one in images] == sorted(set(CANVASES))


def test_the_studio_draws_with_it_and_knows_its_words(trained: Path):
    model = f"run:{trained}"
    with serving() as serve:
        running = serve(load=load_generator, models=(model,))
        for width, height in ((256, 256), (320, 192), (192, 224)):
            result = running.draw(layout=document(width, height), seed=1, steps=1)
            (shown,) = result["images"]
            with Image.open(running.client.get(shown["png"])) as picture:
                assert picture.size == (width, height)
        (told,) = running.client.get("/api/vocabularies").json()["vocabularies"]
    assert told == {"model": "run", **KNOWN.as_json(), "links": sorted(LINKS)}


def test_it_is_judged(run: Command, folder: Path, trained: Path):
    done = run(
        "bench", "scenes", "--model", f"run:{trained}", "--split", "simple", "--limit", 2,
        "--steps", 1, "--out", "bench", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["splits"]["simple"]["figures"]["colour"]["value"] is not None
    sizes = set()
    for path in (folder / "bench" / "pictures").glob("simple-*.png"):
        with Image.open(path) as picture:
            sizes.add(picture.size)
    assert sizes == {(256, 256)}


def test_its_weights_are_told_by_number_and_published(
    run: Command, folder: Path, trained: Path, by_the_run: np.ndarray
):
    assert weights_digest(f"run:{trained}") == weights_digest(str(trained))
    done = run("publish", "hub", "--model", f"embedded:{trained}", "--licence", "apache-2.0")
    assert done.code == 0, done.err
    config = json.loads((folder / "hub" / "transformer" / "config.json").read_text())
    assert (config["in_channels"], config["num_attention_heads"]) == (64, 6)
    published, _ = drawn(run, "hub", written(folder, document(192, 192)), "--steps", 2)
    assert np.abs(published.astype(int) - by_the_run).max() <= 1, (
        "mapped weights are aligned otherwise, and round otherwise"
    )
