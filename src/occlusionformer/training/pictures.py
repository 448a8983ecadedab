"""Sheets for the tracker: what was asked for, what is drawn, what is drawn with the order reversed, and the masks.

Legend: K instances, H rows, W columns.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from occlusionformer.data.samples import Sample, sample_layout
from occlusionformer.layout import Layout, Pair, Pairs
from occlusionformer.pictures import as_rgb
from occlusionformer.pipelines import OcclusionFormerPipeline, OcclusionFormerPipelineOutput

SIDE = 192
"""Pixels of a picture's longer side on a sheet."""
SEED = 11


@dataclass(frozen=True)
class Drawn:
    """Pictures of one layout; predicted masks are (K, H, W) in 0..1, None without a mask head."""

    layout: Layout
    picture: Image.Image
    reversed_picture: Image.Image
    masks: np.ndarray | None


def draw_samples(pipeline: OcclusionFormerPipeline, samples: Sequence[Sample], *, steps: int) -> list[Drawn]:
    """Each sample's layout drawn by the pipeline, and once more with its order reversed, from the same noise."""
    return [_drawn(pipeline, sample_layout(sample), steps) for sample in samples]


def _drawn(pipeline: OcclusionFormerPipeline, layout: Layout, steps: int) -> Drawn:
    wants_masks = pipeline.branch.predicts_masks
    output = pipeline(
        layout=[layout, reversed_layout(layout)],
        num_inference_steps=steps,
        generator=[torch.Generator().manual_seed(SEED) for _ in range(2)],
        output_instance_masks=wants_masks,
    )
    assert isinstance(output, OcclusionFormerPipelineOutput)
    images: Any = output.images
    masks = None if output.instance_masks is None else output.instance_masks[0]
    return Drawn(layout, images[0], images[1], masks)


def reversed_layout(layout: Layout) -> Layout:
    """The same boxes with every relation turned round."""
    if layout.zorder is None:
        return layout
    names = [instance.id for instance in layout.instances]
    pairs = tuple(Pair(front=names[behind], behind=names[front]) for front, behind in sorted(layout.zorder.edges))
    return Layout(
        prompt=layout.prompt,
        width=layout.width,
        height=layout.height,
        instances=layout.instances,
        order=Pairs(pairs=pairs),
        cycles="allow",
    )


def sheet(samples: Sequence[Sample], drawn: Sequence[Drawn]) -> Image.Image:
    """A column for each sample: the true picture, the drawn one with boxes and without, order reversed, masks."""
    columns = []
    for sample, item in zip(samples, drawn, strict=True):
        shown = [
            _fitted(Image.fromarray(sample.image)),
            with_boxes(_fitted(item.picture), item.layout),
            _fitted(item.picture),
            _fitted(item.reversed_picture),
        ]
        if item.masks is not None:
            shown.append(_fitted(mask_picture(item.masks)))
        columns.append(shown)
    rows = max(len(column) for column in columns)
    page = Image.new("RGB", (SIDE * len(columns), SIDE * rows), (255, 255, 255))
    for left, column in enumerate(columns):
        for top, image in enumerate(column):
            page.paste(image, (left * SIDE, top * SIDE))
    return page


def with_boxes(image: Image.Image, layout: Layout) -> Image.Image:
    """The boxes on a copy, those in front drawn last."""
    copy = image.copy()
    draw = ImageDraw.Draw(copy)
    hidden = [0 if layout.zorder is None else len(layout.zorder.occluders(k)) for k in range(len(layout.instances))]
    for place in sorted(range(len(hidden)), key=hidden.__getitem__, reverse=True):
        left, top, right, bottom = layout.instances[place].box.pixels(copy.width, copy.height)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=_colour(place), width=2)
    return copy


def mask_picture(masks_KHW: np.ndarray) -> Image.Image:
    """Every mask in its instance's colour, added up."""
    colours = np.array([_colour(place) for place in range(len(masks_KHW))], dtype=np.float32).reshape(-1, 1, 1, 3)
    painted = (masks_KHW[..., None] * colours).sum(0) if len(masks_KHW) else np.zeros((1, 1, 3))
    return Image.fromarray(painted.clip(0, 255).astype(np.uint8))


def _fitted(image: Image.Image) -> Image.Image:
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return as_rgb(image).resize(size, Image.Resampling.BICUBIC)


def _colour(place: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hls_to_rgb(place * 0.618034 % 1, 0.5, 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)
