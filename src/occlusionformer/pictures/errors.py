"""The one error that a picture file ends in."""

from __future__ import annotations


class PictureError(ValueError):
    """A file that is no picture, or one that is not taken. The message begins with the file's name."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem

    def __reduce__(self) -> tuple[type[PictureError], tuple[str, str]]:
        return PictureError, (self.name, self.problem)
