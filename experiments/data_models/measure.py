"""Measures what a plan made of layered scenes against the scenes themselves."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from occlusionformer.data.engine.plan import SceneSourcePlan, read_plan
from occlusionformer.data.engine.sources import SceneItems
from occlusionformer.data.records import RecordFolder, decode_masks
from occlusionformer.data.world.scene import Scene


def overlaps_in_front(scene: Scene) -> np.ndarray:
    """(N, N) bool: row in front of column, where their whole masks overlap."""
    depth = np.argsort(scene.back_to_front)
    masks = np.stack([item.amodal for item in scene.instances]).reshape(len(depth), -1).astype(np.float32)
    return (depth[:, None] > depth[None]) & (masks @ masks.T > 0)


def measure(plan_path: Path, folder: Path) -> dict[str, float]:
    """Over all instances of all scenes, those that were left out included as misses."""
    plan = read_plan(plan_path)
    assert isinstance(plan.source, SceneSourcePlan), "the truth is known of layered scenes alone"
    scenes = SceneItems(plan.source).scenes
    right = found = true = 0
    named: list[bool] = []
    overlap: list[float] = []
    visible_only: list[float] = []
    image_scores: list[float] = []
    records = {record.image_id: record for record in RecordFolder(folder)}
    for index in range(len(scenes)):
        scene, record = scenes[index], records.get(f"scene-{plan.source.seed}-{index}")
        truth = overlaps_in_front(scene)
        guess = np.zeros_like(truth)
        kept = [] if record is None else [int(instance.id) for instance in record.instances]
        if record is not None and record.order is not None:
            guess[np.ix_(kept, kept)] = np.array(record.order) == 1
        right, found, true = right + (guess & truth).sum(), found + guess.sum(), true + truth.sum()
        image_scores.append(
            1.0 if not (guess | truth).any() else 2 * (guess & truth).sum() / (guess.sum() + truth.sum())
        )
        for place, item in enumerate(scene.instances):
            instance = record.instances[kept.index(place)] if record is not None and place in kept else None
            named.append(instance is not None and item.name in instance.caption)
            if not np.array_equal(item.amodal, item.visible):
                mask = None if instance is None else instance.amodal_mask
                whole = np.zeros_like(item.amodal) if mask is None else decode_masks([mask])[0]
                overlap.append(float((whole & item.amodal).sum() / (whole | item.amodal).sum()))
                visible_only.append(float(item.visible.sum() / item.amodal.sum()))
    return {
        "scenes": len(scenes),
        "order F1": float(2 * right / (found + true)),
        "order precision": float(right / found),
        "order recall": float(right / true),
        "order F1, mean of images": float(np.mean(image_scores)),
        "captions right": float(np.mean(named)),
        "occluded instances": len(overlap),
        "whole-mask IoU, occluded": float(np.mean(overlap)),
        "whole-mask IoU of the visible masks": float(np.mean(visible_only)),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("plan", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    figures = measure(options.plan, options.folder)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
