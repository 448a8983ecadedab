"""A checkpoint is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from occlusionformer.training import checkpoint as module
from occlusionformer.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    optimizer_tensors,
    restore_optimizers,
    save_checkpoint,
)
from tests.tables import for_each


def some(step: int) -> Checkpoint:
    return Checkpoint(step=step, tensors={"weights": {"a": torch.full((3,), float(step))}}, state={"note": "kept"})


def test_what_is_saved_is_loaded(tmp_path: Path):
    path = save_checkpoint(tmp_path, some(7), keep=2)
    found = load_checkpoint(path)
    assert found.step == 7
    assert found.state["note"] == "kept"
    assert torch.equal(found.tensors["weights"]["a"], torch.full((3,), 7.0))


def test_the_newest_are_kept(tmp_path: Path):
    for step in (5, 10, 15, 100):
        save_checkpoint(tmp_path, some(step), keep=2)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000000015", "step-000000100"]
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.name == "step-000000100"


class PowerCutError(Exception):
    """The machine stops here."""


@for_each("moment", ["save_file", "_flush", "os.replace", "shutil.rmtree"])
@for_each("calls", [1, 2, 3])
def test_a_power_cut_at_any_moment_leaves_a_readable_newest_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, calls: int
):
    for step in (1, 2):
        save_checkpoint(tmp_path, some(step), keep=2)
    *owner, name = moment.split(".")
    target = getattr(module, owner[0]) if owner else module
    real, left = getattr(target, name), [calls]

    def cut(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            raise PowerCutError
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(target, name, cut)
        try:
            save_checkpoint(tmp_path, some(3), keep=2)
        except PowerCutError:
            pass
        else:
            assert left[0] > 0
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert load_checkpoint(newest).step in (2, 3)
    save_checkpoint(tmp_path, some(4), keep=2)
    assert [path.name[-1] for path in sorted(tmp_path.iterdir())][-1] == "4"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("build", [torch.optim.AdamW, torch.optim.SGD])
def test_optimizers_go_on_as_if_nothing_had_happened(build: type[torch.optim.Optimizer]):
    def fresh() -> tuple[dict[str, nn.Parameter], torch.optim.Optimizer]:
        parameters = {name: nn.Parameter(torch.ones(4)) for name in ("used", "late", "never")}
        options = {"momentum": 0.9} if build is torch.optim.SGD else {"fused": True}
        return parameters, build(parameters.values(), lr=0.1, **options)

    def step(parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, number: int) -> None:
        for name, parameter in parameters.items():
            moves = name == "used" or (name == "late" and number > 1)
            parameter.grad = torch.full((4,), 0.3 + number) if moves else None
        optimizer.step()

    parameters, optimizer = fresh()
    for number in range(2):
        step(parameters, optimizer, number)
    saved = optimizer_tensors([optimizer], {id(p): name for name, p in parameters.items()})
    saved = {name: value.clone() for name, value in saved.items()}
    again, resumed = fresh()
    with torch.no_grad():
        for name, parameter in again.items():
            parameter.copy_(parameters[name])
    restore_optimizers([resumed], {id(p): name for name, p in again.items()}, saved)
    for number in range(2, 5):
        step(parameters, optimizer, number)
        step(again, resumed, number)
    for name, parameter in parameters.items():
        assert torch.equal(parameter, again[name]), name
