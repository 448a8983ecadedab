"""Published checkpoints in, our own in and out: exact, strict, and without running what a file contains."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from occlusionformer.model import (
    FLUX_DEV,
    BranchConfig,
    OcclusionBranch,
    backbone_shape,
    instance_assemble,
    paper,
    published,
)
from occlusionformer.model.checkpoint import CheckpointError, alphas, key_map, load_published, published_state
from tests.model.tiny import presets, tiny_backbone, tiny_branch
from tests.tables import for_each

PRESETS = presets()
CONFIG = published(backbone_shape(tiny_backbone()))
EMBEDDER = {f"layout_net.{part}.linear_{i}" for part in ("text_embedder", "linears") for i in (1, 2)}
PER_BLOCK = {
    "layout_forward", "norm1_layout.linear", "norm1_layout.query_liner",
    "mask_predictor.0", "mask_predictor.2", "mask_predictor.4",
}  # fmt: skip
DUAL_LORA = {
    "norm1.linear", "norm1_context.linear", "attn.to_q", "attn.to_k", "attn.to_v", "attn.add_q_proj",
    "attn.add_k_proj", "attn.add_v_proj", "attn.to_out.0", "attn.to_add_out", "ff.net.2", "ff_context.net.2",
}  # fmt: skip
SINGLE_LORA = {"norm.linear", "proj_mlp", "attn.to_q", "attn.to_k", "attn.to_v", "proj_out"}


def same_weights(one: OcclusionBranch, other: OcclusionBranch) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)


@pytest.fixture
def branch() -> OcclusionBranch:
    return tiny_branch(CONFIG)


@pytest.fixture
def folder(branch: OcclusionBranch, tmp_path: Path) -> Path:
    """A checkpoint of the published kind: occ.pth and lora.safetensors."""
    state = published_state(branch)
    torch.save(state.layout, tmp_path / "occ.pth")
    save_file(state.lora, tmp_path / "lora.safetensors")
    return tmp_path


def edit_lora(folder: Path, **changes: torch.Tensor | None) -> None:
    tensors = load_file(folder / "lora.safetensors") | changes
    save_file({key: value for key, value in tensors.items() if value is not None}, folder / "lora.safetensors")


def test_published_names_and_sizes_at_full_scale():
    config = published(FLUX_DEV)
    with torch.device("meta"):
        branch = OcclusionBranch.build(config)
    state = published_state(branch)
    assert len(state.layout) == 152
    assert sum(value.numel() for value in state.layout.values()) == 362_922_840
    assert sum(value.numel() for value in state.lora.values()) == 4_730_880
    blocks = [f"transformer_blocks.{i}" for i in (0, 3, 6, 9, 12, 15, 18)]
    singles = [f"single_transformer_blocks.{i}" for i in (0, 9, 18, 27, 37)]
    modules = EMBEDDER | {f"{block}.{part}" for block in (*blocks, *singles) for part in PER_BLOCK}
    assert set(state.layout) == {f"{module}.{kind}" for module in modules for kind in ("weight", "bias")}
    adapted = {f"{block}.{part}" for block in blocks for part in DUAL_LORA}
    adapted |= {f"{block}.{part}" for block in singles for part in SINGLE_LORA}
    assert set(state.lora) == {f"transformer.{module}.lora_{half}.weight" for module in adapted for half in "AB"}


def test_published_shapes_at_full_scale():
    with torch.device("meta"):
        state = published_state(OcclusionBranch.build(published(FLUX_DEV)))
    expected = {
        "layout_net.text_embedder.linear_1.weight": (3072, 768),
        "layout_net.text_embedder.linear_2.weight": (3072, 3072),
        "layout_net.linears.linear_1.weight": (1536, 4224),
        "layout_net.linears.linear_2.weight": (3072, 1536),
        "transformer_blocks.18.norm1_layout.query_liner.weight": (3072, 3072),
        "single_transformer_blocks.37.mask_predictor.2.weight": (16, 32, 3, 3),
        "single_transformer_blocks.37.mask_predictor.4.weight": (2, 16, 1, 1),
    }
    assert {key: tuple(state.layout[key].shape) for key in expected} == expected
    key = "transformer.single_transformer_blocks.9.proj_out.lora_{}.weight"
    assert [tuple(state.lora[key.format(half)].shape) for half in "AB"] == [(4, 15360), (3072, 4)]
    assert tuple(state.lora["transformer.transformer_blocks.3.norm1.linear.lora_B.weight"].shape) == (18432, 4)


def test_the_three_published_kinds_load_the_same_weights(branch, folder, tmp_path_factory):
    state = published_state(branch)
    other = tmp_path_factory.mktemp("other")
    save_file(state.layout, other / "layout.safetensors")
    save_file(state.lora, other / "lora.safetensors")
    bundle = tmp_path_factory.mktemp("bundle")
    tensors = {f"layout::{key}": value for key, value in state.layout.items()}
    tensors |= {f"lora::{key}": value for key, value in state.lora.items()}
    save_file(tensors, bundle / "bundle_weights.safetensors", metadata={"network_alphas_json": "{}"})
    for source in (folder, other, bundle, bundle / "bundle_weights.safetensors"):
        assert same_weights(load_published(source, CONFIG), branch)
    assert same_weights(load_published(folder / "occ.pth", CONFIG, lora=other / "lora.safetensors"), branch)


def test_the_parents_kind_loads(tmp_path):
    config = instance_assemble(backbone_shape(tiny_backbone()))
    branch = tiny_branch(config)
    state = published_state(branch)
    assert {key.split(".")[-2] for key in state.layout if "blocks" in key} == {"layout_forward"}
    torch.save(state.layout, tmp_path / "layout.pth")
    save_file(state.lora, tmp_path / "pytorch_lora_weights.safetensors")
    assert same_weights(load_published(tmp_path, config), branch)


@for_each("preset", list(PRESETS))
@for_each("dtype", [torch.float32, torch.bfloat16])
def test_saved_and_loaded_is_the_same_branch(preset, dtype, tmp_path):
    branch = tiny_branch(PRESETS[preset][0]).to(dtype)
    branch.save_pretrained(tmp_path)
    loaded = OcclusionBranch.from_pretrained(tmp_path, torch_dtype=dtype)
    assert same_weights(loaded, branch)
    assert loaded.shape == branch.shape
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_a_branch_in_the_published_format_and_back(branch, folder):
    assert same_weights(load_published(folder, CONFIG), branch)
    assert len(set(key_map(branch).values())) == len(branch.state_dict())


def test_parameters_the_published_format_has_no_name_for_are_listed():
    with pytest.raises(
        ValueError,
        match=r"appearance\.picture\.weight.*dual\.0\.appearance\.weight.*coordinates\.bias.*instance_mlp\.0\.weight",
    ):
        published_state(tiny_branch(PRESETS["small"][0]))
    with pytest.raises(ValueError, match=r"dual\.0\.ff_gate"):
        published_state(tiny_branch(paper(backbone_shape(tiny_backbone()))))


def test_no_preset_of_a_large_backbone_looks_anything_up():
    """A backbone that knows what things look like needs no pictures, and published files have none."""
    for preset in (published, paper, instance_assemble):
        with torch.device("meta"):
            branch = OcclusionBranch.build(preset(FLUX_DEV))
        assert not [name for name in branch.state_dict() if "appearance" in name]


def test_every_wrong_key_is_listed_at_once(folder):
    missing = "transformer.transformer_blocks.0.attn.to_q.lora_A.weight"
    edit_lora(
        folder,
        **{
            missing: None,
            "transformer.transformer_blocks.1.attn.to_q.lora_A.weight": torch.zeros(4, 16),
            "transformer.transformer_blocks.0.attn.to_k.lora_B.weight": torch.zeros(16, 5),
        },
    )
    layout = torch.load(folder / "occ.pth", weights_only=True)
    del layout["layout_net.linears.linear_2.bias"]
    layout["surprise"] = torch.zeros(2)
    torch.save(layout, folder / "occ.pth")
    with pytest.raises(CheckpointError) as caught:
        load_published(folder, CONFIG)
    assert sorted(caught.value.reasons) == sorted(
        [
            "layout_net.linears.linear_2.bias: missing, expected shape (16,)",
            f"{missing}: missing, expected shape (4, 16)",
            "surprise: unexpected, shape (2,)",
            "transformer.transformer_blocks.1.attn.to_q.lora_A.weight: unexpected, shape (4, 16)",
            "transformer.transformer_blocks.0.attn.to_k.lora_B.weight: expected shape (16, 4), got (16, 5)",
        ]
    )
    assert str(folder) in str(caught.value)
    assert all(problem in str(caught.value) for problem in caught.value.problems)


def test_another_rank_is_named_as_shapes(folder):
    with pytest.raises(CheckpointError, match=r"lora_A\.weight: expected shape \(8, 16\), got \(4, 16\)"):
        load_published(folder, replace(CONFIG, lora_rank=8))


class Intruder:
    """Pickles as a call that would leave a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(folder, writer):
    content = {"layout_net.linears.linear_1.weight": Intruder(folder / "trace")}
    if writer == "torch":
        torch.save(content, folder / "occ.pth")
    else:
        (folder / "occ.pth").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(CheckpointError, match=r"occ\.pth"):
        load_published(folder, CONFIG)
    assert not (folder / "trace").exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04 half a zip file"])
def test_a_file_that_is_no_tensor_file_is_refused(folder, content):
    (folder / "occ.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"occ\.pth"):
        load_published(folder, CONFIG)


def test_a_pickle_of_something_else_is_refused(folder):
    torch.save([torch.zeros(2)], folder / "occ.pth")
    with pytest.raises(CheckpointError, match="expected a dictionary of tensors, got list"):
        load_published(folder, CONFIG)
    torch.save({"step": 5, "epoch": 1}, folder / "occ.pth")
    with pytest.raises(CheckpointError, match=r"(?s)step: expected a tensor, got int.*epoch"):
        load_published(folder, CONFIG)


def test_broken_safetensors_are_refused(folder):
    (folder / "lora.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{broken}")
    with pytest.raises(CheckpointError, match=r"lora\.safetensors"):
        load_published(folder, CONFIG)


def test_stray_keys_of_a_bundle_are_listed(branch, tmp_path):
    state = published_state(branch)
    tensors = {f"layout::{key}": value for key, value in state.layout.items()} | {"stray": torch.zeros(1)}
    save_file(tensors, tmp_path / "bundle_weights.safetensors")
    with pytest.raises(CheckpointError, match="stray"):
        load_published(tmp_path, CONFIG)


def test_what_is_not_there_is_named(folder, tmp_path_factory):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_published(folder / "nowhere", CONFIG)
    with pytest.raises(FileNotFoundError, match="lora"):
        load_published(folder / "occ.pth", CONFIG)
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors"):
        load_published(folder / "occ.pth", CONFIG, lora=folder / "gone.safetensors")
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(FileNotFoundError, match=r"occ\.pth.*lora\.safetensors.*found nothing"):
        load_published(empty, CONFIG)


def test_alphas_are_read_but_not_applied(branch, folder):
    key = "transformer.transformer_blocks.0.attn.to_q.alpha"
    edit_lora(folder, **{key: torch.tensor(16.0)})
    assert alphas(folder / "lora.safetensors") == {key: 16.0}
    assert same_weights(load_published(folder, CONFIG), branch)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_config_survives_json(preset):
    config = PRESETS[preset][0]
    assert BranchConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_config_names_everything_wrong_with_it():
    with pytest.raises(ValueError, match="unknown fields colour, depth"):
        BranchConfig.from_json({**CONFIG.to_json(), "depth": 1, "colour": 2})
    with pytest.raises(ValueError, match=r"num_heads: expected a positive integer .*, got 0; lora_rank.*dual_blocks"):
        replace(CONFIG, num_heads=0, lora_rank=-1, dual_blocks=(3, 0))
    with pytest.raises(ValueError, match="box_coordinates"):
        replace(CONFIG, box_coordinates=True)
    with pytest.raises(ValueError, match=r"appearance_side: need instance_modulation=True"):
        replace(CONFIG, appearance_side=5)
    own = replace(CONFIG, instance_modulation=True)
    with pytest.raises(ValueError, match=r"appearance_hidden: expected a positive integer .*, got 0; appearance_side"):
        replace(own, appearance_side=-1, appearance_hidden=0)


def test_a_branch_without_deltas_has_none():
    branch = OcclusionBranch.build(replace(CONFIG, lora_rank=0))
    assert published_state(branch).lora == {}
