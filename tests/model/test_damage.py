"""Damaged and hostile checkpoints: a CheckpointError that names the file or the key, whatever was done to them."""

from __future__ import annotations

import collections
import json
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from occlusionformer.model import OcclusionBranch
from occlusionformer.model.checkpoint import CheckpointError, alphas, load_published, published_state
from occlusionformer.tensors.files import LONGEST_HEADER, read_header, read_tensors
from tests.model.damaging import CONFIG, KINDS, outcomes, write
from tests.model.tiny import tiny_branch
from tests.properties import examples
from tests.tables import for_each

KEY = "layout_net.linears.linear_2.bias"


@pytest.fixture
def branch() -> OcclusionBranch:
    return tiny_branch(CONFIG)


@pytest.fixture
def folder(branch: OcclusionBranch, tmp_path: Path) -> Path:
    write(tmp_path / "checkpoint", "zip", branch)
    return tmp_path / "checkpoint"


def reasons(source: Path) -> list[str]:
    with pytest.raises(CheckpointError) as caught:
        load_published(source, CONFIG)
    return caught.value.reasons


def change_layout(folder: Path, **changes: object) -> None:
    layout = torch.load(folder / "occ.pth", weights_only=True)
    torch.save({**layout, **changes}, folder / "occ.pth")


def test_random_damage_is_refused_or_leaves_finite_weights(tmp_path: Path):
    found = collections.Counter(outcomes(tmp_path, count=examples(250).max_examples, seed=14))
    assert {outcome for _, outcome in found} == {"refused", "loaded"}, found
    assert {kind for kind, outcome in found if outcome == "refused"} == set(KINDS)


BIAS = torch.zeros(16)
WRONG_TENSORS = {
    "integers": (BIAS.long(), "expected one of float64, float32, bfloat16, float16, got int64"),
    "booleans": (BIAS.bool(), "expected one of float64, float32, bfloat16, float16, got bool"),
    "complex": (BIAS.cfloat(), "expected one of float64, float32, bfloat16, float16, got complex64"),
    "float8": (BIAS.to(torch.float8_e4m3fn), "expected one of float64, float32, bfloat16, float16, got float8_e4m3fn"),
    "nan": (BIAS + torch.nan, "expected finite numbers, got 16 of 16 that are infinite or none"),
    "infinite": (torch.cat([BIAS[1:], torch.tensor([torch.inf])]), "expected finite numbers, got 1 of 16"),
    "sparse": (BIAS.to_sparse(), "expected a dense tensor with its numbers, got Tensor (torch.sparse_coo)"),
    "meta": (BIAS.to("meta"), "expected numbers, got a tensor without any"),
    "quantised": (
        torch.quantize_per_tensor(BIAS, 0.1, 0, torch.qint8),
        "expected one of float64, float32, bfloat16, float16, got qint8",
    ),
    "number": (3.0, "expected a tensor, got float"),
    "list": ([BIAS], "expected a tensor, got list"),
    "wide": (torch.zeros(1).expand(2**40), "expected shape (16,), got (1099511627776,)"),
}


@pytest.mark.parametrize("name", WRONG_TENSORS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_tensor_of_another_kind_is_named(name: str, folder: Path):
    value, reason = WRONG_TENSORS[name]
    change_layout(folder, **{KEY: value})
    [found] = reasons(folder)
    assert found.startswith(f"{KEY}: {reason}")


def test_keys_that_are_no_strings_are_named(folder: Path):
    layout = torch.load(folder / "occ.pth", weights_only=True)
    torch.save({**layout, 7: torch.zeros(1), ("a", 1): torch.zeros(1)}, folder / "occ.pth")
    assert reasons(folder) == [
        "7: expected a string as name, got int",
        "('a', 1): expected a string as name, got tuple",
    ]


def test_names_out_of_a_file_cannot_command_a_terminal(folder: Path):
    change_layout(folder, **{"\x1b[2J" + "x" * 500: torch.zeros(1)})
    [found] = reasons(folder)
    assert found.startswith(r"'\x1b[2Jxxx")
    assert found.endswith("...: unexpected, shape (1,)")
    assert len(found) < 240


def test_many_problems_are_cut_at_a_hundred(folder: Path):
    change_layout(folder, **{f"k{number:04}": torch.zeros(1) for number in range(5000)})
    found = reasons(folder)
    assert (len(found), found[-1]) == (101, "and 4900 more")


def test_a_key_in_both_files_is_named(folder: Path):
    lora = load_file(folder / "lora.safetensors")
    key = min(lora)
    change_layout(folder, **{key: lora[key]})
    assert reasons(folder) == [f"{key}: in the layout file and in the LoRA file"]


@pytest.mark.parametrize("name", ["occ.pth", "lora.safetensors"])
class TestWhatLiesThere:
    def test_a_folder(self, name: str, folder: Path):
        (folder / name).unlink()
        (folder / name).mkdir()
        assert reasons(folder)[0].startswith("needs one of occ.pth, ")
        assert f"{name}/" in reasons(folder)[0]

    def test_a_link_to_nothing(self, name: str, folder: Path):
        (folder / name).unlink()
        (folder / name).symlink_to(folder / "nowhere")
        assert reasons(folder)[0].startswith("needs one of occ.pth, ")

    def test_a_link_to_itself(self, name: str, folder: Path):
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)
        assert reasons(folder)[0].startswith("needs one of occ.pth, ")

    def test_a_link_to_the_file(self, name: str, folder: Path, branch: OcclusionBranch):
        (folder / name).rename(folder.parent / name)
        (folder / name).symlink_to(folder.parent / name)
        assert torch.equal(load_published(folder, CONFIG).embedder.text_in.weight, branch.embedder.text_in.weight)

    def test_nothing_in_it(self, name: str, folder: Path):
        (folder / name).write_bytes(b"")
        assert "refused: EOFError" in reasons(folder)[0] or "not a safetensors file" in reasons(folder)[0]


def test_a_file_that_is_named_itself(folder: Path):
    (folder / "link").symlink_to(folder / "nowhere")
    assert reasons(folder / "link") == ["expected a checkpoint, got no file or folder"]
    assert reasons(Path("/dev/null")) == ["expected a file, got something else"]
    (folder / "other.safetensors").mkdir()
    with pytest.raises(CheckpointError, match=r"other\.safetensors: expected a file, got a folder$"):
        load_published(folder / "occ.pth", CONFIG, lora=folder / "other.safetensors")


class Caller:
    """Pickles as a call of a function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return (self.function, self.arguments)


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_pickle_that_would_run_code(protocol: int, folder: Path):
    trace = folder.parent / "trace"
    content = pickle.dumps({KEY: Caller(exec, f"open({str(trace)!r}, 'w')")}, protocol=protocol)
    (folder / "occ.pth").write_bytes(content)
    [found] = reasons(folder)
    assert found.startswith("not a plain tensor file, refused: ")
    assert not trace.exists()


def test_a_pickle_as_deep_as_a_stack(folder: Path):
    deep: object = torch.zeros(1)
    for _ in range(200):
        deep = [deep]
    torch.save({KEY: deep}, folder / "occ.pth")
    assert reasons(folder) == [f"{KEY}: expected a tensor, got list"]
    (folder / "occ.pth").write_bytes(b"\x80\x02" + b"(" * 1_000_000)
    assert reasons(folder)[0].startswith("not a plain tensor file, refused: ")


def test_a_bomb_is_refused_before_it_is_unpacked(folder: Path):
    """Ten megabytes of an archive that would be ten gigabytes."""
    with zipfile.ZipFile(folder / "occ.pth") as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = next(name for name in entries if "/data/" in name)
    with zipfile.ZipFile(folder / "occ.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, bytes(10_000_000) if entry == name else content)
    [found] = reasons(folder)
    assert found == f"{next(iter(entries))}: expected an entry stored without compression"


def test_a_header_longer_than_any_is_not_read(folder: Path):
    path = folder / "lora.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", LONGEST_HEADER + 1))
        file.truncate(LONGEST_HEADER + 100)
    assert reasons(folder) == [
        f"not a safetensors file: expected a header of at most {LONGEST_HEADER} bytes, got {LONGEST_HEADER + 1}"
    ]


def with_header(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@pytest.mark.parametrize(
    "header",
    [
        {"__metadata__": {"a": 1}},
        {"__metadata__": ["a"]},
        {"__metadata__": 3},
        {"a": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 0]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 10**9]}},
        {"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}},
        {"a": 7},
        [1, 2],
        "text",
    ],
)
def test_headers_of_other_types(header: object, folder: Path):
    (folder / "lora.safetensors").write_bytes(with_header(header, bytes(4)))
    with pytest.raises(CheckpointError, match=r"lora\.safetensors: not a safetensors file: "):
        load_published(folder, CONFIG)
    with pytest.raises(CheckpointError, match=r"lora\.safetensors: not a safetensors file: "):
        read_header(folder / "lora.safetensors")


@for_each(
    ("text", "reason"),
    [
        ("{", "network_alphas_json: not JSON: "),
        ("[" * 100_000, "network_alphas_json: not JSON: "),
        ("[1]", "network_alphas_json: expected an object, got list"),
        ('{"a": "x"}', "network_alphas_json.a: expected a finite number, got 'x'"),
        ('{"a": true}', "network_alphas_json.a: expected a finite number, got True"),
        ('{"a": NaN}', "network_alphas_json.a: expected a finite number, got nan"),
    ],
)
def test_alphas_of_other_types(text: str, reason: str, tmp_path: Path):
    path = tmp_path / "bundle_weights.safetensors"
    save_file({"layout::a": torch.zeros(1)}, path, metadata={"network_alphas_json": text})
    with pytest.raises(CheckpointError) as caught:
        alphas(path)
    assert caught.value.reasons[0].startswith(reason)


def test_an_alpha_that_is_no_number(tmp_path: Path):
    path = tmp_path / "lora.safetensors"
    save_file({"a.alpha": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"a\.alpha: expected one number, got shape \(2,\)"):
        alphas(path)


def test_headers_are_the_files(folder: Path, branch: OcclusionBranch):
    state = published_state(branch)
    for path, tensors in ((folder / "occ.pth", state.layout), (folder / "lora.safetensors", state.lora)):
        found = {key: shape for key, (shape, _) in read_header(path).items()}
        assert found == {key: tuple(value.shape) for key, value in tensors.items()}
        assert all(torch.equal(value, tensors[key]) for key, value in read_tensors(path)[0].items())


class TestBranchFolders:
    """Folders that `save_pretrained` of a branch wrote."""

    @pytest.fixture
    def saved(self, branch: OcclusionBranch, tmp_path: Path) -> Path:
        branch.save_pretrained(tmp_path / "branch")
        return tmp_path / "branch"

    def reasons(self, folder: Path) -> list[str]:
        with pytest.raises(CheckpointError) as caught:
            OcclusionBranch.from_pretrained(folder)
        assert all(problem.startswith(str(folder)) for problem in caught.value.problems)
        return caught.value.reasons

    def change(self, folder: Path, **changes: torch.Tensor | None) -> None:
        path = folder / "diffusion_pytorch_model.safetensors"
        tensors = {**load_file(path), **changes}
        save_file({key: value for key, value in tensors.items() if value is not None}, path, metadata={"format": "pt"})

    def test_keys_and_numbers(self, saved: Path):
        self.change(saved, **{"embedder.text_in.bias": None, "x": torch.zeros(1)})
        assert self.reasons(saved) == ["embedder.text_in.bias: missing", "x: unexpected"]
        self.change(saved, **{"embedder.text_in.bias": torch.full((16,), torch.nan), "x": None})
        assert self.reasons(saved) == [
            "embedder.text_in.bias: expected finite numbers, got 16 of 16 that are infinite or none"
        ]
        self.change(saved, **{"embedder.text_in.bias": torch.zeros(17)})
        assert "embedder.text_in.bias" in self.reasons(saved)[0]

    @pytest.mark.parametrize("name", ["config.json", "diffusion_pytorch_model.safetensors"])
    @pytest.mark.parametrize("content", [b"", b"junk", b"{}", None])
    def test_files(self, name: str, content: bytes | None, saved: Path):
        (saved / name).unlink()
        if content is None:
            (saved / name).mkdir()
        else:
            (saved / name).write_bytes(content)
        assert self.reasons(saved)

    def test_settings(self, saved: Path):
        config = json.loads((saved / "config.json").read_text())
        config["branch"] |= {"num_heads": "two", "dual_blocks": [0, 5000]}
        (saved / "config.json").write_text(json.dumps(config))
        assert "num_heads: Input should be a valid integer" in self.reasons(saved)[0]

    def test_pickles_are_not_read(self, saved: Path, branch: OcclusionBranch):
        (saved / "diffusion_pytorch_model.safetensors").unlink()
        torch.save(branch.state_dict(), saved / "diffusion_pytorch_model.bin")
        assert "diffusion_pytorch_model.safetensors" in self.reasons(saved)[0]
