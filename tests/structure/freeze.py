"""What other people's programs may rely on: public names and command line options, kept in two JSON files.

    python -m tests.structure.freeze

writes them anew; the difference is then there to be reviewed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from occlusionformer.apps.cli import app
from tests.structure.sources import sources

HERE = Path(__file__).parent
PUBLIC_API = HERE / "public_api.json"
CLI_OPTIONS = HERE / "cli_options.json"


def public_api() -> dict[str, list[str]]:
    """Names by module: of a package what it exports, and where it exports nothing, of each of its modules.

    Programs are no library: their face is the command line.
    """
    found = sources()
    exports = {source.module: source.exported() for source in found if source.path.name == "__init__.py"}
    api: dict[str, list[str]] = {}
    for source in found:
        package = source.module if source.path.name == "__init__.py" else source.module.rpartition(".")[0]
        if source.part == "apps":
            continue
        if exports.get(source.module):
            api[source.module] = exports[source.module]
        elif not exports.get(package) and not _is_inside(package, exports) and (names := source.public_names()):
            api[source.module] = names
    return api


def _is_inside(package: str, exports: dict[str, list[str] | None]) -> bool:
    """Whether a package further out exports names already."""
    parents = package.split(".")
    return any(exports.get(".".join(parents[:length])) for length in range(1, len(parents)))


def cli_options() -> dict[str, list[str]]:
    """Arguments and options by command, in their order."""
    return dict(sorted(_commands(typer.main.get_command(app), ()).items()))


def _commands(command: Any, path: tuple[str, ...]) -> dict[str, list[str]]:
    """A command by its full name, or all commands of a group."""
    found = {" ".join(path): [_written(parameter) for parameter in command.params]} if path else {}
    for name, inner in getattr(command, "commands", {}).items():
        found |= _commands(inner, (*path, name))
    return found


def _written(parameter: Any) -> str:
    """An option with its short form, an argument as the usage line names it."""
    is_option = parameter.opts[0].startswith("-")
    return "/".join(parameter.opts) if is_option else parameter.metavar or parameter.name.upper()


def main() -> None:
    for path, value in ((PUBLIC_API, public_api()), (CLI_OPTIONS, cli_options())):
        path.write_text(json.dumps(value, indent=2) + "\n")


if __name__ == "__main__":
    main()
