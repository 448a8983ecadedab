"""Reads tensor files, safetensors and PyTorch's own, without executing anything in them.

Every fault is a CheckpointError that names the file, and the tensor if it concerns one.
"""

from __future__ import annotations

import json
import os
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from occlusionformer.tensors.eight_bits import EIGHT_BITS, from_eight_bits

FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
"""What weights may be stored in; other formats need scales, which a plain dictionary of tensors does not hold."""

LONGEST_HEADER = 2**24
"""Bytes of JSON at the head of a safetensors file; that of FLUX.1-dev has 10^5."""

MOST_LISTED = 100
"""Problems that one error lists."""


class CheckpointError(ValueError):
    """Weights that are damaged or do not fit.

    `reasons` lists everything wrong, at most 100 lines; `problems` the same with the file or folder before each.
    """

    def __init__(self, source: str | Path, reasons: Sequence[str]) -> None:
        rest = len(reasons) - MOST_LISTED
        self.reasons = [*reasons[:MOST_LISTED], *([f"and {rest} more"] if rest > 0 else [])]
        self.problems = [f"{source}: {reason}" for reason in self.reasons]
        super().__init__("\n".join(self.problems))


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is no weight file at the path."""

    def __str__(self) -> str:
        return "\n".join(self.problems)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file by name, on the CPU, in memory of their own, and the text beside them.

    Weights in eight bits (`tensors/eight_bits.py`) come as floats.
    Files that end in `.safetensors` are read as such, others as `torch.save` writes a dictionary of tensors; of these
    the text is empty. Raises CheckpointError, or OSError for a file that the system does not let us read.
    """
    _check_is_file(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return tensors_in(path, read_pickle(path)), {}


def read_pickle(path: Path, *, map_location: str = "cpu") -> Any:
    """Load what `torch.save` wrote: tensors, numbers, strings and containers; other objects are refused."""
    _check_is_file(path)
    _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other formats, which are refused below where they cannot be read
            return torch.load(path, map_location=map_location, weights_only=True)
    except MemoryError as error:
        raise CheckpointError(path, ["asks for more memory than there is"]) from error
    except Exception as error:  # what a damaged pickle raises depends on the byte
        raise CheckpointError(path, [f"not a plain tensor file, refused: {_pickle_reason(error)}"]) from error


def read_header(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and number format of every tensor of a file, ((3, 4), "bf16"); the numbers stay on the disk."""
    if path.suffix != ".safetensors":
        tensors = tensors_in(path, read_pickle(path, map_location="meta"))
        return {key: (tuple(value.shape), _name(value.dtype)) for key, value in tensors.items()}
    _check_is_file(path)
    with open_safetensors(path) as file:
        parts = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        return {key: (tuple(part.get_shape()), str(part.get_dtype()).lower()) for key, part in parts.items()}


def tensors_in(path: Path, content: object) -> dict[str, Tensor]:
    """The tensors of a loaded dictionary; sparse, nested and subclassed ones are refused."""
    if not isinstance(content, Mapping):
        raise CheckpointError(path, [f"expected a dictionary of tensors, got {_kind(content)}"])
    problems = [
        f"{printable_name(key)}: {problem}" for key, value in content.items() if (problem := _no_tensor(key, value))
    ]
    if problems:
        raise CheckpointError(path, problems)
    return {key: value.detach() for key, value in content.items()}


def open_safetensors(path: Path) -> Any:
    """The open file, whose tensors are read when asked for.

    The length of its header is looked at first, because the library reads it whole. Raises CheckpointError.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    if length > LONGEST_HEADER:
        raise CheckpointError(
            path, [f"not a safetensors file: expected a header of at most {LONGEST_HEADER} bytes, got {length}"]
        )
    try:
        return safe_open(path, framework="pt")
    except OSError:
        raise
    except Exception as error:
        raise CheckpointError(path, [f"not a safetensors file: {first_line(error)}"]) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises CheckpointError."""
    _check_is_file(path)
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, [f"not JSON: {first_line(error)}"]) from error
    if not isinstance(value, dict):
        raise CheckpointError(path, [f"expected an object, got {_kind(value)}"])
    return value


def check_tensors(source: str | Path, found: Mapping[str, Tensor], expected: Mapping[str, Sequence[int]]) -> None:
    """Raise CheckpointError unless `found` has exactly the expected names and shapes, and finite floats."""
    reasons = misfits({key: value.shape for key, value in found.items()}, expected)
    for key, value in sorted(found.items()):
        if key in expected and tuple(value.shape) == tuple(expected[key]) and (reason := unfit(value)):
            reasons.append(f"{key}: {reason}")
    if reasons:
        raise CheckpointError(source, reasons)


def misfits(found: Mapping[str, Sequence[int]], expected: Mapping[str, Sequence[int]]) -> list[str]:
    """Missing and unknown names and wrong shapes, one line each."""
    missing = [
        f"{key}: missing, expected shape {tuple(expected[key])}" for key in sorted(expected.keys() - found.keys())
    ]
    unknown = [
        f"{printable_name(key)}: unexpected, shape {tuple(found[key])}"
        for key in sorted(found.keys() - expected.keys())
    ]
    misshapen = [
        f"{key}: expected shape {tuple(expected[key])}, got {tuple(found[key])}"
        for key in sorted(found.keys() & expected.keys())
        if tuple(found[key]) != tuple(expected[key])
    ]
    return [*missing, *unknown, *misshapen]


def unfit(value: Tensor) -> str | None:
    """The reason a tensor cannot be a weight; None if it can."""
    if value.is_meta:
        return "expected numbers, got a tensor without any"
    if value.dtype not in FLOATS:
        return f"expected one of {', '.join(map(_name, FLOATS))}, got {_name(value.dtype)}"
    if not value.numel() or all(each.isfinite() for each in torch.aminmax(value)):  # ten times as fast as asking all
        return None
    bad = value.numel() - int(torch.isfinite(value).sum())
    return f"expected finite numbers, got {bad} of {value.numel()} that are infinite or none"


def printable_name(key: object) -> str:
    """A name from a file, made safe for a message: short, on one line, without control characters."""
    text = key if isinstance(key, str) else repr(key)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 200 else f"{text[:200]}..."


def first_line(error: BaseException) -> str:
    """The first line of an error's text, made safe for a message."""
    return printable_name(next(iter(str(error).splitlines()), "") or type(error).__name__)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with open_safetensors(path) as file:
        try:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
            said = dict(file.metadata() or {})
        except Exception as error:
            raise CheckpointError(path, [f"not a safetensors file: {first_line(error)}"]) from error
    if not said.items() >= EIGHT_BITS.items():
        return tensors, said
    try:
        return from_eight_bits(tensors), said
    except ValueError as error:
        raise CheckpointError(path, str(error).splitlines()) from error


def _check_is_file(path: Path) -> None:
    if path.is_file():
        return
    if path.is_symlink() and not path.exists():
        raise CheckpointNotFoundError(path, [f"expected a file, got a link to {os.readlink(path)}, which is not there"])
    if not path.exists():
        raise CheckpointNotFoundError(path, ["expected a file, got none"])
    raise CheckpointError(path, [f"expected a file, got {'a folder' if path.is_dir() else 'something else'}"])


def _check_archive(path: Path) -> None:
    """Refuse compressed archives: `torch.save` stores without compression, and a compressed one could be a zip bomb."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except OSError:
        raise
    except Exception:
        return
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise CheckpointError(path, [f"{printable_name(packed[0])}: expected an entry stored without compression"])


def _no_tensor(key: object, value: object) -> str | None:
    if not isinstance(key, str):
        return f"expected a string as name, got {_kind(key)}"
    if not isinstance(value, Tensor):
        return f"expected a tensor, got {_kind(value)}"
    if type(value) not in (Tensor, torch.nn.Parameter) or value.layout != torch.strided:
        return f"expected a dense tensor with its numbers, got {_kind(value)} ({value.layout})"
    return None


def _pickle_reason(error: Exception) -> str:
    """The reason given by torch, without its advice to load the file anyway."""
    text = str(error)
    found = re.search(r"WeightsUnpickler error:\s*(\S[^\n]*?)(\. |\n|$)", text)
    if found is not None:
        return printable_name(found[1])
    return (
        "it needs code to be read" if "weights_only" in text else printable_name(first_line(error).partition(". ")[0])
    )


def _kind(value: object) -> str:
    return type(value).__name__


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
