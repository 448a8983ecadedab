"""The averages of a run as the package loads them: plain tensors of the two parts, and the method as a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from occlusionformer.layout import write_atomic
from occlusionformer.model import Method


def exported(averages: Mapping[str, Tensor], last: Mapping[str, Tensor], last_share: float) -> dict[str, Tensor]:
    """The averages with a share of the last weights."""
    return {name: torch.lerp(value, last[name].to(value), last_share) for name, value in averages.items()}


def export(
    folder: Path, weights: Mapping[str, Tensor], method: Method, said: Mapping[str, str] | None = None
) -> list[Path]:
    """`backbone.safetensors` where it was trained, `branch.safetensors`, and `branch/` for `from_pretrained`.

    weights: tensors whose names start with `backbone.` or `branch.`, in full; what else the method stores is its own.
    said: text beside the backbone's tensors.
    """
    parts = {
        part: {
            name.removeprefix(f"{part}."): value.detach().cpu().contiguous()
            for name, value in weights.items()
            if name.startswith(f"{part}.")
        }
        for part in ("backbone", "branch")
    }
    stored = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    parts["branch"] = {**stored, **parts["branch"]}
    written = []
    for part, tensors in parts.items():
        if tensors:
            written.append(folder / f"{part}.safetensors")
            write_atomic(written[-1], save(tensors, dict(said) if said and part == "backbone" else None))
    loadable = folder / "branch"
    loadable.mkdir(exist_ok=True)
    write_atomic(loadable / "config.json", method.to_json_string())
    write_atomic(loadable / "diffusion_pytorch_model.safetensors", save(parts["branch"], {"format": "pt"}))
    return written
