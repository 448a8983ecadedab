"""Whether a layout method can learn scenes by heart: the sign that its port to this backbone has no fault.

    python tools/overfit_scenes.py PLAN CELL OUT [--scenes 64] [--objects 3] [--steps 1500] [--rate 1e-3]

A cell of a study's plan is trained as the plan says, but on a few scenes over and over, and then draws them from noise
that it never saw. The judge of scenes looks for their objects: told is the mean IoU of the boxes it finds with those
asked for, where an object that is not found counts 0, the share of objects that are recognised, and both for the true
pictures. OUT holds the run, which goes on where it was stopped, and a sheet of true pictures above drawn ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from occlusionformer.data.samples import sample_layout, sample_of_scene
from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.scene import Scene
from occlusionformer.data.world.scenes import make_scene
from occlusionformer.evaluation.scenes.judge import packaged_judge
from occlusionformer.generation import GenerationRequest, load_generator
from occlusionformer.layout import Box
from occlusionformer.study.plan import StudyPlan, read_plan
from occlusionformer.training import RunConfig
from occlusionformer.training.overrides import override
from occlusionformer.training.trainer import Trainer

COLUMNS = 8
NOISE = 500
"""The first seed of the pictures."""


def config_of(plan: StudyPlan, given: argparse.Namespace) -> RunConfig:
    """The cell's run on few scenes."""
    config = plan.config(plan.cell(given.cell), seed=0, rate=given.rate, images=given.steps * plan.batch)
    found = override(
        config,
        [
            f"data.count={given.scenes}",
            "data.world.min_instances=1",
            f"data.world.max_instances={given.objects}",
            "data.dropped_order=0",
            "optimizer.ema=0.99",
            "saving.every=250",
        ],
    )
    assert isinstance(found, RunConfig)
    return found


def found_in(picture: Image.Image, scene: Scene) -> list[tuple[float, bool]]:
    """IoU of box and whether it is recognised, of every object."""
    names = [item.name for item in scene.instances]
    sightings = packaged_judge().judge(picture, names).sightings
    boxes = [Box(*(float(edge) for edge in item.box)) for item in scene.instances]
    return [
        (0.0 if one.box is None else Box(*one.box).iou(box), one.nearest == one.name)
        for one, box in zip(sightings, boxes, strict=True)
    ]


def told(name: str, pictures: Sequence[Image.Image], scenes: Sequence[Scene]) -> dict[str, object]:
    rows = [row for picture, scene in zip(pictures, scenes, strict=True) for row in found_in(picture, scene)]
    iou, recognised = np.array(rows, dtype=float).mean(0)
    return {"pictures": name, "objects": len(rows), "miou": round(iou, 3), "recognised": round(recognised, 3)}


def sheet(drawn: Sequence[Image.Image], true: Sequence[Image.Image]) -> Image.Image:
    """True pictures above drawn ones."""
    width, height = true[0].size
    rows = -(-len(drawn) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * width, 2 * rows * height))
    for place, pair in enumerate(zip(true, drawn, strict=True)):
        for below, picture in enumerate(pair):
            whole.paste(picture, (place % COLUMNS * width, (place // COLUMNS * 2 + below) * height))
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("cell")
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=1e-3)
    given = parser.parse_args()
    config = config_of(read_plan(given.plan), given)
    if Trainer(config, given.out / "run", resume=True).run().reason == "stopped":
        return
    spec = replace(config.data.world, width=config.data.canvas, height=config.data.canvas)
    scenes = [make_scene(number, seed=config.data.seed, spec=spec, art=world_art()) for number in range(given.scenes)]
    layouts = [sample_layout(sample_of_scene(scene, "scene")) for scene in scenes]
    generator = load_generator(f"run:{given.out / 'run'}")
    requests = [GenerationRequest(layout=layout, seed=NOISE + number) for number, layout in enumerate(layouts)]
    drawn = [generator.generate([request])[0].image for request in requests]
    true = [Image.fromarray(scene.image) for scene in scenes]
    for name, pictures in (("drawn", drawn), ("true", true)):
        sys.stdout.write(json.dumps({"cell": given.cell, "steps": given.steps, **told(name, pictures, scenes)}) + "\n")
    sheet(drawn, true).save(given.out / "sheet.png")


if __name__ == "__main__":
    main()
