"""`--set a.b=value`: settings changed by name, typed, with everything wrong reported at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from occlusionformer.layout.problems import LONGEST_VALUE, Problem, one_of, problems_of_validation, shown
from occlusionformer.training.config import RunConfig, Settings
from occlusionformer.training.method_settings import SETTINGS_OF, defaults_of

Config = TypeVar("Config", bound=Settings)


class SettingsError(ValueError):
    """Settings that do not make a run; `problems` holds one line for each thing wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def override(config: Config, assignments: Sequence[str]) -> Config:
    """The config with `path=value` applied; values are JSON, or text where they are not."""
    values = config.model_dump(mode="json")
    problems = [problem for line in assignments if (problem := _assign(values, line)) is not None]
    return _checked(type(config), values, problems)


def config_of_json(text: str, kind: type[Config] = RunConfig) -> Config:  # type: ignore[assignment]
    """A config as `model_dump_json` wrote it."""
    return _checked(kind, json.loads(text), [])


def _assign(values: dict[str, Any], line: str) -> str | None:
    path, equals, text = line.partition("=")
    if not equals or not path:
        return f"--set: expected path=value, got {shown(line)}"
    *parents, name = path.split(".")
    group: Any = values
    for parent in parents:
        group = group.get(parent) if isinstance(group, dict) else None
    if not isinstance(group, dict):
        return f"{_named(path)}: unknown setting; expected a path that starts with {one_of(values)}"
    if name not in group:
        return f"{_named(path)}: unknown setting; expected {one_of(group)}"
    if path == "model.method":
        return _choose_method(group, text)
    if isinstance(group[name], dict):
        return f"{path}: expected one of its settings, {one_of(f'{path}.{inner}' for inner in group[name])}"
    group[name] = _parsed(text)
    return None


def _named(path: str) -> str:
    """A path that need not be one, as a message may print it."""
    return path if len(path) <= LONGEST_VALUE and path.isprintable() else shown(path)


def _choose_method(model: dict[str, Any], text: str) -> str | None:
    """All settings of the method, at their defaults."""
    try:
        model["method"] = defaults_of(text.strip('"'))
    except KeyError:
        return f"model.method: expected {one_of(SETTINGS_OF)}, got {shown(text)}"
    return None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, more digits than Python reads, or too many levels
        return text


def _checked(kind: type[Config], values: dict[str, Any], problems: list[str]) -> Config:
    try:
        config = kind.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        problems = [*problems, *_lines(error)]
    if problems:
        raise SettingsError(problems)
    return config


def _lines(error: ValidationError) -> list[str]:
    """pydantic's findings in our words; those of a group name their settings themselves."""
    lines: list[str] = []
    for line, problem in zip(
        error.errors(include_url=False), problems_of_validation(error, (), frozenset()), strict=True
    ):
        if line["type"] == "value_error":
            prefix = ".".join(map(str, line["loc"]))
            lines += [f"{prefix}.{text}" for text in str(line["ctx"]["error"]).splitlines()]
        else:
            lines.append(str(Problem(problem.path, problem.text)))
    return lines
