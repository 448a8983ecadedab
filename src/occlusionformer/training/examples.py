"""Samples made ready for the model in worker processes: canvas, geometry and token masks.

Legend: B samples, K instances of one sample, N instances of the batch, L tokens, C colour channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from occlusionformer.data.samples import Sample, SampleSource, sample_layout
from occlusionformer.generation import compose_prompt, instance_text
from occlusionformer.layout import Layout
from occlusionformer.model.method import Packer
from occlusionformer.tensors.grid import TokenGrid
from occlusionformer.training.config import DataConfig
from occlusionformer.training.sampler import Draw

if TYPE_CHECKING:
    from occlusionformer.training.cache import Encoded, EncodedSamples


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One sample as the model takes it, before anything is encoded."""

    draw: Draw
    pixels_CHW: Tensor
    """uint8."""
    layout: Layout
    prompt: str
    mask_KL: Tensor
    """Share (0..1) of every token that the instance's mask fills."""
    seen_KL: Tensor
    """The same for what is in sight; the mask itself where nobody knows."""
    encoded: Encoded | None

    @property
    def captions(self) -> tuple[str, ...]:
        """The text of every instance."""
        return tuple(instance_text(instance) for instance in self.layout.instances)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Samples of one canvas; their instances follow one another."""

    draws: tuple[Draw, ...]
    pixels_BCHW: Tensor
    layouts: tuple[Layout, ...]
    condition: Any
    """What the method has packed of them."""
    grid: TokenGrid
    prompts: tuple[str, ...]
    mask_NL: Tensor
    seen_NL: Tensor
    encoded: tuple[Encoded, ...] | None

    @property
    def captions(self) -> tuple[str, ...]:
        """The text of every instance."""
        return tuple(instance_text(instance) for layout in self.layouts for instance in layout.instances)

    @property
    def sample_N(self) -> Tensor:
        """The sample of every instance."""
        counts = torch.tensor([len(layout.instances) for layout in self.layouts])
        return torch.repeat_interleave(torch.arange(len(self.layouts)), counts)


@dataclass(frozen=True)
class Examples(Dataset):
    """Examples by draw."""

    source: SampleSource
    data: DataConfig
    packer: Packer
    pixels_per_token: int
    captions_in_prompt: bool
    """Whether prompts name the instances, as the pipeline composes them."""
    cache: EncodedSamples | None = None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, draw: Draw) -> Example:
        sample = prepared(self.source[draw.index], draw.canvas, self.data)
        if self.drops_order(draw):
            sample = replace(sample, in_front=None)
        encoded = None if self.cache is None else self.cache[draw]
        found = example(
            sample,
            draw,
            pixels_per_token=self.pixels_per_token,
            captions_in_prompt=self.captions_in_prompt,
            encoded=encoded,
        )
        if sample.composed or self.drops_layout(found):
            return without_layout(found)
        if self.drops_captions(draw):
            return replace(found, prompt=compose_prompt(found.layout, captions=False))
        return found

    def drops_layout(self, item: Example) -> bool:
        """Whether it is kept from the model. That of a composed sample always is."""
        data, draw = self.data, item.draw
        if not data.dropped_layout or len(item.layout.instances) > data.dropped_most:
            return False
        return bool(np.random.default_rng([data.seed, draw.ordinal, 2]).random() < data.dropped_layout)

    def drops_captions(self, draw: Draw) -> bool:
        """Whether the prompt names the background alone."""
        if not self.data.dropped_captions:
            return False
        return bool(np.random.default_rng([self.data.seed, draw.ordinal, 3]).random() < self.data.dropped_captions)

    def drops_order(self, draw: Draw) -> bool:
        if not self.data.dropped_order:
            return False
        return bool(np.random.default_rng([self.data.seed, draw.ordinal]).random() < self.data.dropped_order)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Join the examples of a part; index tensors are built here, in the worker."""
        height, width = examples[0].draw.canvas
        grid = TokenGrid.from_pixels(height, width, self.pixels_per_token)
        layouts = tuple(item.layout for item in examples)
        encoded = tuple(item.encoded for item in examples if item.encoded is not None)
        return Batch(
            draws=tuple(item.draw for item in examples),
            pixels_BCHW=torch.stack([item.pixels_CHW for item in examples]),
            layouts=layouts,
            condition=None if (packed := self.packer(layouts, grid)) is None else packed.to("cpu", torch.float32),
            grid=grid,
            prompts=tuple(item.prompt for item in examples),
            mask_NL=torch.cat([item.mask_KL for item in examples]),
            seen_NL=torch.cat([item.seen_KL for item in examples]),
            encoded=encoded or None,
        )


def prepared(sample: Sample, canvas: tuple[int, int], data: DataConfig) -> Sample:
    """The sample at its canvas, with the extent that is trained, and its background where that is declared."""
    sample = resized(sample, canvas)
    if data.background:
        sample = with_background(sample)
    return visible_only(sample) if data.extent == "visible" else sample


def example(
    sample: Sample,
    draw: Draw,
    *,
    pixels_per_token: int,
    captions_in_prompt: bool,
    encoded: Encoded | None = None,
) -> Example:
    """The layout of a sample is one as a user writes it."""
    if sample.amodal is None:
        raise ValueError(f"{sample.key}: expected masks to learn from, got none")
    grid = TokenGrid.from_pixels(*draw.canvas, pixels_per_token)
    layout = sample_layout(sample)
    visible = sample.amodal if sample.visible is None else sample.visible
    return Example(
        draw=draw,
        pixels_CHW=torch.from_numpy(np.ascontiguousarray(sample.image.transpose(2, 0, 1))),
        layout=layout,
        prompt=compose_prompt(layout, captions=captions_in_prompt),
        mask_KL=token_share(sample.amodal, grid),
        seen_KL=token_share(visible, grid),
        encoded=encoded,
    )


def without_layout(item: Example) -> Example:
    """The same picture to be drawn from a prompt that names the instances."""
    bare = item.layout.model_copy(update={"instances": (), "order": None})
    return replace(
        item,
        layout=bare,
        prompt=compose_prompt(item.layout, captions=True),
        mask_KL=item.mask_KL[:0],
        seen_KL=item.seen_KL[:0],
    )


def token_share(mask_KHW: np.ndarray, grid: TokenGrid) -> Tensor:
    """Share of every token's pixels that are set, (K, L)."""
    count, height, width = mask_KHW.shape
    cells = mask_KHW.reshape(count, grid.height, height // grid.height, grid.width, width // grid.width)
    return torch.from_numpy(cells.mean((2, 4), dtype=np.float32).reshape(count, -1))


def resized(sample: Sample, canvas: tuple[int, int]) -> Sample:
    """Stretched to height and width; boxes are relative and stay."""
    height, width = canvas
    if sample.image.shape[:2] == canvas:
        return sample
    image = Image.fromarray(sample.image).resize((width, height), Image.Resampling.LANCZOS)
    return replace(
        sample,
        image=np.array(image),
        amodal=_resized_masks(sample.amodal, canvas),
        visible=_resized_masks(sample.visible, canvas),
    )


def _resized_masks(masks: np.ndarray | None, canvas: tuple[int, int]) -> np.ndarray | None:
    if masks is None:
        return None
    size = (canvas[1], canvas[0])
    smaller = [Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BOX) for mask in masks]
    return np.array([np.array(mask) >= 128 for mask in smaller]).reshape(-1, *canvas)


def visible_only(sample: Sample) -> Sample:
    """Masks and boxes of what is in sight; instances out of sight are gone."""
    if sample.visible is None:
        raise ValueError(f"{sample.key}: expected visible masks, got none")
    kept = np.flatnonzero(sample.visible.any((1, 2)))
    masks = sample.visible[kept]
    return replace(
        sample,
        captions=tuple(sample.captions[index] for index in kept),
        boxes=np.array([_tight_box(mask) for mask in masks], dtype=np.float32).reshape(-1, 4),
        amodal=masks,
        visible=masks,
        in_front=None if sample.in_front is None else sample.in_front[np.ix_(kept, kept)],
    )


def _tight_box(mask_HW: np.ndarray) -> tuple[float, float, float, float]:
    height, width = mask_HW.shape
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height


def with_background(sample: Sample) -> Sample:
    """One more instance, last, behind all others: the background, captioned by the global prompt."""
    count, canvas = len(sample.captions), sample.image.shape[:2]
    in_front = np.zeros((count + 1, count + 1), dtype=bool)
    if sample.in_front is not None:
        in_front[:count, :count] = sample.in_front
    in_front[:count, count] = True
    taken: np.ndarray = (
        np.zeros(canvas, dtype=bool) if sample.visible is None else np.asarray(np.any(sample.visible, axis=0))
    )
    whole = np.ones((1, *canvas), dtype=bool)
    return replace(
        sample,
        captions=(*sample.captions, sample.prompt),
        boxes=np.concatenate([sample.boxes, np.array([[0, 0, 1, 1]], dtype=np.float32)]),
        amodal=None if sample.amodal is None else np.concatenate([sample.amodal, whole]),
        visible=None if sample.visible is None else np.concatenate([sample.visible, np.logical_not(taken)[None]]),
        in_front=in_front,
    )
