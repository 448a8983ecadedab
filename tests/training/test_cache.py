"""Encodings kept on disk give the very losses that fresh ones give."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from .runs import tiny_trainer
from .test_objective import awake, part_of


def test_a_cached_batch_is_the_batch(tmp_path: Path):
    plain = tiny_trainer(tmp_path / "plain")
    cached = tiny_trainer(tmp_path / "cached", f"data.cache={tmp_path / 'encodings'}")
    losses = []
    for trainer in (plain, cached):
        awake(trainer)
        part = part_of(trainer)
        assert (part.encoded is None) == (trainer is plain)
        with torch.no_grad():
            losses.append(trainer.objective(trainer.inputs(part)))
    for fresh, kept in zip(*losses, strict=True):
        torch.testing.assert_close(fresh, kept)


def test_what_is_there_is_not_encoded_again_and_what_is_missing_is(tmp_path: Path):
    folder = tmp_path / "encodings"
    settings = (f"data.cache={folder}", "data.count=70")
    tiny_trainer(tmp_path / "first", *settings)
    files = sorted(folder.glob("*.safetensors"))
    assert [file.name for file in files] == ["000000.safetensors", "000001.safetensors"]
    times = [file.stat().st_mtime_ns for file in files]
    content = files[1].read_bytes()
    files[1].unlink()
    tiny_trainer(tmp_path / "second", *settings)
    assert files[0].stat().st_mtime_ns == times[0]
    assert files[1].read_bytes() == content


def test_encodings_for_other_settings_are_refused(tmp_path: Path):
    folder = tmp_path / "encodings"
    tiny_trainer(tmp_path / "first", f"data.cache={folder}")
    other = tiny_trainer(tmp_path / "second", f"data.cache={folder}", "data.seed=9")
    with pytest.raises(ValueError, match=r"data.cache: .*expected encodings for these settings, got others"):
        part_of(other)
