"""One file a method: what its folders of recordings hold, and how a case is run through the public loader.

A checker module has FILES, the files of every kind of weights it can be loaded from (all of a kind must be there),
NEEDED, the files beside them, and `run(folder, kind)`, which yields (case, differences) for every case.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

CHECKERS = {
    "occlusionformer": "tests.golden.checkers.occlusionformer",
    "instanceassemble": "tests.golden.checkers.instanceassemble",
    "creatilayout": "tests.golden.checkers.creatilayout",
    "eligen": "tests.golden.checkers.eligen",
    "gligen": "tests.golden.checkers.gligen",
    "larender": "tests.golden.checkers.larender",
}
"""By the first word of a recording's `method`, in small letters; a folder that names none is OcclusionFormer's."""


class UnknownRecordingError(ValueError):
    """No checker knows the method that a folder names."""


def recognised(folder: Path) -> tuple[str, ModuleType]:
    """The method a folder was recorded from, and its checker."""
    named = json.loads((folder / "cases.json").read_text()).get("method", "occlusionformer")
    words = str(named).lower().split()
    name = words[0] if words else ""
    if name not in CHECKERS:
        raise UnknownRecordingError(f"method: expected one of {', '.join(CHECKERS)}, got {named!r}")
    return name, import_module(CHECKERS[name])
