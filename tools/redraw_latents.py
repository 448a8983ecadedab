"""Pictures of training beside the latents that a model draws for them, for `occlusionformer train codec --set pairs=`.

A decoder that has only seen latents of true pictures makes soft edges of a model's, which lie a little off. Here every
scene's latents are noised to LEVELS[0] and drawn again in as many steps, so that what is where stays as in the scene.

    python tools/redraw_latents.py MODEL OUT.safetensors --count 1000

MODEL is the name of a generator of the embedded model (`embedded`, `run:FOLDER`). OUT gets latents (N, 16, 32, 32) in
fp16, as the decoder takes them, and pictures (N, 256, 256, 3) in uint8; it is written anew after every few batches.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from safetensors.torch import save
from torch import Tensor

from occlusionformer.data.samples import sample_layout, sample_of_scene
from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.scene import Scene
from occlusionformer.data.world.scenes import WorldSpec, make_scene
from occlusionformer.generation import load_generator
from occlusionformer.layout.atomic import write_atomic
from occlusionformer.tensors import flow
from occlusionformer.training.encoder import Encoder

LEVELS = (0.6, 0.3)
"""Noise that each step starts from."""
SIDE, MOST, BATCH, EVERY = 256, 12, 4, 25


@torch.no_grad()
def redrawn(pipeline, scenes: list[Scene], generator: torch.Generator) -> Tensor:
    """Latents as the decoder takes them, (B, 16, H/8, W/8)."""
    vae = pipeline.vae
    pixels = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2)
    clean = Encoder(pipeline, None, torch.device("cpu")).tokens(pixels)
    noise = torch.randn(clean.shape, generator=generator)
    drawn = pipeline(
        layout=[sample_layout(sample_of_scene(scene, "scene")) for scene in scenes],
        height=SIDE,
        width=SIDE,
        latents=flow.interpolate(clean, noise, torch.full((len(scenes),), LEVELS[0])),
        sigmas=list(LEVELS),
        output_type="latent",
    ).images
    drawn = pipeline._unpack_latents(drawn, SIDE, SIDE, pipeline.vae_scale_factor)
    return drawn / vae.config.scaling_factor + vae.config.shift_factor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=31, help="series of scenes, and of noise")
    given = parser.parse_args()
    pipeline = load_generator(given.model).pipeline
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    art, spec = world_art(), WorldSpec(width=SIDE, height=SIDE, max_instances=MOST)
    generator = torch.Generator().manual_seed(given.seed)
    latents, pictures = [], []
    for start in range(0, given.count, BATCH):
        numbers = range(start, min(start + BATCH, given.count))
        scenes = [make_scene(number, seed=given.seed, spec=spec, art=art) for number in numbers]
        latents.append(redrawn(pipeline, scenes, generator).half())
        pictures.append(torch.from_numpy(np.stack([scene.image for scene in scenes])))
        if len(latents) % EVERY == 0 or numbers.stop == given.count:
            found = {"latents": torch.cat(latents), "pictures": torch.cat(pictures)}
            write_atomic(given.out, save(found, {"model": given.model, "seed": str(given.seed)}))
            sys.stdout.write(f"{numbers.stop} of {given.count}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
