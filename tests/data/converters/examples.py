"""Small files of other data sets, written as their authors describe them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from occlusionformer.layout import rle


def mask(height: int, width: int, box: tuple[int, int, int, int]) -> dict[str, Any]:
    """A rectangle x1, y1, x2, y2 as COCO run lengths."""
    left, top, right, bottom = box
    tall = bottom - top
    counts = [left * height + top]
    for _ in range(right - left - 1):
        counts += [tall, height - tall]
    counts += [tall]
    counts.append(height * width - sum(counts))
    return {"size": [height, width], "counts": rle.compress(counts)}


def sa_z_record(number: int, rng: random.Random) -> dict[str, Any]:
    """All the fields of the published file."""
    height, width = rng.choice([(40, 60), (60, 40)])
    boxes = []
    for _ in range(rng.randint(1, 5)):
        left, top = rng.randrange(width - 8), rng.randrange(height - 8)
        boxes.append((left, top, left + rng.randint(2, 8), top + rng.randint(2, 8)))
    rows = [
        {
            "id": number * 1000 + place,
            "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
            "area": (x2 - x1) * (y2 - y1),
            "segmentation": mask(height, width, (x1, y1, x2, y2)),
            "predicted_iou": rng.random(),
            "point_coords": [[rng.random() * width, rng.random() * height]],
            "crop_box": [0.0, 0.0, float(width), float(height)],
            "stability_score": rng.random(),
            "caption": rng.choice(["a dog", 'the "red" one \\ {', "ein Stück Käse", '}, "x": {']),
        }
        for place, (x1, y1, x2, y2) in enumerate(boxes)
    ]
    order = [[int(i != j and rng.random() < 0.3) for j in range(len(rows))] for i in range(len(rows))]
    return {
        "image_id": number,
        "folder_name": f"sa_{number % 1000:06d}",
        "image_path": f"images/sa_{number % 1000:06d}/sa_{number}.jpg",
        "prompt": "a picture",
        "mask_annotation": rows,
        "pred_order": order,
    }


def sa_z(count: int, seed: int = 0) -> dict[str, Any]:
    rng = random.Random(seed)
    return {str(number): sa_z_record(number, rng) for number in range(7, 7 + count)}


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path
