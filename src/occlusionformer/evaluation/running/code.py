"""Versions of the code that is running, and its commit where the package is a working tree. No torch."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import occlusionformer
from occlusionformer.evaluation.judgement import Json

LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "pillow")


def code_version() -> dict[str, Json]:
    """`commit` is None for an installed package; `changed` says whether the tree differs from it."""
    root = Path(occlusionformer.__file__).parent
    commit = _git(root, "rev-parse", "HEAD") if _git(root, "ls-files", "__init__.py") else None
    return {
        "occlusionformer": occlusionformer.__version__,
        "commit": commit,
        "changed": None if commit is None else bool(_git(root, "status", "--porcelain", "--", str(root))),
        "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
