"""What a model draws from text alone: composed scenes are named to it, and the judge of scenes looks for their objects.

    python tools/text_alone.py MODEL [--count 60] [--size 256] [--sheet sheet.png]

MODEL is any that `generate --model` takes. An object counts as recognised where it is found and the art nearest to what
is there is its own; nothing is known of where it was meant to be. Told are the shares of recognised ones, of all and of
what is found, with 95% intervals over pictures, for pictures of one, two and three objects; and both for the true
pictures. Objects have their own colours and words of training; the scenes are none of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.scene import Scene
from occlusionformer.data.world.scenes import WorldSpec, make_scene
from occlusionformer.evaluation.scenes.judge import packaged_judge
from occlusionformer.generation import GenerationRequest, load_generator
from occlusionformer.layout import Layout

SERIES = 4
"""Of the scenes."""
DRAWS = 2000
COLUMNS = 8


def prompt_of(scene: Scene) -> str:
    """The background and the objects, as the trainer names them."""
    return ", ".join([scene.prompt, *(item.caption for item in scene.instances)])


def seen(picture: Image.Image, scene: Scene) -> tuple[int, int, int]:
    """How many objects were asked for, are found, are recognised."""
    names = [item.name for item in scene.instances]
    sightings = packaged_judge().judge(picture, names).sightings
    found = [one for one in sightings if one.box is not None]
    return len(names), len(found), sum(one.nearest == one.name for one in found)


def share(part_N: np.ndarray, whole_N: np.ndarray) -> str:
    """The ratio of the sums, with the 95% interval of a bootstrap over pictures."""
    chosen = np.random.default_rng(0).integers(len(part_N), size=(DRAWS, len(part_N)))
    low, high = np.quantile(part_N[chosen].sum(1) / np.maximum(whole_N[chosen].sum(1), 1), (0.025, 0.975))
    return f"{part_N.sum() / max(whole_N.sum(), 1):.3f} ({low:.3f} to {high:.3f})"


def told(name: str, counts_N3: np.ndarray) -> str:
    asked_N, found_N, right_N = counts_N3.T
    return f"{name}: recognised {share(right_N, asked_N)}, of what is found {share(right_N, found_N)}\n"


def sheet(drawn: Sequence[Image.Image], scenes: Sequence[Scene], size: int) -> Image.Image:
    """True pictures above drawn ones."""
    rows = -(-len(drawn) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * size, 2 * rows * size))
    for place, (picture, scene) in enumerate(zip(drawn, scenes, strict=True)):
        left, top = place % COLUMNS * size, place // COLUMNS * 2 * size
        whole.paste(Image.fromarray(scene.image), (left, top))
        whole.paste(picture, (left, top + size))
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    spec = WorldSpec(width=given.size, height=given.size, max_instances=3, composed=1.0, recoloured=0)
    scenes = [make_scene(number, seed=SERIES, spec=spec, art=world_art()) for number in range(given.count)]
    layouts = [Layout(prompt=prompt_of(scene), width=given.size, height=given.size) for scene in scenes]
    requests = [GenerationRequest(layout=layout, seed=number) for number, layout in enumerate(layouts)]
    generator = load_generator(given.model)
    drawn = [generator.generate([request])[0].image for request in requests]
    for name, pictures in (("drawn", drawn), ("true", [Image.fromarray(scene.image) for scene in scenes])):
        counts = np.array([seen(picture, scene) for picture, scene in zip(pictures, scenes, strict=True)])
        sys.stdout.write(told(name, counts))
        for number in (1, 2, 3):
            if (chosen := counts[counts[:, 0] == number]).size:
                sys.stdout.write(told(f"{name}, {number} of them", chosen))
    if given.sheet is not None:
        sheet(drawn, scenes, given.size).save(given.sheet)


if __name__ == "__main__":
    main()
