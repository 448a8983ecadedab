"""Where the instances of sampled pictures are: masks that the branch predicted, found again by the latents.

Legend: N instances of a forward, K of one picture, L tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from occlusionformer.layout import Layout
from occlusionformer.pipelines.maps import maps_per_picture
from occlusionformer.tensors.grid import TokenGrid

RUNS_KEPT = 4
"""Runs of a sampler whose masks a patched model remembers."""


@dataclass(frozen=True, kw_only=True)
class SampledMasks:
    """The masks of one run: for each picture its layout, and foreground probabilities (K, L) of its instances."""

    layouts: tuple[Layout, ...]
    probability: tuple[Tensor, ...]
    grid: TokenGrid

    @classmethod
    def of_rows(
        cls,
        probability_NL: Tensor,
        layouts: Sequence[Layout],
        rows: Sequence[int | None],
        grid: TokenGrid,
        *,
        pictures: int,
    ) -> SampledMasks:
        """From one forward, whose rows are `pictures` for every conditioning; the first with a layout counts."""
        chosen: dict[int, tuple[Layout, Tensor]] = {}
        start = 0
        for place, row in enumerate(rows):
            if row is None:
                continue
            end = start + len(layouts[row].instances)
            chosen.setdefault(place % pictures, (layouts[row], probability_NL[start:end].cpu()))
            start = end
        found = [chosen[picture] for picture in sorted(chosen)]
        return cls(
            layouts=tuple(layout for layout, _ in found),
            probability=tuple(probability for _, probability in found),
            grid=grid,
        )

    def masks(self, size: tuple[int, int]) -> list[Tensor]:
        """One tensor (K, height, width) a picture, in the pixels of a canvas (height, width)."""
        maps = maps_per_picture(torch.cat(self.probability), self.layouts, self.grid, size)
        assert maps is not None
        return [torch.from_numpy(each) for each in maps]


@dataclass(kw_only=True)
class MaskLog:
    """The last runs of a patched model, by what they sampled."""

    runs: deque[tuple[Tensor, SampledMasks | None]] = field(default_factory=lambda: deque(maxlen=RUNS_KEPT))

    def add(self, samples: Tensor, masks: SampledMasks | None) -> None:
        """Note a run that sampled these latents; None where the layout did not act in it."""
        self.runs.append((samples.detach().float().cpu().clone(), masks))

    def of(self, samples: Tensor) -> SampledMasks:
        """The masks of the run that sampled these latents, bit for bit. ValueError where there are none."""
        wanted = samples.float().cpu()
        for sampled, masks in reversed(self.runs):
            if sampled.shape == wanted.shape and torch.equal(sampled, wanted):
                if masks is None:
                    raise ValueError(
                        "samples: expected a run in which the layout acted, got one without; raise grounding_ratio"
                    )
                return masks
        raise ValueError(
            "samples: expected what a sampler made of this model (of a custom sampler its `output`), got other latents"
        )
