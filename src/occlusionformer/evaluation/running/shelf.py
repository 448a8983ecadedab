"""Pictures that several runs share: named by all that decides their pixels, so that none is drawn twice."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import occlusionformer
from occlusionformer.generation import GenerationRequest
from occlusionformer.layout import write_atomic


@dataclass(frozen=True, kw_only=True)
class PictureShelf:
    """A folder of pictures of one model."""

    folder: Path
    model: str
    weights: str
    """Digest of everything the model is loaded from: pictures of other weights are other pictures."""

    def path(self, key: str, request: GenerationRequest) -> Path:
        """Where the picture of a request is, or will be."""
        decides = {
            **vars(request),
            "layout": request.layout.model_dump(mode="json"),
            "model": self.model,
            "weights": self.weights,
            "version": occlusionformer.__version__,
        }
        name = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
        return self.folder / f"{key}-{name}.png"

    def take(self, key: str, request: GenerationRequest, place: Path) -> bool:
        """Put the picture of a request in its place; False where the shelf does not have it."""
        return _link(self.path(key, request), place)

    def keep(self, key: str, request: GenerationRequest, place: Path) -> None:
        """Take a picture that was just drawn onto the shelf."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _link(place, self.path(key, request))


def _link(source: Path, place: Path) -> bool:
    """One file under two names where the system can do that, else a copy; False without a source."""
    if not source.is_file():
        return False
    try:
        os.link(source, place)
    except FileExistsError:
        pass
    except OSError:
        write_atomic(place, source.read_bytes())
    return True
