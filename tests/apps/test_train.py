"""The command `train`."""

from __future__ import annotations

from pathlib import Path

from occlusionformer.training import RECIPES, recipe
from tests.apps.conftest import Command

TINY = (
    "--set", "steps=1", "--set", "batch=1", "--set", "logging.trackers=[]", "--set", "logging.probe_count=1",
)  # fmt: skip


def test_recipes_are_listed_with_what_to_expect(run: Command):
    result = run("train", "--list", "--json")
    assert result.code == 0
    assert list(result.json) == list(RECIPES)
    plain = run("train", "--list").out
    assert all(text in " ".join(plain.split()) for text in ("paper The paper's recipe", "Hardware: one CPU core"))


def test_settings_are_shown_resolved(run: Command):
    result = run("train", "embedded", "--set", "optimizer.lr=1e-5", "--show", "--json")
    expected = recipe("embedded").model_dump(mode="json")
    expected["optimizer"]["lr"] = 1e-5
    assert (result.code, result.json) == (0, expected)


def test_everything_wrong_is_listed(run: Command):
    result = run("train", "embedded", "--set", "steps=none", "--set", "optimizer.speed=1", "--json")
    assert result.code == 2
    assert result.json == {
        "problems": [
            "optimizer.speed: unknown setting; expected name, lr, muon_lr, muon_momentum, betas, weight_decay, clip, "
            "warmup, decay_share, final_share or ema",
            "steps: expected a whole number, got 'none'",
        ]
    }
    assert run("train", "nothing").code == run("train").code == 2


def test_settings_that_no_one_reads_whole_are_told_by_name(run: Command):
    long, digits, path = "x" * 100_000, "9" * 5000, "\x1b[2J"
    result = run("train", "overfit", "--set", f"seed={digits}", "--set", f"{long}=1", "--set", f"{path}=1", "--show")
    assert result.code == 2
    expected = ", ".join(recipe("overfit").model_dump())
    others = f"unknown setting; expected {' or '.join(expected.rsplit(', ', 1))}"
    assert result.err.splitlines() == [
        f"'{'x' * 60}'...: {others}",
        f"'\\x1b[2J': {others}",
        f"seed: expected a whole number, got '{'9' * 60}'...",
    ]


def test_a_run_is_made_kept_and_gone_on_with(run: Command, tmp_path: Path):
    out = tmp_path / "run"
    result = run("train", "overfit", *TINY, "--out", out, "--json")
    assert (result.code, result.json) == (0, {"out": str(out), "step": 1, "steps": 1, "reason": "finished"})
    assert (out / "branch.safetensors").is_file()
    again = run("train", "overfit", *TINY, "--out", out)
    assert again.code == 2
    assert again.err.startswith("out: expected a folder without checkpoints, or resume")
    assert run("train", "overfit", *TINY, "--out", out, "--resume", "--json").json["reason"] == "finished"
