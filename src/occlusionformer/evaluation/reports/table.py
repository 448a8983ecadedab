"""The table of a result: one row for each number, with the published figures beside it."""

from __future__ import annotations

from collections.abc import Sequence

from occlusionformer.evaluation.judgement import canonical
from occlusionformer.evaluation.running.result import Result
from occlusionformer.evaluation.scores import Score

DIGITS = 4
"""As papers print shares; a FID has two."""
LARGE = 10.0


def table_headers(result: Result) -> list[str]:
    """Our own columns, then a column for every published method."""
    return ["metric", result.method, "95% interval", "pictures", "failed", "note", *_published(result)]


def table_rows(result: Result) -> list[list[str]]:
    """A number that does not exist is "not run" or "none", never 0."""
    reported = result.document["run"]["benchmark"]["reported"]
    notes = {entry["column"]["name"]: entry["why"] for entry in result.document["scores"]}
    rows = []
    for each in result.scores:
        name = each.column.name
        others = [_number(reported[method].get(name)) for method in _published(result)]
        rows.append(
            [
                f"{each.column.title} {'↑' if each.column.higher_is_better else '↓'}",
                _value(each),
                "" if each.low is None else f"{_number(each.low)} to {_number(each.high)}",
                str(each.num_images),
                str(each.num_failed),
                notes[name] or "",
                *others,
            ]
        )
    return rows


def facts(result: Result) -> list[tuple[str, str]]:
    """Every setting that moves a number, by name."""
    run = result.document["run"]
    drawn = result.document["drawn"]
    rows = [("benchmark", f"{run['benchmark']['title']} ({run['benchmark']['name']})")]
    rows += [(f"benchmark: {name}", _plain(value)) for name, value in sorted(run["benchmark"]["settings"].items())]
    rows += [("items", f"{drawn['number']} of {run['items']['number']}, digest {run['items']['digest'][:16]}")]
    if drawn["conditioned"] is not None:
        conditioned = drawn["conditioned"]
        rows.append((f"drawn with the {conditioned['on']}", f"{conditioned['number']} of {drawn['number']}"))
    rows += [("method", run["method"]), ("model", run["model"] or f"pictures in {run['pictures']}")]
    rows += [(f"drawing: {name}", _plain(value)) for name, value in sorted((run["drawing"] or {}).items())]
    rows += [(f"drawn with ({place + 1})", _plain(way)) for place, way in enumerate(drawn["ways"])]
    for judge in result.document["judges"]:
        who = _plain(judge["identity"]) if judge["identity"] else f"not run: {judge.get('unavailable', 'never asked')}"
        rows.append((f"judge {judge['spec']}", who))
    metrics = {entry["metric"]: entry["settings"] for entry in result.document["scores"]}
    rows += [(f"metric {name}", _plain(settings)) for name, settings in metrics.items()]
    rows += [("config", run["config"]), ("code", _plain(run["code"]))]
    return rows


def markdown_table(result: Result) -> str:
    """Table, notes and settings as Markdown."""
    run = result.document["run"]
    lines = [f"# {run['benchmark']['title']}: {result.method}", ""]
    lines += _markdown(table_headers(result), table_rows(result))
    lines += ["", *(f"- {note}" for note in run["benchmark"]["notes"])] if run["benchmark"]["notes"] else []
    lines += ["", *_markdown(["setting", "value"], facts(result))]
    return "\n".join(lines) + "\n"


def _published(result: Result) -> list[str]:
    return list(result.document["run"]["benchmark"]["reported"])


def _value(each: Score) -> str:
    if each.value is None:
        return "not run" if each.status == "not run" else "none"
    return _number(each.value)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.{2 if abs(value) >= LARGE else DIGITS}f}"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else canonical(value)


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [headers, ["---"] * len(headers), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]
