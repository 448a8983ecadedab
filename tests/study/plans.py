"""Plans that are small enough to be carried out in a test."""

from __future__ import annotations

from pathlib import Path

from occlusionformer.study.plan import StudyPlan, read_plan

SMALL = """
name = "small"
reference = "ours"
recipe = "embedded"
images = {images}
batch = 2
seeds = [0, 1]
rates = [1e-3, 3e-3]
search_images = 4
limit = {limit}
benchmarks = ["world-simple", "world-complex"]
size = 64
steps = 1
settings = [
    "data.world.width=64", "data.world.height=64", "data.canvas=64", "data.world.max_instances=3",
    "logging.probe_count=16", "execution.workers=0", "execution.device=cpu", "saving.every=2",
]

[[cells]]
name = "ours"
method = "occlusionformer"
trains_backbone = true

[[cells]]
name = "text"
method = "none"
trains_backbone = true
seeds = 1
"""


def written(folder: Path, text: str = SMALL, *, images: int = 8, limit: int = 2) -> Path:
    path = folder / "plan.toml"
    path.write_text(text.replace("{images}", str(images)).replace("{limit}", str(limit)))
    return path


def small(folder: Path, **numbers: int) -> StudyPlan:
    return read_plan(written(folder, **numbers))
