"""Damage thousands of published checkpoints by a seed: each loads with the same weights or is a CheckpointError.

python -m tests.model.damaging --count 3000 --seed 14
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from occlusionformer.model import OcclusionBranch, backbone_shape, published
from occlusionformer.model.checkpoint import CheckpointError, load_published, published_state
from tests.model.tiny import tiny_backbone, tiny_branch

CONFIG = published(backbone_shape(tiny_backbone()))
KINDS = {
    "zip": "occ.pth",
    "legacy": "occ.pth",
    "layout": "layout.safetensors",
    "lora": "lora.safetensors",
    "bundle": "bundle_weights.safetensors",
}
"""How a checkpoint was written, and the file of it that is damaged."""


def write(folder: Path, kind: str, branch: OcclusionBranch) -> Path:
    """A checkpoint of a kind; the file that is to be damaged."""
    folder.mkdir(parents=True)
    state = published_state(branch)
    if kind == "bundle":
        tensors = {f"layout::{key}": value for key, value in state.layout.items()}
        tensors |= {f"lora::{key}": value for key, value in state.lora.items()}
        save_file(tensors, folder / KINDS[kind], metadata={"network_alphas_json": "{}"})
        return folder / KINDS[kind]
    save_file(state.lora, folder / "lora.safetensors")
    if kind == "layout":
        save_file(state.layout, folder / "layout.safetensors")
    else:
        torch.save(state.layout, folder / "occ.pth", _use_new_zipfile_serialization=kind != "legacy")
    return folder / KINDS[kind]


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut, overwritten, moved or repeated somewhere; half of the time near the head, where structure is."""
    near_head = rng.random() < 0.5
    at = rng.randrange(min(len(content), 4000) if near_head else len(content))
    length = rng.choice((1, 2, 4, 8, 60, 1000))
    piece, noise = content[at : at + length], rng.randbytes(length)
    flipped = bytes([piece[0] ^ (1 << rng.randrange(8))])
    return rng.choice(
        [
            content[:at],
            content[at:],
            content[:at] + flipped + content[at + 1 :],
            content[:at] + noise + content[at + length :],
            content[:at] + noise + content[at:],
            content[:at] + content[at + length :],
            content[:at] + piece * rng.choice((1, 2, 100)) + content[at:],
            content[:at] + bytes(length) + content[at + length :],
            content[:at] + b"\xff" * length + content[at + length :],
        ]
    )


def outcomes(folder: Path, count: int, seed: int) -> Iterator[tuple[str, str]]:
    """(kind, "refused" | "loaded" | the traceback of anything else) for each damaged checkpoint."""
    branch = tiny_branch(CONFIG)
    rng = random.Random(seed)
    files = {kind: write(folder / kind, kind, branch) for kind in KINDS}
    contents = {kind: path.read_bytes() for kind, path in files.items()}
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        path = files[kind]
        path.write_bytes(damaged(contents[kind], rng))
        try:
            load_published(path.parent, CONFIG)
            yield kind, "loaded"
        except CheckpointError as error:
            yield kind, "refused" if str(path.parent) in str(error) else f"unnamed: {error}"
        except Exception:
            yield kind, traceback.format_exc()
        path.write_bytes(contents[kind])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=14)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = collections.Counter(outcomes(Path(folder), arguments.count, arguments.seed))
    for (kind, outcome), times in sorted(found.items()):
        sys.stdout.write(f"{times:6} {kind:8} {outcome}\n")


if __name__ == "__main__":
    main()
