"""Trains the data engine's two small networks, pair order and completion, on layered scenes."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from occlusionformer.data.engine.contacts import touching_pairs
from occlusionformer.data.engine.models import completion, pair_order
from occlusionformer.data.engine.models.completion import completion_view
from occlusionformer.data.engine.models.crops import crop
from occlusionformer.data.engine.models.pair_order import pair_window
from occlusionformer.data.engine.models.patches import PatchConfig, PatchNetwork
from occlusionformer.data.world.artwork import world_art
from occlusionformer.data.world.scene import Scene
from occlusionformer.data.world.scenes import WorldSpec, make_scene

SEED = 90_001
"""Of the scenes; plans and measurements use others."""
LATER = 1_000_000
"""First scene of a run that goes on from weights."""
REACH = 2
BATCH = 48
PER_SCENE = 2
"""Pairs, and occluded instances, that are taken of a scene; more of one scene teach less than those of another."""
SPEC = WorldSpec(min_instances=2, max_instances=12)


def examples(first: int, side: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Windows and answers, scene after scene, for both networks."""
    art, index = world_art(), first
    rng = np.random.default_rng([SEED, first, 1])
    while True:
        scene = make_scene(index, seed=SEED, spec=SPEC, art=art)
        index += 1
        yield from pair_examples(scene, side, rng)
        yield from completion_examples(scene, side, rng)


def truth(scene: Scene) -> np.ndarray:
    """(N, N) bool: row in front of column, where their whole masks overlap."""
    depth = np.argsort(scene.back_to_front)
    masks = np.stack([item.amodal for item in scene.instances]).reshape(len(depth), -1).astype(np.float32)
    return (depth[:, None] > depth[None]) & (masks @ masks.T > 0)


def pair_examples(scene: Scene, side: int, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    masks, in_front = [item.visible for item in scene.instances], truth(scene)
    pairs = touching_pairs(masks, reach=REACH)
    for first, second in rng.permutation(pairs)[:PER_SCENE]:
        pair = (first, second) if rng.random() < 0.5 else (second, first)
        label = np.array([in_front[pair], in_front[pair[::-1]]], dtype=np.float32)
        yield "pair", pair_window(scene.image, masks, pair, side=side), label


def completion_examples(
    scene: Scene, side: int, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    masks, in_front = [item.visible for item in scene.instances], truth(scene)
    hidden = np.flatnonzero(in_front.any(axis=0))
    for place in rng.permutation(hidden)[:PER_SCENE].tolist():
        item, fronts = scene.instances[place], np.flatnonzero(in_front[:, place])
        seen, window = completion_view(scene.image, masks, place, in_front=set(fronts.tolist()), side=side)
        whole = crop(scene.image, [item.amodal], window=window, side=side)[..., 3]
        yield "completion", seen, whole


def loss_of(kind: str, network: PatchNetwork, seen: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
    logits = network(seen)
    if kind == "pair":
        return functional.binary_cross_entropy_with_logits(logits, answer)
    weight = 0.05 + seen[..., 4] + seen[..., 5] * 0.5
    cost = functional.binary_cross_entropy_with_logits(logits, answer, reduction="none")
    return (cost * weight).sum() / weight.sum()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500, help="of each network")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--start", type=Path, help="folder of weights to go on from, with scenes of their own")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    configs = {
        "pair": PatchConfig(channels=pair_order.CHANNELS, outputs=2),
        "completion": PatchConfig(channels=completion.CHANNELS, outputs=0),
    }
    networks = {kind: PatchNetwork(config) for kind, config in configs.items()}
    if options.start is not None:
        for kind, network in networks.items():
            network.load_state_dict(load_file(options.start / f"{kind}.safetensors"))
    optimisers = {
        kind: torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=0.02, betas=(0.9, 0.98))
        for kind, network in networks.items()
    }
    waiting: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {kind: [] for kind in networks}
    steps, means, began = dict.fromkeys(networks, 0), dict.fromkeys(networks, 0.0), time.process_time()
    for kind, seen, answer in examples(0 if options.start is None else LATER, configs["pair"].side):
        if steps[kind] < options.steps:
            waiting[kind].append((seen, answer))
        if len(waiting[kind]) == BATCH:
            share = steps[kind] / options.steps
            for group in optimisers[kind].param_groups:
                group["lr"] = options.rate * min(1, (steps[kind] + 1) / 50) * 0.5 * (1 + math.cos(math.pi * share))
            inputs, answers = (torch.from_numpy(np.stack(part)) for part in zip(*waiting[kind], strict=True))
            loss = loss_of(kind, networks[kind], inputs, answers)
            optimisers[kind].zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(networks[kind].parameters(), 1.0)
            optimisers[kind].step()
            steps[kind] += 1
            means[kind] += (loss.item() - means[kind]) * (1 if steps[kind] == 1 else 0.02)
            waiting[kind].clear()
            if steps[kind] % 50 == 0:
                line = {"network": kind, "step": steps[kind], "loss": round(means[kind], 4)}
                with (options.out / "log.jsonl").open("a", encoding="utf-8") as log:
                    log.write(json.dumps({**line, "cpu_seconds": round(time.process_time() - began)}) + "\n")
            if steps[kind] % 100 == 0:
                save_file(networks[kind].state_dict(), options.out / f"{kind}.safetensors")
            if min(steps.values()) == options.steps:
                return


if __name__ == "__main__":
    main()
