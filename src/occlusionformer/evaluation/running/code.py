"""Versions of the code that is running, and its commit where the package is a working tree. No torch."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import occlusionformer
from occlusionformer.evaluation.judgement import Json

LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "pillow")


def code_version() -> dict[str, Json]:
    """`commit` is None for an installed package; `changed` says whether the tree differs from it."""
    commit, changed = _working_tree()
    return {
        "occlusionformer": occlusionformer.__version__,
        "commit": commit,
        "changed": changed,
        "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
    }


@cache
def _working_tree() -> tuple[str | None, bool | None]:
    """Commit, and whether files differ from it, when it is first asked for: what is edited later is not what runs."""
    root = Path(occlusionformer.__file__).parent
    if not _git(root, "ls-files", "__init__.py"):
        return None, None
    return _git(root, "rev-parse", "HEAD"), bool(_git(root, "status", "--porcelain", "--", str(root)))


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
