"""Compare the package with outputs recorded from the published model: `python tests/golden/check.py DIR`.

DIR holds cases.json (backbone configuration and cases), case_*.safetensors (inputs and outputs), base.safetensors
(the backbone), and the layout weights in one or more of the published kinds. Every case runs in fp32 on the CPU from
every kind present. Prints the greatest absolute differences; exits 1 if one exceeds 1e-4, 2 if DIR cannot be checked.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file
from torch import Tensor

from occlusionformer.layout import Box, Instance, Layout, Pair, Pairs
from occlusionformer.model import FluxInputs, LayoutFlux, backbone_shape, prepare_layouts, published
from occlusionformer.model.branch import OcclusionBranch
from occlusionformer.model.checkpoint import load_published, read_published
from occlusionformer.tensors.grid import TokenGrid

DATA = Path(__file__).parent / "data"
TOLERANCE = 1e-4
PIXELS_PER_TOKEN = 16
INPUTS = (
    "hidden_states", "encoder_hidden_states", "pooled_projections", "timestep", "guidance", "img_ids", "txt_ids",
)  # fmt: skip
SOURCES = {
    "layout": ("layout.safetensors", "lora.safetensors"),
    "occ": ("occ.pth", "lora.safetensors"),
    "bundle": ("bundle_weights.safetensors", None),
}
"""Kinds of published weights: the layout file and the LoRA file beside it."""


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
    def grid(self) -> TokenGrid:
        return TokenGrid.from_pixels(self.height, self.width, PIXELS_PER_TOKEN)

    @property
    def normalised_boxes(self) -> list[tuple[float, float, float, float]]:
        width, height = self.width, self.height
        return [(x1 / width, y1 / height, x2 / width, y2 / height) for x1, y1, x2, y2 in self.boxes_xyxy]

    @property
    def mask_logits(self) -> list[Tensor]:
        """Recorded mask logits, one (N, L, 2) a layout block; empty where none were recorded."""
        names = [name for name in self.tensors if name.startswith("mask_logits.")]
        return [self.tensors[name] for name in sorted(names, key=lambda name: int(name.rpartition(".")[2]))]

    def layout(self) -> Layout:
        """The case as a document; relations are told one by one, loops included."""
        boxes = [Box.from_pixels(*corners, width=self.width, height=self.height) for corners in self.boxes_xyxy]
        ids = [f"instance {index}" for index in range(len(boxes))]
        order = None
        if self.occluders is not None:
            relations = [(front, behind) for behind, fronts in enumerate(self.occluders) for front in fronts]
            order = Pairs(pairs=tuple(Pair(front=ids[front], behind=ids[behind]) for front, behind in relations))
        return Layout(
            prompt=self.name,
            width=self.width,
            height=self.height,
            instances=tuple(Instance(id=name, caption=name, box=box) for name, box in zip(ids, boxes, strict=True)),
            order=order,
            cycles="allow",
        )


def read_cases(folder: Path) -> Iterator[Case]:
    for name, entry in json.loads((folder / "cases.json").read_text())["cases"].items():
        yield Case(name=name, tensors=load_file(folder / f"case_{name}.safetensors"), **entry)


def load_backbone(folder: Path) -> FluxTransformer2DModel:
    backbone = FluxTransformer2DModel(**json.loads((folder / "cases.json").read_text())["config"])
    backbone.load_state_dict(load_file(folder / "base.safetensors"))
    return backbone.eval()


def load_branch(folder: Path, source: str, backbone: FluxTransformer2DModel) -> OcclusionBranch:
    """The branch through the public loader, its LoRA as wide as the file's."""
    layout_file, lora_file = SOURCES[source]
    lora = None if lora_file is None else folder / lora_file
    state = read_published(folder / layout_file, lora)
    rank = next(value.shape[0] for key, value in state.lora.items() if key.endswith("lora_A.weight"))
    config = replace(published(backbone_shape(backbone)), lora_rank=rank)
    return load_published(folder / layout_file, config, lora=lora)


@torch.no_grad()
def differences(case: Case, model: LayoutFlux) -> dict[str, float]:
    """Greatest absolute difference of the sample and of every recorded mask block; infinite where one is missing."""
    inputs = FluxInputs(**{name: case.tensors.get(name) for name in INPUTS})
    condition = None
    if case.enable_layout:
        condition = prepare_layouts(
            [case.layout()],
            case.tensors["instance_text_embeds"],
            grid=case.grid,
            config=model.adapter.shape,
            device="cpu",
            dtype=torch.float32,
        )
    output = model(inputs, condition, return_masks=bool(case.mask_logits))
    found = {"sample": greatest_difference(output.sample, case.tensors["sample"])}
    produced = output.mask_logits or ()
    for index, recorded in enumerate(case.mask_logits):
        actual = produced[index] if index < len(produced) else None
        found[f"mask {index}"] = greatest_difference(actual, recorded)
    return found


def greatest_difference(actual: Tensor | None, recorded: Tensor) -> float:
    if actual is None or actual.shape != recorded.shape or not actual.isfinite().all():
        return float("inf")
    return (actual - recorded).abs().max().item()


def check(folder: Path, sources: Sequence[str]) -> float:
    """Run every case from every kind of weights and print each difference; returns the greatest."""
    backbone = load_backbone(folder)
    cases = list(read_cases(folder))
    worst = 0.0
    for source in sources:
        model = LayoutFlux(backbone, load_branch(folder, source, backbone))
        for case in cases:
            found = differences(case, model)
            worst = max(worst, *found.values())
            columns = "  ".join(f"{name} {value:.1e}" for name, value in found.items())
            sys.stdout.write(f"{source:<8}{case.name:<12}{columns}\n")
    return worst


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare the package with outputs recorded from the published model.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with cases.json and its tensors")
    parser.add_argument("--weights", choices=sorted(SOURCES), help="one kind of weights; default: every kind present")
    options = parser.parse_args(arguments)
    present = [name for name, files in SOURCES.items() if all((options.folder / f).is_file() for f in files if f)]
    chosen = [options.weights] if options.weights else present
    missing = [f for f in ("cases.json", "base.safetensors") if not (options.folder / f).is_file()]
    if missing or not chosen or not set(chosen) <= set(present):
        wanted = ", ".join(missing) or f"the files of {options.weights or ' or '.join(SOURCES)}"
        sys.stderr.write(f"{options.folder}: not found: {wanted}\n")
        return 2
    worst = check(options.folder, chosen)
    verdict = "within" if worst <= TOLERANCE else "above"
    sys.stdout.write(f"greatest difference {worst:.1e}, {verdict} {TOLERANCE:.0e}\n")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
