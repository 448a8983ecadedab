"""Give the text table of the second embedded model its looks: coarse pictures that are linear in a phrase's vector.

Ridge regression from the vectors of training captions, each object in its own colour and in those that training shows,
to its picture of 32 x 32 pixels in premultiplied RGBA. The table keeps 4 x 4 patches of it in their greatest principal
components; the branch of the image model starts from the pictures themselves. Takes a minute; no download.

Run from the repository root: `python tools/rebuild_scene_looks.py`.
Arrays: P pooled text, C channels, G pixels a side, L patches, K components.
"""

from __future__ import annotations

import json
import logging

import torch
from safetensors.torch import load_file, save

from occlusionformer.embedded.packaged import SECOND
from occlusionformer.embedded.text import packaged_reader
from occlusionformer.layout.atomic import write_atomic
from occlusionformer.training.appearance import fitted_pictures

SIDE, PATCHES, SIZE, LOOK = 32, 4, 128, 144
WEIGHTS = "diffusion_pytorch_model.safetensors"


def main() -> None:
    folder = SECOND.text
    pictures_PC = fitted_pictures(SIDE, packaged_reader(folder))
    cell = SIDE // PATCHES
    patch_PLC = (
        pictures_PC.view(-1, 4, PATCHES, cell, PATCHES, cell)
        .permute(0, 2, 4, 1, 3, 5)
        .reshape(-1, PATCHES**2, 4 * cell**2)
    )
    known_NP = load_file(folder / WEIGHTS)["known_as"].double() * pictures_PC.shape[0] ** 0.5
    known_NP = known_NP[known_NP[:, :LOOK].norm(dim=1) > 0]
    shown = torch.einsum("np,plc->nlc", known_NP, patch_PLC).flatten(0, 1)
    _, spread, axes = torch.linalg.svd(shown, full_matrices=False)
    part = patch_PLC @ axes[:SIZE].T
    size = (shown @ axes[:SIZE].T).square().mean().sqrt()
    kept = float((spread[:SIZE] ** 2).sum() / (spread**2).sum())
    tensors = load_file(folder / WEIGHTS)
    tensors["looks"] = (part / size).flatten(1).half()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"num_looks": PATCHES**2, "look_size": SIZE, "look_channels": LOOK}
    write_atomic(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    write_atomic(folder / "config.json", json.dumps(config, indent=1) + "\n")
    logging.info("%d objects, %.1f%% of their patches' squares kept", len(known_NP), 100 * kept)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
