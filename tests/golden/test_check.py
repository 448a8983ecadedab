"""The comparison with recorded outputs passes on the stored ones, and fails when anything differs."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.golden.check import DATA, main
from tests.golden.checkers import CHECKERS, recognised

OCCLUSIONFORMER = DATA / "occlusionformer"
KINDS = recognised(OCCLUSIONFORMER)[1].FILES
RECORDED = sorted(path.name for path in DATA.iterdir())


@pytest.fixture
def one_case(tmp_path: Path) -> Path:
    """A folder with one recorded case of OcclusionFormer and all kinds of weights."""
    return with_cases(tmp_path, OCCLUSIONFORMER, ["ordered"])


def with_cases(folder: Path, source: Path, names: list[str]) -> Path:
    config = json.loads((source / "cases.json").read_text())
    config["cases"] = {name: config["cases"][name] for name in names}
    for path in source.iterdir():
        if not path.name.startswith("case"):
            shutil.copy(path, folder / path.name)
    for name in names:
        shutil.copy(source / f"case_{name}.safetensors", folder)
    (folder / "cases.json").write_text(json.dumps(config))
    return folder


def change(folder: Path, name: str, **edits) -> None:
    tensors = load_file(folder / name)
    save_file({**tensors, **{key: edit(tensors[key]) for key, edit in edits.items()}}, folder / name)


def test_every_method_with_a_checker_has_recordings_here():
    assert sorted(CHECKERS) == RECORDED


@pytest.mark.parametrize(("method", "kind"), [(m, kind) for m in RECORDED for kind in recognised(DATA / m)[1].FILES])
def test_every_case_passes_from_every_kind_of_weights(method, kind, capsys):
    assert main([str(DATA / method), "--weights", kind]) == 0
    *lines, verdict = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == list(json.loads((DATA / method / "cases.json").read_text())["cases"])
    assert verdict.startswith(f"{method}: greatest difference ")
    assert verdict.endswith("within 1e-04")


def test_the_boxes_of_another_grid_lose_a_column_as_the_released_code_has_it(tmp_path, capsys):
    """Tokens and ids of a grid of 7 x 7 are compared exactly by their values: one more token is another shape."""
    folder = with_cases(tmp_path, DATA / "instanceassemble", ["edge"])
    change(folder, "case_edge.safetensors", **{"tokens.0": lambda tokens: tokens[:-1]})
    assert main([str(folder), "--weights", "layout"]) == 1
    assert "tokens.0 inf" in capsys.readouterr().out


def test_alphas_of_instanceassemble_are_applied(tmp_path):
    folder = with_cases(tmp_path, DATA / "instanceassemble", ["ordered"])
    tensors = load_file(folder / "pytorch_lora_weights.safetensors")
    names = [key.removesuffix(".lora_A.weight") for key in tensors if key.endswith(".lora_A.weight")]
    neutral = {f"{name}.alpha": torch.tensor(4.0) for name in names}
    save_file({**tensors, **neutral}, folder / "pytorch_lora_weights.safetensors")
    assert main([str(folder), "--weights", "layout"]) == 0
    halved = {**neutral, f"{names[0]}.alpha": torch.tensor(2.0)}
    save_file({**tensors, **halved}, folder / "pytorch_lora_weights.safetensors")
    assert main([str(folder), "--weights", "layout"]) == 1


def test_all_kinds_present_are_run(one_case, capsys):
    assert main([str(one_case)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:-1]] == list(KINDS)
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
    assert "not found: cases.json" in capsys.readouterr().err
    (one_case / "base.safetensors").rename(one_case / "elsewhere")
    assert main([str(one_case)]) == 2
    assert "not found: base.safetensors" in capsys.readouterr().err
    (one_case / "elsewhere").rename(one_case / "base.safetensors")
    (one_case / "lora.safetensors").unlink()
    assert main([str(one_case), "--weights", "occ"]) == 2
    assert "the files of occ" in capsys.readouterr().err
    assert main([str(one_case), "--weights", "wood"]) == 2
    assert "--weights: expected one of layout, occ, bundle, got wood" in capsys.readouterr().err


def test_a_recording_of_an_unknown_method_is_refused(one_case, capsys):
    config = json.loads((one_case / "cases.json").read_text())
    (one_case / "cases.json").write_text(json.dumps({**config, "method": "Magic (its second version)"}))
    assert main([str(one_case)]) == 2
    assert "method: expected one of " in capsys.readouterr().err
