"""The error for picture files."""

from __future__ import annotations


class PictureError(ValueError):
    """A file is no picture, or not an accepted one. The message begins with the file's name."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem

    def __reduce__(self) -> tuple[type[PictureError], tuple[str, str]]:
        return PictureError, (self.name, self.problem)
