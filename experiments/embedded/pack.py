"""Store a run's averaged weights in the package as fp16, with where they come from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from occlusionformer.embedded.build import WEIGHTS
from occlusionformer.layout import write_atomic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--to", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    for name in ("backbone", "branch"):
        tensors = load_file(arguments.run / f"{name}.safetensors")
        halves = {key: value.to(torch.float16) for key, value in tensors.items()}
        write_atomic(arguments.to / f"{name}.safetensors", save(halves))
    log = [json.loads(line) for line in (arguments.run / "log.jsonl").read_text().splitlines()]
    origin = {"recipe": "experiments/embedded/train.py", "scene_seed": 1, "last": log[-1]}
    write_atomic(arguments.to / "origin.json", json.dumps(origin, indent=2) + "\n")


if __name__ == "__main__":
    main()
