"""Give the text table of the second embedded model its looks: an MLP from a phrase's vector to a coarse picture.

It is fitted to the objects in their own colour and in those that training shows, as pictures of 32 x 32 pixels in
premultiplied RGBA. The table keeps 4 x 4 patches of it in their greatest principal components; a new branch of the
image model starts from the same pictures. Takes three minutes on a core; no download.

Run from the repository root: `python tools/rebuild_scene_looks.py`.
Arrays: M captions, P pooled text, A pixels of a picture, L patches, K components, Q numbers of a patch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from occlusionformer.data.world.artwork import WorldObject, world_art
from occlusionformer.data.world.captions import colours_of
from occlusionformer.embedded.packaged import EMBEDDED
from occlusionformer.embedded.text import StaticTextModel, packaged_tokenizer
from occlusionformer.layout.atomic import write_atomic

SIDE, PATCHES, SIZE, LOOK, HIDDEN = 32, 4, 128, 144, 512
STEPS, BATCH, RATE, WARMUP, DECAY, JITTER = 8000, 256, 1e-3, 50, 0.01, 0.05
"""JITTER: noise on the vectors, which have unit variance, so that what lies between them is a picture too."""
WEIGHTS = "diffusion_pytorch_model.safetensors"


def read(captions: Sequence[str]) -> Tensor:
    """Pooled vectors of texts, by the table without looks."""
    config = json.loads((EMBEDDED.text / "config.json").read_text(encoding="utf-8"))
    model = StaticTextModel(**{k: v for k, v in config.items() if k[0] != "_" and k != "num_looks"})
    model.load_state_dict({k: v for k, v in load_file(EMBEDDED.text / WEIGHTS).items() if not k.startswith("look")})
    pieces = packaged_tokenizer(EMBEDDED.text)(
        list(captions), padding="max_length", truncation=True, return_tensors="pt"
    )
    return model.pooled(pieces.input_ids)


def art() -> tuple[Tensor, Tensor, Tensor]:
    """Vectors (M, P) of captions, their pictures (M, 4 * A), and how much each counts: every object's own colour as
    much as all others that training shows together."""
    captions, pictures, weights = [], [], []
    for item in world_art().objects:
        others = colours_of(item, "training")
        for colour in (None, *others):
            captions.append(item.name if colour is None else f"{colour} {item.name}")
            pictures.append(picture(item, colour))
            weights.append(1.0 if colour is None else 1.0 / len(others))
    return read(captions), torch.from_numpy(np.stack(pictures)), torch.tensor(weights)


def picture(item: WorldObject, colour: str | None) -> np.ndarray:
    """Premultiplied RGBA in 0..1, channels first and flat."""
    return (item.resized(SIDE, SIDE, colour).astype(np.float32) / 255).transpose(2, 0, 1).reshape(-1)


def fitted(text_MP: Tensor, picture_MA: Tensor, weight_M: Tensor) -> nn.Sequential:
    torch.manual_seed(0)
    width, out = text_MP.shape[1], picture_MA.shape[1]
    net = nn.Sequential(
        nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, out)
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    for step in range(STEPS):
        chosen = torch.multinomial(weight_M, BATCH, replacement=True)
        shown = net(text_MP[chosen] + JITTER * torch.randn(BATCH, width))
        loss = (shown - picture_MA[chosen]).square().mean()
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / WARMUP) * (1 - step / STEPS) ** 0.7
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 1000 == 999:
            logging.info("step %d: root mean square error %.4f", step + 1, loss.item() ** 0.5)
    return net.requires_grad_(False)


def patches(picture_MA: Tensor) -> Tensor:
    """(..., L, Q)"""
    cell = SIDE // PATCHES
    cells = picture_MA.view(-1, 4, PATCHES, cell, PATCHES, cell).permute(0, 2, 4, 1, 3, 5)
    return cells.reshape(-1, PATCHES**2, 4 * cell**2)


def main() -> None:
    folder = EMBEDDED.text
    text_MP, picture_MA, weight_M = art()
    net = fitted(text_MP, picture_MA, weight_M)
    shown = patches(net(text_MP)).flatten(0, 1)
    _, spread, axes = torch.linalg.svd(shown, full_matrices=False)
    axes_KQ = axes[:SIZE]
    size = (shown @ axes_KQ.T).square().mean().sqrt()
    last = net[4]
    weight = (patches(last.weight.T) @ axes_KQ.T / size).flatten(1).T
    bias = (patches(last.bias[None]) @ axes_KQ.T / size).flatten()
    tensors = {name: value for name, value in load_file(folder / WEIGHTS).items() if not name.startswith("look")}
    tensors |= {"look_in.weight": net[0].weight, "look_in.bias": net[0].bias}
    tensors |= {"look_mid.weight": net[2].weight, "look_mid.bias": net[2].bias}
    tensors |= {"look_out.weight": weight, "look_out.bias": bias, "look_axes": axes_KQ * size}
    tensors = {name: value.half() if name.startswith("look") else value for name, value in tensors.items()}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"num_looks": PATCHES**2, "look_size": SIZE, "look_channels": LOOK}
    config |= {"look_hidden": HIDDEN, "look_pixels": axes_KQ.shape[1]}
    write_atomic(folder / WEIGHTS, save({k: v.contiguous() for k, v in tensors.items()}, metadata={"format": "pt"}))
    write_atomic(folder / "config.json", json.dumps(config, indent=1) + "\n")
    kept = float((spread[:SIZE] ** 2).sum() / (spread**2).sum())
    logging.info("%d pictures, %.2f%% of their patches' squares kept", len(text_MP), 100 * kept)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
