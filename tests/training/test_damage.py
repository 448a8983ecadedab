"""Damaged checkpoints of a run: the newest whole one is used, both are named, and nothing is lost."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from occlusionformer.tensors.files import CheckpointError
from occlusionformer.training.checkpoint import Checkpoint, load_checkpoint, newest_whole_checkpoint, save_checkpoint
from occlusionformer.training.resuming import DamagedCheckpointWarning
from tests.tables import for_each

from .runs import tiny_trainer

SETTINGS = ("batch=1", "saving.every=1", "saving.keep=3", "logging.every=1")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def junk(path: Path) -> None:
    path.write_bytes(b"junk")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def gone(path: Path) -> None:
    path.unlink()


def a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)


DAMAGES: list[Callable[[Path], None]] = [cut, junk, empty, a_folder, gone, a_bit]
FILES = ["weights.safetensors", "averages.safetensors", "optimizer.safetensors", "random.safetensors", "state.json"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps with a checkpoint after each."""
    folder = tmp_path_factory.mktemp("run")
    tiny_trainer(folder, "steps=3", *SETTINGS).run()
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return copied(finished, tmp_path)


def copied(finished: Path, place: Path) -> Path:
    return Path(shutil.copytree(finished, place / "run"))


def step(folder: Path, number: int) -> Path:
    return folder / "checkpoints" / f"step-{number:09}"


@for_each(
    ("name", "damage"),
    # but for a bit of JSON, which may be a space
    [(name, damage) for name in FILES for damage in DAMAGES if (name, damage) != ("state.json", a_bit)],
)
def test_every_damage_of_every_file_is_found(name: str, damage: Callable[[Path], None], finished: Path, tmp_path: Path):
    folder = copied(finished, tmp_path)
    damage(step(folder, 3) / name)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(step(folder, 3))
    assert all(problem.startswith(str(step(folder, 3) / name)) for problem in caught.value.problems)
    found = newest_whole_checkpoint(folder / "checkpoints")
    assert found is not None
    assert (found.checkpoint.step, list(found.damaged)) == (2, [step(folder, 3)])


def test_a_run_goes_on_from_the_newest_whole_checkpoint_and_names_both(folder: Path, finished: Path):
    cut(step(folder, 3) / "averages.safetensors")
    gone(step(folder, 2) / "state.json")
    with pytest.warns(DamagedCheckpointWarning) as caught:
        trainer = tiny_trainer(folder, "steps=3", *SETTINGS, resume=True)
    text = str(caught[0].message)
    assert all(
        str(name) in text for name in (step(folder, 3) / "averages.safetensors", step(folder, 2), step(folder, 1))
    )
    assert trainer.step == 1
    kept = [path.name for path in sorted((folder / "checkpoints").iterdir())]
    assert kept == ["damaged-step-000000002", "damaged-step-000000003", "step-000000001"]
    trainer.run()
    for group in ("weights", "averages", "optimizer"):
        one, other = (load_file(step(run, 3) / f"{group}.safetensors") for run in (folder, finished))
        assert all(torch.equal(one[name], other[name]) for name in one), group


def test_what_is_damaged_does_not_count_among_those_to_keep(folder: Path):
    cut(step(folder, 3) / "weights.safetensors")
    with pytest.warns(DamagedCheckpointWarning):
        tiny_trainer(folder, "steps=3", "batch=1", "saving.every=1", "saving.keep=1", resume=True).run()
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "damaged-step-000000003",
        "step-000000003",
    ]
    assert load_checkpoint(step(folder, 3)).step == 3


def test_without_any_whole_checkpoint_everything_is_listed_and_left(folder: Path):
    for number in (1, 2, 3):
        cut(step(folder, number) / "weights.safetensors")
    with pytest.raises(CheckpointError) as caught:
        tiny_trainer(folder, "steps=3", *SETTINGS, resume=True)
    assert len(caught.value.problems) == 3
    assert all("no checkpoint is whole" in problem for problem in caught.value.problems)
    assert len(list((folder / "checkpoints").glob("step-*"))) == 3


def test_weights_that_are_no_numbers_are_nothing_to_go_on_with(tmp_path: Path):
    for number, value in ((1, 1.0), (2, torch.nan)):
        save_checkpoint(
            tmp_path, Checkpoint(step=number, tensors={"weights": {"a": torch.tensor([value])}}, state={}), keep=2
        )
    found = newest_whole_checkpoint(tmp_path)
    assert found is not None
    assert found.checkpoint.step == 1
    [error] = found.damaged.values()
    assert error.reasons == ["a: expected finite numbers, got 1 of 1 that are infinite or none"]


def test_a_checkpoint_of_another_model_is_refused(folder: Path):
    """Written as if whole: the digests are those of the changed files."""
    newest = load_checkpoint(step(folder, 3))
    tensors = {group: dict(values) for group, values in newest.tensors.items()}
    name = min(tensors["weights"])
    del tensors["weights"][name]
    tensors["optimizer"]["nobody|exp_avg"] = torch.zeros(2)
    state = {key: value for key, value in newest.state.items() if key not in ("groups", "sha256", "step")}
    shutil.rmtree(step(folder, 3))
    save_checkpoint(folder / "checkpoints", Checkpoint(step=3, tensors=tensors, state=state), keep=3)
    with pytest.raises(CheckpointError, match=rf"weights: {name}: missing"):
        tiny_trainer(folder, "steps=3", *SETTINGS, resume=True)


@for_each(
    ("entries", "message"),
    [
        ({"step": "3"}, "step: expected the number in the name of the folder, got '3'"),
        ({"step": 4}, "step: expected the number in the name of the folder, got 4"),
        ({"groups": ["../../weights"]}, "groups: expected names of files, got ['../../weights']"),
        ({"groups": None}, "groups: expected names of files, got None"),
        ({"sha256": {"weights": "0"}}, "sha256: expected a digest for each group, got {'weights': '0'}"),
    ],
)
def test_a_state_of_other_types_is_refused(entries: dict[str, object], message: str, finished: Path, tmp_path: Path):
    folder = copied(finished, tmp_path)
    path = step(folder, 3) / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(step(folder, 3))
    assert f"{path}: {message}" in caught.value.problems


def test_checkpoints_without_digests_are_read(folder: Path):
    path = step(folder, 3) / "state.json"
    state = json.loads(path.read_text())
    del state["sha256"]
    path.write_text(json.dumps(state))
    assert load_checkpoint(step(folder, 3)).step == 3


def test_random_damage_is_found_or_harmless(folder: Path):
    """Bytes changed, cut off, inserted and repeated anywhere, by a seed."""
    rng, whole = random.Random(14), step(folder, 3)
    before, outcomes = load_checkpoint(whole), []
    for _ in range(150):
        path = whole / rng.choice(FILES)
        content = path.read_bytes()
        path.write_bytes(damaged(content, rng))
        try:
            found = load_checkpoint(whole)
        except CheckpointError as error:
            outcomes.append(str(whole) in str(error))
        else:
            outcomes += [
                torch.equal(value, found.tensors[group][name])
                for group, tensors in before.tensors.items()
                for name, value in tensors.items()
            ]
        path.write_bytes(content)
    assert all(outcomes)


def damaged(content: bytes, rng: random.Random) -> bytes:
    at, length = rng.randrange(len(content)), rng.choice((1, 2, 8, 100))
    piece = content[at : at + length]
    return rng.choice(
        [
            content[:at],
            content[at:],
            content[:at] + rng.randbytes(length) + content[at + length :],
            content[:at] + rng.randbytes(length) + content[at:],
            content[:at] + content[at + length :],
            content[:at] + piece + content[at:],
        ]
    )


def test_init_from_damaged_weights_names_the_file(tmp_path: Path):
    save_file({"x": torch.zeros(1)}, tmp_path / "branch.safetensors")
    with pytest.raises(ValueError, match=r"model\.init_from: .*x: unexpected, shape \(1,\)"):
        tiny_trainer(tmp_path / "run", f"model.init_from={tmp_path}")
    junk(tmp_path / "branch.safetensors")
    with pytest.raises(ValueError, match=r"model\.init_from: .*branch\.safetensors: not a safetensors file"):
        tiny_trainer(tmp_path / "other", f"model.init_from={tmp_path}")
