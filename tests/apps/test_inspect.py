"""Model cards."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from occlusionformer.apps.card import card_of_components, card_of_path
from occlusionformer.generation import registry
from occlusionformer.model import OcclusionBranch, published
from occlusionformer.model.checkpoint import published_state
from tests.apps.conftest import Command
from tests.pipelines.tiny import tiny_pipeline


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


def parameters_of(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.state_dict().values())


def test_branch_folder(pipeline, tmp_path: Path, run: Command):
    pipeline.branch.save_pretrained(tmp_path / "branch")
    card = run("inspect", tmp_path / "branch", "--json").json
    assert card["kind"] == "branch"
    assert card["parameters"] == parameters_of(pipeline.branch)
    assert card["settings"] == pipeline.branch.shape.to_json()
    assert (card["dual_blocks"], card["single_blocks"]) == ([0], [0])
    assert card["presets"]["paper"] == []
    assert "rasteriser: area instead of published" in card["presets"]["published"]
    assert card["lora_rank"] == 4
    assert card["memory"] == {
        "as stored": 4 * card["parameters"],
        "float32": 4 * card["parameters"],
        "bfloat16": 2 * card["parameters"],
    }
    assert sum(card["files"].values()) > 4 * card["parameters"]


def test_pipeline_folder_equals_the_loaded_pipeline(pipeline, tmp_path: Path):
    pipeline.save_pretrained(tmp_path)
    on_disk = card_of_path(tmp_path)
    loaded = card_of_components("loaded", pipeline.components, {})
    counts = {part.name: part.parameters for part in on_disk.parts}
    for name in ("branch", "transformer", "vae", "text_encoder"):
        assert counts[name] == parameters_of(getattr(pipeline, name))
    assert on_disk.branch_parts == loaded.branch_parts
    assert on_disk.settings == loaded.settings == pipeline.branch.shape.to_json()
    assert on_disk.memory()["largest part in bfloat16"] < on_disk.memory()["bfloat16"]


def test_every_kind_of_published_checkpoint(tmp_path: Path, run: Command):
    from occlusionformer.model import BackboneShape

    branch = OcclusionBranch.build(
        published(BackboneShape(num_dual=4, num_single=10, num_heads=2, head_dim=8, pooled_dim=16))
    )
    state = published_state(branch)
    folder, bundled = tmp_path / "folder", tmp_path / "bundled"
    folder.mkdir()
    bundled.mkdir()
    torch.save(state.layout, folder / "occ.pth")
    save_file(state.lora, folder / "lora.safetensors")
    bundle = {f"layout::{k}": v for k, v in state.layout.items()} | {f"lora::{k}": v for k, v in state.lora.items()}
    save_file(bundle, bundled / "bundle_weights.safetensors")
    sources = (folder, bundled, bundled / "bundle_weights.safetensors")
    cards = [run("inspect", source, "--json").json for source in sources]
    for card in cards:
        assert card["kind"] == "published checkpoint"
        assert card["parameters"] == parameters_of(branch)
        assert (card["dual_blocks"], card["single_blocks"], card["lora_rank"]) == ([0, 3], [0, 9], 4)
        assert any("missing" in problem for problem in card["fit"])
    assert cards[0]["parts"] == cards[1]["parts"] == cards[2]["parts"]
    assert list(cards[0]["files"]) == ["occ.pth", "lora.safetensors"]
    alone = run("inspect", folder / "occ.pth", "--json").json
    assert alone["parameters"] == sum(value.numel() for value in state.layout.values())
    text = run("inspect", folder).out
    assert "layout blocks: dual 0, 3, single 0, 9" in text
    assert "and " in text.split("problems")[1]


def test_a_checkpoint_of_the_published_size_fits(tmp_path: Path):
    """Zeros stored once for each key: what counts here is names and shapes."""
    with torch.device("meta"):
        branch = OcclusionBranch.build(published())
    state = published_state(branch)
    tensors = {**state.layout, **state.lora}
    torch.save({key: torch.zeros(1).expand(value.shape) for key, value in tensors.items()}, tmp_path / "occ.pth")
    card = card_of_path(tmp_path / "occ.pth")
    assert card.fit == ()
    assert sum(part.parameters for part in card.parts if "LoRA" not in part.name) == 362_922_840
    assert card.parts[0].parameters == 4_730_880


def test_models_by_name(pipeline, run: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "_installed", lambda: {"mine": None, "blind": None})
    monkeypatch.setattr(registry, "_load", lambda entry, argument: SimpleNamespace(pipeline=pipeline))
    card = run("inspect", "mine", "--json").json
    assert (card["source"], card["kind"], card["files"]) == ("mine", "pipeline", {})
    assert {part["name"] for part in card["parts"]} == {
        "vae", "text_encoder", "text_encoder_2", "transformer", "branch"
    }  # fmt: skip
    monkeypatch.setattr(registry, "_load", lambda entry, argument: object())
    result = run("inspect", "blind")
    assert (result.code, result.err) == (2, "model: expected one that is a pipeline, got 'blind'\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "model: expected a file, a folder or one of ("),
        ({}, "or a published checkpoint, got a folder with nothing in it"),
        ({"config.json": "{"}, "not JSON"),
        ({"occ.pth": "junk"}, "not a plain tensor file, refused"),
        ({"lora.safetensors": "junk"}, "not a safetensors file"),
    ],
)
def test_what_is_no_model(content: dict[str, str] | None, message: str, run: Command, tmp_path: Path):
    folder = tmp_path / "model"
    if content is not None:
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    result = run("inspect", folder)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert run("inspect", folder, "--json").json["problems"] == result.err.splitlines()
