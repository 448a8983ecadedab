"""Folders for the Hub: written whole or not at all, and loaded in all three ways."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from peft import LoraConfig
from PIL import Image
from safetensors.torch import save_file

from occlusionformer.apps import publishing
from occlusionformer.embedded.build import embedded_pipeline
from occlusionformer.layout import read_layout, write_layout
from occlusionformer.model import OcclusionBranch, backbone_shape, published
from occlusionformer.model.checkpoint import published_state
from occlusionformer.pipelines import OcclusionFormerPipeline
from occlusionformer.pipelines.folder import SETTINGS, check_model_folder
from occlusionformer.pipelines.hub_card import ModelDescription, card_text
from tests.apps.conftest import Command
from tests.apps.examples import TWO_FRUITS
from tests.pipelines.tiny import flux_components, seeded, tiny_branch, tiny_pipeline, two_overlapping

ONE_LEVEL = 1
"""Of grey: equal weights lie at other memory alignments once loaded, where matrix products round differently."""
OURS = ["README.md", "block.py", "example.json", "model_index.json", "modular_config.json", "modular_model_index.json",
        "pipeline.py"]  # fmt: skip
LICENCE = ("--licence", "apache-2.0")
CODE = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


def published_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def drawn(pipeline: OcclusionFormerPipeline) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    return torch.as_tensor(pipeline(layout=two_overlapping(), generator=seeded(0), output_type="pt").images)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A stock FLUX folder."""
    folder = tmp_path_factory.mktemp("base")
    FluxPipeline(**flux_components()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def branch(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "branch"
    tiny_branch(flux_components()["transformer"]).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_the_cards_examples_draw_what_was_drawn_before_in_a_process_that_knows_nothing(tmp_path, run: Command):
    example = tmp_path / "layout.json"
    example.write_text(write_layout(read_layout(TWO_FRUITS).model_copy(update={"width": 64, "height": 64})))
    done = run("publish", tmp_path / "fruits", "--model", "embedded", *LICENCE, "--example", example)
    assert done.code == 0, done.err
    card = (tmp_path / "fruits" / "README.md").read_text(encoding="utf-8")
    ours, others = CODE.findall(card)
    lines = [ours, "from diffusers.utils import logging; logging.set_verbosity_error()", *others.splitlines()]
    shown = [line + (f"; picture.save('{place}.png')" if line.startswith("picture = ") else "")
             for place, line in enumerate(lines)]  # fmt: skip
    script = "\n".join(shown).replace("manual_seed(0)", "manual_seed(7)")
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 3
    pipeline = embedded_pipeline()
    expected = pipeline(layout=read_layout(example), generator=seeded(7)).images[0]
    for path in pictures:
        assert np.abs(np.asarray(Image.open(path)).astype(int) - np.asarray(expected).astype(int)).max() <= ONE_LEVEL


def test_a_branch_beside_its_base(base, branch, tmp_path, run: Command):
    """The base is copied byte for byte; settings are stored, and the card names what it is told."""
    told = ("--base-model", "black-forest-labs/FLUX.1-dev", "--licence", "other", "--licence-name", "flux-1-dev",
            "--licence-link", "https://example.org/licence", "--repo", "me/fruits", "--steps", "4")  # fmt: skip
    done = run("publish", tmp_path / "out", "--branch", branch, "--base", base, *told, "--json")
    assert done.code == 0, done.out
    assert published_files(tmp_path / "out") == OURS
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")}
    assert set(done.json["files"]) <= written
    for path in base.rglob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "out" / path.relative_to(base)).read_bytes()
    pipeline = OcclusionFormerPipeline.from_pretrained(tmp_path / "out")
    assert (pipeline.config.default_steps, pipeline.config.default_grounding_ratio) == (4, 0.3)
    components = flux_components()
    expected = OcclusionFormerPipeline(**components, branch=tiny_branch(components["transformer"]), default_steps=4)
    torch.testing.assert_close(drawn(pipeline), drawn(expected), rtol=0, atol=1e-5)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for line in (
        "base_model: black-forest-labs/FLUX.1-dev", "license: other", "license_name: flux-1-dev",
        "license_link: https://example.org/licence", "# fruits", "with the layout method `OcclusionBranch`",
    ):  # fmt: skip
        assert line in card.splitlines() or line in card
    places = json.loads((tmp_path / "out" / "modular_model_index.json").read_text())
    assert places["vae"][2]["pretrained_model_name_or_path"] == "me/fruits"


def test_a_pipeline_folder_is_copied_with_its_settings(tmp_path, run: Command):
    tiny_pipeline(default_steps=3, captions_in_prompt=False).save_pretrained(tmp_path / "saved")
    layout = two_overlapping()
    (tmp_path / "layout.json").write_text(write_layout(layout))
    done = run(
        "publish", tmp_path / "out", "--model", tmp_path / "saved", *LICENCE, "--example", tmp_path / "layout.json"
    )
    assert done.code == 0, done.err
    assert done.err == "the card and the modular index call it 'out'; --repo USER/NAME is for the Hub\n"
    first, second = (json.loads((tmp_path / name / "model_index.json").read_text()) for name in ("saved", "out"))
    assert first == second
    assert read_layout(tmp_path / "out" / "example.json") == layout
    again = run("publish", tmp_path / "again", "--model", tmp_path / "out", *LICENCE)
    assert again.code == 0, again.err


def test_a_published_checkpoint_is_converted(base, tmp_path, run: Command, monkeypatch):
    config = published(backbone_shape(flux_components()["transformer"]))
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    state = published_state(OcclusionBranch.build(config))
    torch.save(state.layout, checkpoint / "occ.pth")
    save_file(state.lora, checkpoint / "lora.safetensors")
    monkeypatch.setattr(publishing, "published", lambda: config)
    done = run("publish", tmp_path / "out", "--branch", checkpoint, "--base", base, *LICENCE)
    assert done.code == 0, done.err
    assert not list((tmp_path / "out").rglob("*.pth"))
    assert OcclusionFormerPipeline.from_pretrained(tmp_path / "out").branch.shape == config


def test_everything_wrong_is_said_at_once_and_nothing_is_written(base, tmp_path, run: Command):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "result.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    done = run(
        "publish", tmp_path / "full", "--model", base, "--licence", "Apache 2", "--licence-name", "x",
        "--base-model", "FLUX", "--repo", "a b", "--steps", 0, "--result", tmp_path / "result.json",
        "--example", tmp_path / "none.json",
    )  # fmt: skip
    assert done.code == 2
    assert done.err.splitlines() == [
        f"--example: {tmp_path}/none.json: no such file",
        f"FOLDER: expected a new or empty folder, got one with files: {tmp_path}/full",
        "--repo: expected USER/NAME of letters, digits, '.', '_' and '-', got 'a b'",
        "--licence: expected an identifier of the Hub, as apache-2.0, or other; got 'Apache 2'",
        "--licence-name: expected none without --licence other, got 'x'",
        "--base-model: expected a model of the Hub, as user/name, got 'FLUX'",
        "--steps: expected 1 to 1000, got 0",
        f"--result: {tmp_path}/result.json: expected a result of an evaluation: KeyError: 'format'",
        f"--model: {base}: branch: expected a component of a FLUX pipeline, got none",
    ]
    assert sorted(tmp_path.rglob("*")) == before


def damaged(folder: Path) -> None:
    tiny_pipeline().save_pretrained(folder)
    (folder / "branch" / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 100)


def with_code(folder: Path) -> None:
    tiny_pipeline().save_pretrained(folder)
    (folder / "vae" / "custom.py").write_text("")


def with_lora(folder: Path) -> None:
    pipeline = tiny_pipeline()
    pipeline.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q"]))
    pipeline.save_pretrained(folder)


def with_another_folder(folder: Path) -> None:
    tiny_pipeline().save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "../vae": index["vae"]}))


def nothing(folder: Path) -> None:
    folder.mkdir()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (damaged, "branch/diffusion_pytorch_model.safetensors: "),
        (with_code, "vae/custom.py: expected no code in a model folder"),
        (
            with_lora, "transformer/lora: expected no LoRA, which other programs do not load from there; fuse_lora() "
            "writes it into the weights",
        ),
        (with_another_folder, "model_index.json: ../vae: expected no component of this name"),
        (nothing, "expected a pipeline folder with a model_index.json"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_loaded_is_refused(spoil, expected, tmp_path, run: Command):
    spoil(tmp_path / "model")
    done = run("publish", tmp_path / "out", "--model", tmp_path / "model", *LICENCE)
    assert done.code == 2
    assert f"--model: {tmp_path}/model: {expected}" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "got nothing"),
        (("--branch", "b"), "got one of the two"),
        (("--model", "embedded", "--base", "b"), "got both"),
    ],
)
def test_one_source_is_asked_for(arguments, expected, tmp_path, run: Command):
    done = run("publish", tmp_path / "out", *arguments, *LICENCE)
    sources = "--model: expected --model embedded, embedded:FOLDER or a pipeline folder, or --branch with --base"
    assert (done.code, done.err) == (2, f"{sources}; {expected}\n")


def test_a_branch_of_another_backbone_is_refused(branch, tmp_path, run: Command):
    FluxPipeline(**flux_components(width=64)).save_pretrained(tmp_path / "wide")
    done = run("publish", tmp_path / "out", "--branch", branch, "--base", tmp_path / "wide", *LICENCE)
    assert done.code == 2
    assert done.err.splitlines()[0].startswith("--base: branch: ")
    assert not (tmp_path / "out").exists()


def test_a_branch_that_is_none_is_refused(base, tmp_path, run: Command):
    (tmp_path / "branch").mkdir()
    done = run("publish", tmp_path / "out", "--branch", tmp_path / "branch", "--base", base, *LICENCE)
    assert done.code == 2
    assert done.err.startswith(f"--branch: {tmp_path}/branch: needs one of occ.pth, ")


def test_a_base_that_is_nowhere_is_named(branch, tmp_path, run: Command, monkeypatch):
    def nowhere(repo: str) -> Path:
        raise OSError(f"Cannot load model {repo}: model is not cached locally")

    monkeypatch.setattr(publishing, "downloaded", nowhere)
    done = run("publish", tmp_path / "out", "--branch", branch, "--base", "runs/flux", *LICENCE)
    assert (done.code, done.err) == (
        2, "--base: runs/flux: no such folder, and the Hub did not give it: Cannot load model runs/flux: model is not "
        "cached locally\n",
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_base_of_the_hub_is_fetched_last(base, branch, tmp_path, run: Command, monkeypatch):
    fetched = []
    monkeypatch.setattr(publishing, "downloaded", lambda repo: fetched.append(repo) or base)
    asked = ("publish", tmp_path / "out", "--branch", branch, "--base", "black-forest-labs/FLUX.1-dev")
    assert run(*asked).code == 2
    assert fetched == []
    done = run(*asked, *LICENCE)
    assert (done.code, fetched) == (0, ["black-forest-labs/FLUX.1-dev"])
    assert "base_model: black-forest-labs/FLUX.1-dev\n" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    "caption", ["a 'cat'", 'a "dog"', "```", "x\\\n```python\nexit()", "a | b <b>", "\U0001f408 {x}" * 40]
)
def test_the_example_is_the_layout_whatever_it_says(caption, tmp_path):
    layout = two_overlapping().model_copy(update={"prompt": caption})
    given = inspect.signature(OcclusionFormerPipeline.__init__).parameters
    index = {**{name: given[name].default for name in SETTINGS}, "branch": ["x", "Y"]}
    card = card_text(ModelDescription(repo="me/it", licence="mit"), layout, index)
    first, *others = CODE.findall(card)
    assert len(others) == 1
    names: dict[str, object] = {}
    exec(first.partition("pipeline = ")[0], names)
    assert names["layout"] == layout


def test_a_failure_leaves_nothing(tmp_path, run: Command, monkeypatch):
    tiny_pipeline().save_pretrained(tmp_path / "model")

    def full_disk(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("occlusionformer.pipelines.hub.check_model_folder", lambda folder: None)
    check_model_folder(tmp_path / "model")
    monkeypatch.setattr("occlusionformer.pipelines.hub._copy", lambda source, target: full_disk(target))
    done = run("publish", tmp_path / "new" / "out", "--model", tmp_path / "model", *LICENCE)
    assert done.code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
