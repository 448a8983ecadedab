"""Many pictures judged by several processes; the verdicts are the same, and in order, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

from occlusionformer.evaluation.scenes.judge import Verdict, judge
from occlusionformer.evaluation.scenes.layouts import BenchScene
from occlusionformer.pictures import read_picture

Shown = tuple[Path | np.ndarray, Sequence[str], np.ndarray]
"""A picture, as a file or as (H, W, C) uint8, the names of the objects to look for, and the declared background."""


def shown(picture: Path | np.ndarray, scene: BenchScene) -> Shown:
    """A picture of a scene."""
    return picture, scene.names, scene.backdrop()


class Jury:
    """One judge, or as many processes with one each; to be used in a `with` statement, which ends them."""

    def __init__(self, workers: int = 1) -> None:
        """Raises ValueError for less than one worker."""
        if workers < 1:
            raise ValueError(f"workers: expected at least 1, got {workers}")
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers > 1 else None

    def __enter__(self) -> Jury:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def verdicts(self, pictures: Iterable[Shown]) -> Iterator[Verdict]:
        """The verdict on each picture, in order, as soon as it is there."""
        return map(_verdict, pictures) if self._pool is None else self._pool.map(_verdict, pictures)


def _verdict(given: Shown) -> Verdict:
    picture, names, background_HWC = given
    image = read_picture(picture).image if isinstance(picture, Path) else Image.fromarray(picture)
    return judge(image, names, Image.fromarray(background_HWC))
