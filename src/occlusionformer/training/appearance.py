"""Where a branch's coarse pictures start: the linear map from captions' vectors to the art, by least squares.

Legend: M captions, P pooled text, C channels, G cells a side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from occlusionformer.data.world.artwork import WorldObject, world_art
from occlusionformer.data.world.captions import colours_of
from occlusionformer.model.appearance import AppearanceField

RIDGE = 3.0
"""Added to the squares of the captions' vectors, in captions: directions that few share stay near zero."""


def fit_appearance(appearance: AppearanceField, read: Callable[[Sequence[str]], Tensor]) -> None:
    """Fill `pictures` as `fitted_pictures` finds them."""
    with torch.no_grad():
        appearance.pictures.copy_(fitted_pictures(appearance.side, read))


def fitted_pictures(side: int, read: Callable[[Sequence[str]], Tensor]) -> Tensor:
    """The ridge regression from captions that training says to premultiplied RGBA, 0..1; float64 (P, C * G * G).

    Every object counts once in its own colour and once in all others that training shows together. read: texts to
    pooled vectors (M, P).
    """
    captions, weights, pictures = [], [], []
    for item in world_art().objects:
        colours: list[str | None] = [None, *colours_of(item, "training")]
        for colour in colours:
            captions.append(item.name if colour is None else f"{colour} {item.name}")
            weights.append(1.0 if colour is None else 1.0 / (len(colours) - 1))
            pictures.append(picture(item, colour, side))
    text_MP = read(captions).double()
    weight_M1 = torch.tensor(weights, dtype=torch.float64)[:, None]
    picture_MC = torch.from_numpy(np.stack(pictures)).double()
    square_PP = text_MP.T @ (weight_M1 * text_MP) + RIDGE * torch.eye(text_MP.shape[1], dtype=torch.float64)
    return torch.linalg.solve(square_PP, text_MP.T @ (weight_M1 * picture_MC))


def picture(item: WorldObject, colour: str | None, side: int) -> np.ndarray:
    """An object in a square, premultiplied RGBA in 0..1, channels first and flat, (C * G * G,)."""
    pixels_HWC = item.resized(side, side, colour).astype(np.float32) / 255
    return pixels_HWC.transpose(2, 0, 1).reshape(-1)
