"""Output files of a command, written together or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

LONGEST_NAME = 40
"""Characters of an instance's id in a file name."""


def picture_problems(option: str, path: Path) -> list[str]:
    """Problems with writing a PNG to this path."""
    if path.suffix.lower() != ".png":
        return [f"{option}: expected a name ending in .png, got {str(path)!r}"]
    return folder_problems(option, path)


def folder_problems(option: str, path: Path) -> list[str]:
    """Problems with writing a file to this path."""
    if path.is_dir():
        return [f"{option}: expected a file, got the folder {str(path)!r}"]
    if not path.absolute().parent.is_dir():
        return [f"{option}: expected a file in an existing folder, got {str(path)!r}"]
    return []


def beside(output: Path, what: str) -> Path:
    """`out.png` with a word for another picture: `out-overlay.png`."""
    return output.with_name(f"{output.stem}-{what}.png")


def mask_path(output: Path, place: int, identifier: str) -> Path:
    """`out-mask-1-cat.png`: the number of the instance, from 1, keeps names apart whatever the ids are."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", identifier).strip("_")[:LONGEST_NAME]
    return beside(output, f"mask-{place + 1}-{plain}" if plain else f"mask-{place + 1}")


def write_together(writers: Mapping[Path, Callable[[Path], None]]) -> None:
    """Write every file; when one fails or the user interrupts, those that are new are taken away again."""
    new: list[Path] = []
    try:
        for path, write in writers.items():
            if not path.exists():
                new.append(path)
            write(path)
    except BaseException:
        for path in new:
            path.unlink(missing_ok=True)
        raise
