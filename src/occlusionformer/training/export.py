"""Averaged weights as the package stores and loads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from occlusionformer.layout import write_atomic
from occlusionformer.model import OcclusionBranch


def export(folder: Path, averages: Mapping[str, Tensor], branch: OcclusionBranch) -> list[Path]:
    """`backbone.safetensors` where it was trained, `branch.safetensors`, and `branch/` for `from_pretrained`.

    averages: tensors whose names start with `backbone.` or `branch.`, in full.
    """
    written = []
    for part in ("backbone", "branch"):
        tensors = {
            name.removeprefix(f"{part}."): value.detach().cpu().contiguous()
            for name, value in averages.items()
            if name.startswith(f"{part}.")
        }
        if tensors:
            written.append(folder / f"{part}.safetensors")
            write_atomic(written[-1], save(tensors))
            if part == "branch":
                loadable = folder / "branch"
                loadable.mkdir(exist_ok=True)
                write_atomic(loadable / "config.json", branch.to_json_string())
                write_atomic(loadable / "diffusion_pytorch_model.safetensors", save(tensors, {"format": "pt"}))
    return written
