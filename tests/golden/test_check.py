"""The comparison with recorded outputs passes on the stored ones, and fails when anything differs."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.golden.check import DATA, SOURCES, main


@pytest.fixture
def one_case(tmp_path: Path) -> Path:
    """A folder with one recorded case and all kinds of weights."""
    config = json.loads((DATA / "cases.json").read_text())
    config["cases"] = {"ordered": config["cases"]["ordered"]}
    (tmp_path / "cases.json").write_text(json.dumps(config))
    files = {"base.safetensors", "case_ordered.safetensors", *(f for pair in SOURCES.values() for f in pair if f)}
    for name in files:
        shutil.copy(DATA / name, tmp_path / name)
    return tmp_path


def change(folder: Path, name: str, **edits) -> None:
    tensors = load_file(folder / name)
    save_file({**tensors, **{key: edit(tensors[key]) for key, edit in edits.items()}}, folder / name)


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_every_case_passes_from_every_kind_of_weights(source, capsys):
    assert main([str(DATA), "--weights", source]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[1] for line in printed.splitlines()[:-1]] == json_order()
    assert "within 1e-04" in printed


def json_order() -> list[str]:
    return list(json.loads((DATA / "cases.json").read_text())["cases"])


def test_all_kinds_present_are_run(one_case, capsys):
    assert main([str(one_case)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:-1]] == list(SOURCES)
    (one_case / "occ.pth").unlink()
    assert main([str(one_case)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:-1]] == ["layout", "bundle"]


@pytest.mark.parametrize("key", ["sample", "mask_logits.3"])
def test_a_difference_above_the_bound_fails(one_case, key, capsys):
    change(one_case, "case_ordered.safetensors", **{key: lambda recorded: recorded + 1.5e-4})
    assert main([str(one_case), "--weights", "layout"]) == 1
    assert "above 1e-04" in capsys.readouterr().out


def test_numbers_that_are_not_finite_fail(one_case):
    change(one_case, "case_ordered.safetensors", hidden_states=lambda x: torch.full_like(x, torch.nan))
    assert main([str(one_case), "--weights", "layout"]) == 1


def test_a_changed_weight_fails(one_case):
    change(one_case, "layout.safetensors", **{"layout_net.linears.linear_1.bias": lambda bias: bias + 0.1})
    assert main([str(one_case), "--weights", "layout"]) == 1


def test_a_folder_without_what_is_needed_is_refused(one_case, tmp_path_factory, capsys):
    assert main([str(tmp_path_factory.mktemp("empty"))]) == 2
    assert "cases.json, base.safetensors" in capsys.readouterr().err
    (one_case / "lora.safetensors").unlink()
    assert main([str(one_case), "--weights", "occ"]) == 2
    assert "the files of occ" in capsys.readouterr().err
