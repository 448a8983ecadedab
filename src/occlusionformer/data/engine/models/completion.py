"""A small network that predicts amodal masks from a visible mask, its occluders and the picture around them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from occlusionformer.data.engine.contacts import Masks, PixelBox, join, mask_box
from occlusionformer.data.engine.models.crops import Window, crop, uncrop
from occlusionformer.data.engine.models.hulls import filled_hull
from occlusionformer.data.engine.models.patches import PatchConfig
from occlusionformer.data.engine.models.protocol import MaskedPicture
from occlusionformer.data.engine.models.weights import TrainedNetwork, trained, weights_revision

CHANNELS = 7
MARGIN = 0.1
"""Share of the window's side that is shown beyond the reach of the hidden part."""
REACH = 1.0
"""How far the hidden part may go beyond the visible one, in the visible box's longer side."""


def completion_window(visible_HW: np.ndarray, hiding: Sequence[np.ndarray]) -> Window:
    """The window of an instance: around its visible part and nearby occluders."""
    box = mask_box(visible_HW)
    reach = REACH * max(box[2] - box[0], box[3] - box[1])
    whole = box
    for mask in hiding:
        whole = join(whole, _clipped(mask_box(mask), box, reach))
    return Window.around(whole, margin=MARGIN)


def completion_view(
    image_HWC: np.ndarray, masks: Masks, instance: int, *, in_front: Collection[int], side: int
) -> tuple[np.ndarray, Window]:
    """The network's input for an instance: colours, visible mask, masks in front, all other masks, convex hull."""
    occluders, others = np.zeros_like(masks[0]), np.zeros_like(masks[0])
    for place, mask in enumerate(masks):
        if place in in_front:
            occluders |= mask
        elif place != instance:
            others |= mask
    window = completion_window(masks[instance], [masks[place] for place in sorted(in_front)])
    layers = [masks[instance], occluders, others, filled_hull(masks[instance])]
    return crop(image_HWC, layers, window=window, side=side), window


def _clipped(box: PixelBox, around: PixelBox, reach: float) -> PixelBox:
    """The part of a box within reach of another; of one out of reach, the nearest edge."""
    low_x, low_y, high_x, high_y = (
        round(around[0] - reach),
        round(around[1] - reach),
        round(around[2] + reach),
        round(around[3] + reach),
    )
    x1, x2 = (min(max(value, low_x), high_x) for value in (box[0], box[2]))
    y1, y2 = (min(max(value, low_y), high_y) for value in (box[1], box[3]))
    return x1, y1, x2, y2


def load(argument: str | None) -> CompletionNetwork:
    """Load the packaged weights, or those of a file."""
    return CompletionNetwork(trained("completion", argument, PatchConfig(channels=CHANNELS, outputs=0)))


def revision_of(argument: str | None) -> str:
    """Revision: the hash of the weights' file."""
    return weights_revision("completion", argument)


class CompletionNetwork:
    """Completes each instance on its own, given the masks in front of it."""

    def __init__(self, network: TrainedNetwork) -> None:
        self.network = network

    @property
    def revision(self) -> str:
        return self.network.revision

    def complete(self, view: MaskedPicture, instances: Sequence[int]) -> np.ndarray:
        assert view.in_front is not None
        height, width = view.image.shape[:2]
        seen = []
        for place in instances:
            fronts = set(np.flatnonzero(view.in_front[:, place]).tolist())
            seen.append(completion_view(view.image, view.masks, place, in_front=fronts, side=self.network.config.side))
        logits = self.network(np.stack([windowed for windowed, _ in seen]))
        maps = [
            uncrop(values, window=window, height=height, width=width) > 0
            for values, (_, window) in zip(logits, seen, strict=True)
        ]
        return np.stack(maps)
