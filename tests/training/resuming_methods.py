"""Train each method for some steps of the embedded recipe, then once more from the checkpoint half-way, and compare.

python -m tests.training.resuming_methods --steps 200 [--methods gligen eligen] [--folder runs]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from accelerate.state import AcceleratorState

from occlusionformer.methods.registry import OURS
from occlusionformer.training import override, recipe
from occlusionformer.training.trainer import Trainer

SMALL = (
    "batch=1", "logging.trackers=[]", "logging.probe_count=2", "logging.pictures=1", "execution.device=cpu",
    "execution.workers=0", "saving.keep=3",
)  # fmt: skip


def train(name: str, folder: Path, steps: int, *, resume: bool) -> int:
    """The step at which the run began."""
    AcceleratorState._reset_state(reset_partial_state=True)
    settings = (f"model.method={name}", f"steps={steps}", f"logging.every={steps // 2}", f"saving.every={steps // 2}")
    trainer = Trainer(override(recipe("embedded"), (*settings, *SMALL)), folder, resume=resume)
    first = trainer.step
    trainer.run()
    return first


def as_killed_half_way(whole: Path, folder: Path, steps: int) -> None:
    """What a run that is killed after its half leaves: that checkpoint alone."""
    shutil.copytree(whole, folder)
    shutil.rmtree(folder / "branch")
    shutil.rmtree(folder / "checkpoints" / f"step-{steps:09}")
    for exported in folder.glob("*.safetensors"):
        exported.unlink()


def compare(name: str, parent: Path, steps: int) -> dict[str, object]:
    """Figures of the whole run, and the names of files that the resumed one left otherwise."""
    whole, parts = parent / name, parent / f"{name}-resumed"
    train(name, whole, steps, resume=False)
    as_killed_half_way(whole, parts, steps)
    resumed_at = train(name, parts, steps, resume=True)
    names = [path.relative_to(whole) for path in sorted(whole.rglob("*.safetensors"))]
    different = [str(path) for path in names if (whole / path).read_bytes() != (parts / path).read_bytes()]
    flows = [row["flow"] for row in map(json.loads, (whole / "log.jsonl").read_text().splitlines()) if "flow" in row]
    return {"method": name, "resumed_at": resumed_at, "flow": flows, "files": len(names), "different": different}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="even")
    parser.add_argument("--methods", nargs="+", choices=sorted(OURS), default=sorted(OURS))
    parser.add_argument("--folder", type=Path, help="where the runs are kept; thrown away without one")
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as thrown_away:
        for name in arguments.methods:
            found = compare(name, arguments.folder or Path(thrown_away), arguments.steps)
            failed |= bool(found["different"])
            print(json.dumps(found), flush=True)  # noqa: T201
    sys.exit(failed)


if __name__ == "__main__":
    main()
