"""Starting the command line, and using it wrongly."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from occlusionformer.apps.cli import app
from tests.apps.conftest import Command
from tests.apps.examples import TWO_FRUITS
from tests.tables import for_each

COMMANDS = ["generate", "orders", "validate", "convert", "inspect", "schema", "vocabulary", "train", "study", "publish"]
WITHOUT_RESULT = ["studio"]
"""Commands that run until they are stopped."""


def test_help_lists_the_commands(run: Command):
    result = run("--help")
    assert result.code == 0
    assert [name for name in COMMANDS if name in result.out] == COMMANDS


@for_each("command", COMMANDS)
def test_every_command_has_help_and_speaks_json(command: str, run: Command):
    result = run(command, "--help")
    assert (result.code, "--json" in result.out) == (0, True)


@pytest.mark.parametrize(
    "arguments", [["generate"], ["draw"], ["validate", "x", "--nothing"], ["generate", "x", "--seed", "one"]]
)
def test_wrong_usage_is_bad_input(arguments: list[str], run: Command):
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "Traceback" not in result.err
    result = run(*arguments, "--json")
    assert (result.code, result.err) == (2, "")
    assert len(result.json["problems"]) == 1


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["validate", str(TWO_FRUITS)], ["schema"]])
def test_light_commands_load_no_torch(arguments: list[str]):
    script = (
        "import json, sys\n"
        "from occlusionformer.apps.cli import main\n"
        "heavy = {'torch', 'numpy', 'diffusers', 'transformers'}\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(json.dumps(sorted(heavy & set(sys.modules))), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stderr)) == (0, [])


def test_commands_are_all_registered():
    assert {command.callback.__name__ for command in app.registered_commands} == {*COMMANDS, *WITHOUT_RESULT}
