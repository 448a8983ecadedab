"""A small network that predicts which of two instances is in front, from a window of colours and masks."""

from __future__ import annotations

import numpy as np

from occlusionformer.data.engine.contacts import Masks, join, mask_box
from occlusionformer.data.engine.models.crops import Window, crop
from occlusionformer.data.engine.models.hulls import filled_hull
from occlusionformer.data.engine.models.patches import PatchConfig
from occlusionformer.data.engine.models.protocol import MaskedPicture
from occlusionformer.data.engine.models.weights import TrainedNetwork, trained, weights_revision

CHANNELS = 8
SWAPPED = [0, 1, 2, 4, 3, 5, 7, 6]
"""Channels of the same window with the pair the other way round."""
MARGIN = 0.1
"""Margin around the pair, as a share of its longer side."""


def pair_window(image_HWC: np.ndarray, masks: Masks, pair: tuple[int, int], *, side: int) -> np.ndarray:
    """What the network sees of a pair: colours, first mask, second mask, everybody else's, first hull, second hull."""
    first, second = pair
    window = Window.around(join(mask_box(masks[first]), mask_box(masks[second])), margin=MARGIN)
    others = np.zeros_like(masks[0])
    for place, mask in enumerate(masks):
        if place not in pair:
            others |= mask
    hulls = [filled_hull(masks[place]) for place in pair]
    return crop(image_HWC, [masks[first], masks[second], others, *hulls], window=window, side=side)


def load(argument: str | None) -> PairNetwork:
    """Load the packaged weights, or those of a file."""
    return PairNetwork(trained("pair", argument, PatchConfig(channels=CHANNELS, outputs=2)))


def revision_of(argument: str | None) -> str:
    """Revision: the hash of the weights' file."""
    return weights_revision("pair", argument)


class PairNetwork:
    """Evaluates each pair in both orders and averages, so that the result does not depend on the order."""

    def __init__(self, network: TrainedNetwork) -> None:
        self.network = network

    @property
    def revision(self) -> str:
        return self.network.revision

    def probabilities(self, view: MaskedPicture, pairs_P2: np.ndarray) -> np.ndarray:
        side = self.network.config.side
        pairs = [(int(first), int(second)) for first, second in pairs_P2]
        there = [pair_window(view.image, view.masks, pair, side=side) for pair in pairs]
        back = [window[..., SWAPPED] for window in there]
        chances = 1 / (1 + np.exp(-self.network(np.stack([*there, *back])).astype(np.float64)))
        mean: np.ndarray = (chances[: len(pairs)] + chances[len(pairs) :, ::-1]) / 2
        return mean
