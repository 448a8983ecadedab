"""What a run writes down: one JSON line per report, and the same to trackers, pictures included."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from PIL import Image

from occlusionformer.layout import write_atomic

LOG = "log.jsonl"
PICTURES = "samples"


def check_trackers(names: Sequence[str]) -> list[str]:
    """Problems with trackers that are asked for but not installed."""
    return [
        f"logging.trackers: {name} is not installed; install it, or set logging.trackers=[]"
        for name in names
        if importlib.util.find_spec(name) is None
    ]


class Logbook:
    """Figures and pictures of one run, whose folder it makes. Only the main process writes."""

    def __init__(self, folder: Path, accelerator: Accelerator, *, step: int, trackers: Sequence[str]) -> None:
        self.path, self.folder, self.accelerator = folder / LOG, folder, accelerator
        self.trackers = tuple(trackers)
        self._step, self._has_begun = step, False
        if accelerator.is_main_process and self.path.is_file():
            self._begin()

    def _begin(self) -> None:
        """With the first thing there is to write, where no log is there yet: a run that fails before leaves nothing."""
        if self._has_begun:
            return
        self._has_begun = True
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, "".join(f"{line}\n" for line in _lines_until(self.path, self._step)))
        if self.trackers:
            settings = {"tensorboard": {"purge_step": self._step + 1}} if "tensorboard" in self.trackers else {}
            self.accelerator.init_trackers("tracking", init_kwargs=settings)

    def figures(self, step: int, values: Mapping[str, float | int | str]) -> None:
        """A line of the log; numbers also go to the trackers."""
        if not self.accelerator.is_main_process:
            return
        self._begin()
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": step, **values}) + "\n")
        if self.trackers:
            self.accelerator.log({k: v for k, v in values.items() if not isinstance(v, str)}, step=step)

    def picture(self, step: int, name: str, image: Image.Image) -> None:
        """`samples/NAME-STEP.png`, and the trackers."""
        if not self.accelerator.is_main_process:
            return
        self._begin()
        folder = self.folder / PICTURES
        folder.mkdir(exist_ok=True)
        encoded = io.BytesIO()
        image.save(encoded, format="PNG")
        write_atomic(folder / f"{name}-{step:09}.png", encoded.getvalue())
        for tracker in self.accelerator.trackers:
            options = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
            tracker.log_images({name: np.asarray(image)[None]}, step=step, **options)

    def close(self) -> None:
        self.accelerator.end_training()


def _lines_until(path: Path, step: int) -> list[str]:
    """Lines up to a step; what a killed run wrote after its last checkpoint is written anew."""
    if not path.is_file():
        return []
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    return kept
