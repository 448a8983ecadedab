"""Folders of recorded cases, and how far outputs are from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from occlusionformer.layout import Box, Instance, Layout, Pair, Pairs
from occlusionformer.model import LayoutFluxTransformer2DModel
from occlusionformer.tensors.grid import TokenGrid

TOLERANCE = 1e-4
PIXELS_PER_TOKEN = 16
INPUTS = (
    "hidden_states", "encoder_hidden_states", "pooled_projections", "timestep", "guidance", "img_ids", "txt_ids",
)  # fmt: skip
"""What a case of a FLUX method gives the transformer."""

Differences = dict[str, float]
"""Greatest absolute difference by name of the output."""


@dataclass(frozen=True)
class Case:
    """One recorded forward: what cases.json says of it, and its tensors."""

    name: str
    entry: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def height(self) -> int:
        return self.entry["height"]

    @property
    def width(self) -> int:
        return self.entry["width"]

    @property
    def grid(self) -> TokenGrid:
        return TokenGrid.from_pixels(self.height, self.width, PIXELS_PER_TOKEN)

    @property
    def normalised_boxes(self) -> list[tuple[float, float, float, float]]:
        width, height = self.width, self.height
        return [(x1 / width, y1 / height, x2 / width, y2 / height) for x1, y1, x2, y2 in self.entry["boxes_xyxy"]]

    @property
    def inputs(self) -> dict[str, Tensor]:
        return {name: self.tensors[name] for name in INPUTS if name in self.tensors}

    def layout(self) -> Layout:
        """The case as a document; relations are told one by one, loops included."""
        boxes = [
            Box.from_pixels(*corners, width=self.width, height=self.height) for corners in self.entry["boxes_xyxy"]
        ]
        ids = [f"instance {index}" for index in range(len(boxes))]
        order, occluders = None, self.entry.get("occluders")
        if occluders is not None:
            relations = [(front, behind) for behind, fronts in enumerate(occluders) for front in fronts]
            order = Pairs(pairs=tuple(Pair(front=ids[front], behind=ids[behind]) for front, behind in relations))
        return Layout(
            prompt=self.name,
            width=self.width,
            height=self.height,
            instances=tuple(Instance(id=name, caption=name, box=box) for name, box in zip(ids, boxes, strict=True)),
            order=order,
            cycles="allow",
        )


def settings(folder: Path) -> dict[str, Any]:
    """What cases.json says of all cases."""
    return json.loads((folder / "cases.json").read_text())


def read_cases(folder: Path) -> Iterator[Case]:
    for name, entry in settings(folder)["cases"].items():
        yield Case(name=name, entry=entry, tensors=load_file(folder / f"case_{name}.safetensors"))


def load_transformer(folder: Path) -> LayoutFluxTransformer2DModel:
    """The backbone of a FLUX method's recordings, `base.safetensors`."""
    transformer = LayoutFluxTransformer2DModel(**settings(folder)["config"])
    transformer.load_state_dict(load_file(folder / "base.safetensors"))
    return transformer.eval()


def greatest_difference(actual: Tensor | None, recorded: Tensor) -> float:
    """Infinite where an output is missing, of another shape or not finite."""
    if actual is None or actual.shape != recorded.shape or not actual.isfinite().all():
        return float("inf")
    return (actual.float() - recorded.float()).abs().max().item() if actual.numel() else 0.0


class Watching:
    """Keeps what modules give out while it is entered: `seen[name]` is read(output) of the last call."""

    def __init__(self) -> None:
        self.seen: dict[str, Tensor] = {}
        self._handles: list[Any] = []

    def watch(self, name: str, module: torch.nn.Module, read: Callable[[Any], Tensor]) -> None:
        def keep(_: Any, __: Any, output: Any) -> None:
            self.seen[name] = read(output)

        self._handles.append(module.register_forward_hook(keep))

    def watch_blocks(self, transformer: LayoutFluxTransformer2DModel) -> None:
        """Both streams behind every block, as `dual0.image`, `single0.text`."""
        for kind, blocks in (
            ("dual", transformer.transformer_blocks),
            ("single", transformer.single_transformer_blocks),
        ):
            for index, block in enumerate(blocks):
                self.watch(f"{kind}{index}.text", block, lambda output: output[0])
                self.watch(f"{kind}{index}.image", block, lambda output: output[1])

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
