"""Store a run's averaged weights in the package as fp16, with where they come from.

--last 0.5 takes the mean of the averaged and the last weights: the average remembers twenty thousand images, too many
where the run ends on a falling rate, or soon after its texts changed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save

from occlusionformer.embedded.build import WEIGHTS
from occlusionformer.layout import write_atomic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--to", type=Path, default=WEIGHTS)
    parser.add_argument("--last", type=float, default=0.0, help="share of the last weights, 0 to 1")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    state = torch.load(arguments.run / "checkpoint.pt", weights_only=True)
    for name in ("backbone", "branch"):
        tensors = {
            key.removeprefix(f"{name}."): value.lerp(state["model"][key], arguments.last)
            for key, value in state["ema"].items()
            if key.startswith(f"{name}.")
        }
        halves = {key: value.to(torch.float16) for key, value in tensors.items()}
        write_atomic(arguments.to / f"{name}.safetensors", save(halves))
    log = [json.loads(line) for line in (arguments.run / "log.jsonl").read_text().splitlines()]
    source = {"recipe": "experiments/embedded/train.py", "scene_seed": 1, "share_of_last": arguments.last}
    origin = source | {"last": log[-1]}
    write_atomic(arguments.to / "origin.json", json.dumps(origin, indent=2) + "\n")


if __name__ == "__main__":
    main()
