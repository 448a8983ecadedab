"""Model folders that hold or name code, are damaged, or lack weights: refused before anything in them runs."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from occlusionformer.pipelines import OcclusionFormerPipeline, load_pipeline
from occlusionformer.pipelines.folder import LIBRARY_CLASSES, check_model_folder, own_classes
from occlusionformer.tensors.files import CheckpointError
from tests.pipelines.tiny import tiny_pipeline
from tests.tables import for_each


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return copied(saved, tmp_path)


def copied(saved: Path, place: Path) -> Path:
    return Path(shutil.copytree(saved, place / "model"))


def change(path: Path, **entries: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def code_that_leaves(trace: Path) -> str:
    return (
        f"import pathlib\npathlib.Path({str(trace)!r}).touch()\n"
        "from transformers import CLIPTextModel as Evil\n"
        "from occlusionformer.pipelines import OcclusionFormerPipeline\n"
    )


def refused(folder: Path) -> list[str]:
    """The reasons why a folder is refused, the same by both doors."""
    with pytest.raises(CheckpointError) as caught:
        OcclusionFormerPipeline.from_pretrained(folder)
    with pytest.raises(CheckpointError) as again:
        load_pipeline(str(folder))
    assert caught.value.reasons == again.value.reasons
    assert all(problem.startswith(str(folder)) for problem in caught.value.problems)
    return caught.value.reasons


def module_beside_the_weights(folder: Path, code: str) -> str:
    (folder / "text_encoder" / "evil.py").write_text(code)
    change(folder / "model_index.json", text_encoder=["evil", "Evil"])
    return "text_encoder/evil.py"


def module_named_like_a_library(folder: Path, code: str) -> str:
    (folder / "text_encoder" / "transformers.py").write_text(code)
    return "text_encoder/transformers.py"


def pipeline_of_its_own(folder: Path, code: str) -> str:
    (folder / "evil.py").write_text(code)
    change(folder / "model_index.json", _class_name=["evil", "OcclusionFormerPipeline"])
    return "evil.py"


def pipeline_without_a_name(folder: Path, code: str) -> str:
    """diffusers looks for the file f"{custom_pipeline}.py" also where there is no custom pipeline."""
    (folder / "None.py").write_text(code)
    return "None.py"


def installed_module(folder: Path, code: str) -> str:
    """Somewhere Python looks, as a user's working directory may be."""
    (folder.parent / "evil_installed.py").write_text(code)
    change(folder / "model_index.json", text_encoder=["evil_installed", "Evil"])
    return "evil_installed"


def code_of_the_hub(folder: Path, code: str) -> str:
    change(folder / "text_encoder" / "config.json", auto_map={"AutoModel": "somebody/evil--evil.Evil"})
    return "text_encoder/config.json: auto_map"


def kernel_of_the_hub(folder: Path, code: str) -> str:
    change(folder / "text_encoder" / "config.json", _attn_implementation="somebody/evil")
    return "text_encoder/config.json: _attn_implementation"


def pickled_weights(folder: Path, code: str) -> str:
    (folder / "text_encoder" / "model.safetensors").unlink()
    content = pickle.dumps(Evil(code), protocol=2)
    (folder / "text_encoder" / "pytorch_model.bin").write_bytes(content)
    return "text_encoder"


class Evil:
    """Pickles as a call that runs code."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self):
        return (exec, (self.code,))


ATTACKS = [
    module_beside_the_weights,
    module_named_like_a_library,
    pipeline_of_its_own,
    pipeline_without_a_name,
    installed_module,
    code_of_the_hub,
    kernel_of_the_hub,
    pickled_weights,
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_code_of_a_folder_runs(attack, folder, monkeypatch):
    trace = folder.parent / "trace"
    monkeypatch.syspath_prepend(folder.parent)
    named = attack(folder, code_that_leaves(trace))
    reasons = refused(folder)
    assert not trace.exists()
    assert any(named in reason for reason in reasons), reasons


def test_the_code_would_have_run(folder):
    """The traces of the attacks are real: the same text run by Python leaves one."""
    trace = folder.parent / "trace"
    exec(code_that_leaves(trace), {})
    assert trace.exists()


def test_everything_that_an_index_names_wrongly_is_listed(folder):
    index = folder / "model_index.json"
    change(
        index,
        vae=["os", "system"],
        scheduler=["diffusers", "DiffusionPipeline"],
        tokenizer=["flux", "FluxPipeline"],
        branch={"evil": 1},
        text_encoder=["transformers", "AutoModel", "x"],
        unknown=["subprocess", "Popen"],
        default_steps="four",
        default_grounding_ratio=1.5,
        captions_in_prompt=1,
    )
    reasons = refused(folder)
    libraries = ", ".join([*LIBRARY_CLASSES, *own_classes()])
    diffusers = ", ".join(sorted(LIBRARY_CLASSES["diffusers"]))
    assert sorted(reasons) == sorted(
        [
            f"model_index.json: vae: expected a library of {libraries}, got 'os'",
            f"model_index.json: scheduler: expected one of {diffusers} of diffusers, got 'DiffusionPipeline'",
            f"model_index.json: tokenizer: expected a library of {libraries}, got 'flux'",
            "model_index.json: branch: expected a library and a class, got {'evil': 1}",
            "model_index.json: text_encoder: expected a library and a class, got ['transformers', 'AutoModel', 'x']",
            f"model_index.json: unknown: expected a library of {libraries}, got 'subprocess'",
            "model_index.json: default_steps: expected int, got 'four'",
            "model_index.json: default_grounding_ratio: expected 0 to 1, got 1.5",
            "model_index.json: captions_in_prompt: expected bool, got 1",
        ]
    )


def test_code_for_other_programs_may_lie_there(folder):
    """`pipeline.py` and `block.py` serve diffusers' `trust_remote_code`; here they are not read."""
    trace = folder.parent / "trace"
    (folder / "pipeline.py").write_text(code_that_leaves(trace))
    OcclusionFormerPipeline.from_pretrained(folder)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("trust_remote_code", True),
        ("custom_pipeline", "evil"),
        ("use_safetensors", False),
        ("dduf_file", "model.dduf"),
        ("use_flashpack", True),
    ],
)
def test_arguments_that_would_run_code_are_refused(argument, value, folder):
    with pytest.raises(ValueError, match=rf"^{argument}: expected "):
        OcclusionFormerPipeline.from_pretrained(folder, **{argument: value})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def without_first(path: Path) -> None:
    tensors = load_file(path)
    del tensors[min(tensors)]
    save_file(tensors, path, metadata={"format": "pt"})


def of_another_shape(path: Path) -> None:
    tensors = load_file(path)
    name = min(tensors)
    tensors[name] = torch.cat([tensors[name], tensors[name]])
    save_file(tensors, path, metadata={"format": "pt"})


def junk(path: Path) -> None:
    path.write_bytes(b"junk")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def gone(path: Path) -> None:
    path.unlink()


WEIGHTS = [
    "transformer/diffusion_pytorch_model.safetensors",
    "branch/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder_2/model.safetensors",
]
CONFIGS = [f"{Path(path).parent}/config.json" for path in WEIGHTS]


@for_each("damage", [cut, without_first, of_another_shape, junk, empty, a_folder, gone])
@for_each("path", WEIGHTS)
def test_damaged_weights_are_refused(path, damage, saved, tmp_path):
    folder = copied(saved, tmp_path)
    damage(folder / path)
    component = Path(path).parent.name
    assert all(re.search(rf"model/{component}:|model: {component}[/:]", each) for each in refused_problems(folder))


@for_each("damage", [cut, junk, empty, a_folder, gone])
@for_each("path", [*CONFIGS, "scheduler/scheduler_config.json", "model_index.json"])
def test_damaged_configurations_are_refused(path, damage, saved, tmp_path):
    folder = copied(saved, tmp_path)
    damage(folder / path)
    component = Path(path).parent.name
    if path == "model_index.json" and damage in (gone, a_folder):
        with pytest.raises(ValueError, match=r"^model: expected a folder with a model_index\.json, got "):
            load_pipeline(str(folder))
    else:
        assert all((component or path) in each.removeprefix(str(folder)) for each in refused_problems(folder))


def refused_problems(folder: Path) -> list[str]:
    with pytest.raises(CheckpointError) as caught:
        load_pipeline(str(folder))
    return caught.value.problems


@pytest.mark.parametrize(
    ("path", "field", "number", "most"),
    [
        ("transformer/config.json", "num_layers", 10**6, None),
        ("text_encoder/config.json", "num_hidden_layers", 10**6, None),
        ("transformer/config.json", "joint_attention_dim", 10**12, 2**24),
        ("vae/config.json", "latent_channels", -(10**12), 2**24),
        ("scheduler/scheduler_config.json", "num_train_timesteps", 10**10, 100_000),
    ],
)
def test_sizes_that_would_fill_the_memory_are_refused(path, field, number, most, folder):
    """Before anything is made of that size. Without a limit of their own, layers are at most the tensors stored."""
    change(folder / path, **{field: number})
    if most is None:
        [weights] = (folder / path).parent.glob("*.safetensors")
        most = len(load_file(weights))
    assert refused_problems(folder) == [f"{folder}: {path}: {field}: expected at most {most}, got {number}"]


def test_numbers_that_are_none_are_refused(folder):
    change(folder / "scheduler" / "scheduler_config.json", shift=float("nan"))
    assert refused_problems(folder) == [
        f"{folder}: scheduler/scheduler_config.json: shift: expected a finite number, got nan"
    ]


def test_numbers_of_the_branch_are_looked_at(folder):
    path = folder / "branch" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["embedder.text_in.weight"][0, 0] = torch.nan
    save_file(tensors, path, metadata={"format": "pt"})
    wanted = f"{folder / 'branch'}: embedder.text_in.weight: expected finite numbers, got 1 of "
    assert any(problem.startswith(wanted) for problem in refused_problems(folder))


def test_a_drawing_that_gives_no_numbers_is_an_error(folder):
    from occlusionformer.generation import GenerationRequest
    from tests.pipelines.tiny import two_overlapping

    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["proj_out.bias"][0] = torch.nan
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(RuntimeError, match="drawing gave infinite numbers or none"):
        load_pipeline(str(folder)).generate([GenerationRequest(layout=two_overlapping(), seed=1)])


def test_a_folder_of_ours_is_in_order(saved):
    check_model_folder(saved)
