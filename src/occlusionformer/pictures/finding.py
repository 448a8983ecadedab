"""Finds the picture files of a folder, ignoring the case of their suffixes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
"""Of data sets and of folders of pictures; in capitals too, as cameras write them."""


def is_dot_file(path: PurePath) -> bool:
    """Whether a file name begins with a dot; such files are no data: macOS puts `._NAME` beside NAME."""
    return path.name.startswith(".")


def is_picture_name(path: PurePath) -> bool:
    """Whether a file name has the suffix of a picture format."""
    return path.suffix.lower() in PICTURE_ENDINGS and not is_dot_file(path)


def pictures_in(folder: str | Path) -> dict[str, list[Path]]:
    """The pictures of a folder by their names without ending; more than one where endings differ."""
    return pictures_of(Path(folder).iterdir())


def pictures_of(files: Iterable[Path]) -> dict[str, list[Path]]:
    """The pictures among some files, by their names without suffix."""
    found: dict[str, list[Path]] = {}
    for path in sorted(files):
        if is_picture_name(path):
            found.setdefault(path.stem, []).append(path)
    return found


def find_picture(folder: str | Path, name: str | PurePath) -> Path | None:
    """A picture by its path in a folder; where it is not there, the one whose ending differs in case alone."""
    path = Path(folder) / name
    if path.is_file():
        return path
    return next((other for other in _same_but_for_case(path) if other.is_file()), None)


def _same_but_for_case(path: Path) -> Iterable[Path]:
    ending = path.suffix
    return (path.with_suffix(other) for other in (ending.lower(), ending.upper()) if other != ending)
