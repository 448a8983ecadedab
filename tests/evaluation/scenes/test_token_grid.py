"""The tool that looks for the grid of tokens finds one where one is, at its own frequency alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

TOOLS = Path(__file__).resolve().parents[3] / "tools"


@pytest.fixture(autouse=True)
def beside_the_tools(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)


def noise(seed):
    return np.random.default_rng(seed).uniform(60, 180, size=(96, 128, 3))


def picture(values):
    return Image.fromarray(values.astype(np.uint8))


def test_a_grid_is_found_at_its_own_period_and_blur_takes_fine_ones_away():
    from token_grid import PERIODS, energy, ratio

    true = np.array([[energy(picture(noise(seed)), period) for period in PERIODS] for seed in range(8)])
    seams = 30.0 * (np.arange(128) % 16 < 8)[None, :, None]
    drawn = np.array([[energy(picture(noise(seed) + seams), period) for period in PERIODS] for seed in range(8)])
    of_tokens, of_latents, of_cells = (ratio(drawn[:, k], true[:, k])[0] for k in range(len(PERIODS)))
    assert of_tokens > 5
    assert of_latents == pytest.approx(1, abs=0.2)
    assert of_cells == pytest.approx(1, abs=0.2)
    value, low, high = ratio(true[:, 0], true[:, 0])
    assert (value, low, high) == (1, 1, 1)


def test_pictures_are_compared_with_their_own_truth(tmp_path, monkeypatch):
    import token_grid

    items = [SimpleNamespace(key=f"scene-{k}", reference=lambda k=k: picture(noise(k))) for k in range(3)]
    monkeypatch.setattr(token_grid, "load_benchmark", lambda name, source_settings: SimpleNamespace(items=items))
    for item in items[1:]:
        item.reference().save(tmp_path / f"{item.key}.png")
    found = list(token_grid.pairs(tmp_path, "world-simple", 1))
    assert len(found) == 2
    assert all(np.array_equal(np.asarray(drawn), np.asarray(true)) for drawn, true in found)


def test_a_folder_without_pictures_is_refused(tmp_path):
    command = [sys.executable, TOOLS / "token_grid.py", tmp_path]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert f"pictures: expected a folder of PNG pictures, got {tmp_path}" in refused.stderr
