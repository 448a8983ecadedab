"""Folders that appear when they are complete, each made by one command at a time."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from occlusionformer.layout.atomic import flush_folder

LONGEST_NAME = 100
"""Characters of a folder's name that its hidden folder repeats."""


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A hidden folder that becomes `target` when the block ends, and vanishes when it fails.

    Raises ValueError when there is something at `target` already, or somebody else is making it. What a killed run
    left beside it is removed.
    """
    final = Path(os.path.abspath(target))
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        raise ValueError(f"{target}: expected a new or empty folder, got one with files")
    made = [folder for folder in (final, *final.parents) if not folder.exists()]
    final.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name[:LONGEST_NAME]}.{secrets.token_hex(8)}.tmp")
    try:
        with _alone(final, target):
            temporary.mkdir()
            yield temporary
            _put_in_place(temporary, final, target)
            flush_folder(final.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in made:
            with suppress(OSError):  # somebody else has put files there
                folder.rmdir()
        raise


def _put_in_place(temporary: Path, final: Path, target: Path) -> None:
    try:
        os.replace(temporary, final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise ValueError(f"{target}: expected an empty folder until the end, got one that has been filled") from None


@contextmanager
def _alone(final: Path, target: Path) -> Iterator[None]:
    """Lock an empty folder against other commands; the system releases it however this one ends."""
    if os.name != "posix":
        yield
        return
    descriptor = os.open(final, os.O_RDONLY)
    try:
        held = _locked(descriptor)
        if held is False or not final.exists() or not os.path.samestat(os.fstat(descriptor), final.stat()):
            raise ValueError(f"{target}: expected a folder for this command alone, got one that another is making")
        if held and len(final.name) <= LONGEST_NAME:
            for left in final.parent.glob(f".{glob.escape(final.name)}.{'[0-9a-f]' * 16}.tmp"):
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool | None:
    """Whether this process has the folder now; None on file systems without locks."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
