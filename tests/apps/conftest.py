"""Running the command line in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from occlusionformer.apps.cli import draw_request, main
from tests.apps.painter import Painter


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Run]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    def run_command(*arguments: object) -> Run:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Run(stop.value.code, captured.out, captured.err)

    return run_command


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    """Stands in for every model; `painter.model` and `painter.precision` then tell what was asked for."""
    painter = Painter()

    def load(spec: str, *, precision: str | None) -> Painter:
        painter.model, painter.precision = spec, precision
        return painter

    monkeypatch.setattr(draw_request, "load_generator", load)
    return painter


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
