"""Public names and options change only together with the files that list them."""

from __future__ import annotations

import json

from tests.structure.freeze import CLI_OPTIONS, PUBLIC_API, cli_options, public_api


def test_public_names():
    assert public_api() == json.loads(PUBLIC_API.read_text())


def test_command_line_options():
    assert cli_options() == json.loads(CLI_OPTIONS.read_text())
