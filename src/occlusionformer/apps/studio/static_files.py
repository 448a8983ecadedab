"""The files of the editor, as they are shipped with the package."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.responses import Response

from occlusionformer.apps.studio.errors import ApiError

FOLDER = Path(__file__).with_name("static")

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".json": "application/json",
}


class StaticFiles:
    """Serves the files that were there when it was made, and no other."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.suffix in TYPES and path.is_file() and path.resolve().is_relative_to(folder.resolve())
        }

    def response(self, name: str, seen: str | None) -> Response:
        """`seen`: the tag of what the browser has already."""
        path = self._files.get(name)
        if path is None:
            raise ApiError("not_found", "no such path")
        content = path.read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"', "Cache-Control": "no-cache"}
        if seen == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=TYPES[path.suffix])
