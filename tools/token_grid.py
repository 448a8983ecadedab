"""Whether drawn pictures show the grid of tokens: their energy at its frequency beside that of the true pictures.

    python tools/token_grid.py PICTURES --benchmark world-complex [--series 1]

PICTURES holds pictures named by the keys of a benchmark of drawn scenes, as an evaluation leaves them. For every
period of 16, 8 and 4 pixels the ratio of the energies over all pictures with its 95% interval over pictures is told:
1 is as it should be, more is a grid, less is blurred or empty.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from occlusionformer.evaluation.benchmarks import load_benchmark

PERIODS = (16, 8, 4)
"""Pixels: sides of a token, of a latent and of a cell of the decoder."""
DRAWS = 2000


def energy(picture: Image.Image, period: int) -> float:
    """Mean squared amplitude of the lightness (0..1) of rows and columns at one wave every `period` pixels."""
    lightness_HW = np.asarray(picture.convert("RGB"), dtype=np.float64).mean(2) / 255
    found = 0.0
    for lines in (lightness_HW, lightness_HW.T):
        length = lines.shape[1] // period * period
        window = np.hanning(length)
        wave = np.exp(-2j * np.pi * np.arange(length) / period) * window / window.sum()
        centred = lines[:, :length] - lines[:, :length].mean(1, keepdims=True)
        found += float((np.abs(centred @ wave) ** 2).mean())
    return found


def ratio(drawn_N: np.ndarray, true_N: np.ndarray) -> tuple[float, float, float]:
    """Of the sums over pictures, with the 95% interval of a bootstrap over them."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(drawn_N), size=(DRAWS, len(drawn_N)))
    low, high = np.quantile(drawn_N[chosen].sum(1) / true_N[chosen].sum(1), (0.025, 0.975))
    return float(drawn_N.sum() / true_N.sum()), float(low), float(high)


def pairs(folder: Path, benchmark: str, series: int | None) -> Iterator[tuple[Image.Image, Image.Image]]:
    """Drawn and true pictures of the items that the folder has pictures of."""
    settings = {} if series is None else {"series": series}
    for item in load_benchmark(benchmark, source_settings=settings).items:
        path = folder / f"{item.key}.png"
        if path.exists() and item.reference is not None:
            yield Image.open(path), item.reference()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--benchmark", default="world-complex")
    parser.add_argument("--series", type=int)
    given = parser.parse_args()
    if not any(given.pictures.glob("*.png")):
        parser.error(f"pictures: expected a folder of PNG pictures, got {given.pictures}")
    found = np.array(
        [
            [[energy(picture, period) for period in PERIODS] for picture in pair]
            for pair in pairs(given.pictures, given.benchmark, given.series)
        ]
    )
    if not len(found):
        parser.error(f"pictures: expected pictures named by the keys of {given.benchmark}, found none")
    sys.stdout.write(f"{len(found)} pictures\n")
    for number, period in enumerate(PERIODS):
        value, low, high = ratio(found[:, 0, number], found[:, 1, number])
        sys.stdout.write(f"one wave every {period:2d} pixels: {value:.3f} ({low:.3f} to {high:.3f})\n")


if __name__ == "__main__":
    main()
