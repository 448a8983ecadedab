"""Large files written in pieces and moved into place when complete."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from occlusionformer.layout.atomic import flush_folder


class Staged:
    """A file on its way to `target`: nobody sees it there before `publish`."""

    def __init__(self, target: str | Path) -> None:
        self.target = Path(os.path.realpath(target))
        self._path = self.target.with_name(f".{self.target.name[:100]}.{secrets.token_hex(8)}.tmp")
        self._file = self._path.open("xb")
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes."""
        self._hash.update(data)
        with self._named():
            written = self._file.write(data)
        self.size += written
        return written

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far, in hexadecimal."""
        return self._hash.hexdigest()

    def seal(self) -> None:
        """Flush everything to the disk."""
        if not self._file.closed:
            with self._named():
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()

    def publish(self) -> None:
        """Move the file into its place, replacing what is there."""
        self.seal()
        os.replace(self._path, self.target)
        flush_folder(self.target.parent)

    def discard(self) -> None:
        """Leave nothing behind; does nothing once published.

        On a full disk closing raises once more, for what is still to be written, and closes all the same.
        """
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Add the path to errors of the system, which for a full disk name none."""
        try:
            yield
        except OSError as error:
            if error.errno is not None:
                error.filename = error.filename or str(self.target)
            raise


@contextmanager
def replaced(path: str | Path) -> Iterator[Staged]:
    """A file to write to that takes the place of `path` when the block ends, and vanishes when it fails."""
    staged = Staged(path)
    try:
        yield staged
        staged.publish()
    finally:
        staged.discard()
