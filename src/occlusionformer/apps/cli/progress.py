"""Progress on stderr: a bar on a terminal, nothing anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class DrawingProgress:
    """A progress bar for loading the model and then for its steps."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("loading the model", total=None)

    def on_step(self, step: int, total: int) -> None:
        """Callback for `on_step` of a generator."""
        self._progress.update(self._task, description="drawing", completed=step, total=total)


@contextmanager
def drawing_progress() -> Iterator[DrawingProgress]:
    """Removed from the terminal afterwards."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with progress if console.is_terminal else nullcontext():  # even a disabled bar of older rich ends with a new line
        yield DrawingProgress(progress)


@contextmanager
def counting_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for work in parts: called with what is being done, how much of it is, and how much there is."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with progress if console.is_terminal else nullcontext():
        task = progress.add_task("", total=None)

        def count(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        yield count
