"""Recorded cases of the published model on disk: configuration, inputs, boxes and order, outputs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

DATA = Path(__file__).parent / "data"
PIXELS_PER_TOKEN = 16


@dataclass(frozen=True)
class Case:
    """One recorded forward. Boxes are in pixels; `occluders` lists the instances in front of each, None: no order."""

    name: str
    height: int
    width: int
    boxes_xyxy: list[list[float]]
    occluders: list[list[int]] | None
    enable_layout: bool
    tensors: dict[str, Tensor]

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width in tokens."""
        return self.height // PIXELS_PER_TOKEN, self.width // PIXELS_PER_TOKEN

    @property
    def normalised_boxes(self) -> list[tuple[float, float, float, float]]:
        width, height = self.width, self.height
        return [(x1 / width, y1 / height, x2 / width, y2 / height) for x1, y1, x2, y2 in self.boxes_xyxy]

    @property
    def mask_logits(self) -> list[Tensor]:
        """Recorded mask logits, one (N, L, 2) a layout block; empty where none were recorded."""
        names = sorted((n for n in self.tensors if n.startswith("mask_logits.")), key=lambda n: int(n.split(".")[1]))
        return [self.tensors[name] for name in names]


def transformer_config(folder: Path) -> dict:
    """Arguments of the backbone's constructor."""
    return json.loads((folder / "cases.json").read_text())["config"]


def read_cases(folder: Path) -> Iterator[Case]:
    for name, entry in json.loads((folder / "cases.json").read_text())["cases"].items():
        yield Case(name=name, tensors=load_file(folder / f"case_{name}.safetensors"), **entry)
