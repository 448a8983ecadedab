"""The table of a result, the settings behind it, and both as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from occlusionformer.evaluation.judgement import canonical
from occlusionformer.evaluation.reports.difficulty import main_scores
from occlusionformer.evaluation.reports.numbers import column_title, is_shown, number_text, value_text
from occlusionformer.evaluation.reports.published import (
    judge_text,
    published_headers,
    published_heading,
    published_rows,
)
from occlusionformer.evaluation.running.result import Result


def table_headers(result: Result) -> list[str]:
    return ["metric", result.method, "95% interval", "pictures", "failed", "judge", "note"]


def table_rows(result: Result) -> list[list[str]]:
    """A row for every score. A number that does not exist is "not run" or "none", never 0."""
    notes = {entry["column"]["name"]: entry["why"] for entry in result.document["scores"]}
    return [
        [
            column_title(each.column),
            value_text(each),
            "" if each.low is None else f"{number_text(each.low)} to {number_text(each.high)}",
            str(each.num_images),
            str(each.num_failed),
            judge_text(result, each),
            notes[each.column.name] or "",
        ]
        for each in result.scores
        if is_shown(each)
    ]


def group_headers(result: Result) -> list[str]:
    columns = (column_title(score.column) for score in main_scores(result))
    return ["group", "pictures", *columns]


def group_rows(result: Result) -> list[list[str]]:
    """A row for every group of pictures, with the scores that tables always show."""
    shown = {score.column.name for score in main_scores(result)}
    counts = {group["name"]: len(group["keys"]) for group in result.document.get("groups", ())}
    return [
        [name, str(counts[name]), *(value_text(score) for score in scores if score.column.name in shown)]
        for name, scores in result.groups.items()
    ]


def facts(result: Result) -> list[tuple[str, str]]:
    """Every setting that moves a number, by name."""
    run = result.document["run"]
    drawn = result.document["drawn"]
    rows = [("benchmark", f"{run['benchmark']['title']} ({run['benchmark']['name']})")]
    rows += [(f"benchmark: {name}", _plain(value)) for name, value in sorted(run["benchmark"]["settings"].items())]
    rows += [("items", f"{items_text(result)}, digest {run['items']['digest'][:16]}")]
    if drawn["conditioned"] is not None:
        conditioned = drawn["conditioned"]
        rows.append((f"drawn with the {conditioned['on']}", f"{conditioned['number']} of {drawn['number']}"))
    rows += [("method", run["method"]), ("model", run["model"] or f"pictures in {run['pictures']}")]
    rows += [("weights", run["weights"])] if "weights" in run else []
    rows += [(f"drawing: {name}", _plain(value)) for name, value in sorted((run["drawing"] or {}).items())]
    rows += [(f"drawn with ({place + 1})", _plain(way)) for place, way in enumerate(drawn["ways"])]
    for judge in result.document["judges"]:
        who = _plain(judge["identity"]) if judge["identity"] else f"not run: {judge.get('unavailable', 'never asked')}"
        rows.append((f"judge {judge['spec']}", who))
    metrics = {entry["metric"]: entry["settings"] for entry in result.document["scores"]}
    rows += [(f"metric {name}", _plain(settings)) for name, settings in metrics.items()]
    rows += [("config", run["config"]), ("code", _plain(run["code"]))]
    return rows


def items_text(result: Result) -> str:
    """How many pictures there are, of how many the benchmark has."""
    run = result.document["run"]
    whole = run["benchmark"]["settings"].get("num_items", run["items"]["number"])
    return f"{result.document['drawn']['number']:,} of {whole:,} items"


def markdown_table(result: Result) -> str:
    """Table, published figures, notes and settings as Markdown."""
    run = result.document["run"]
    lines = [f"# {run['benchmark']['title']}: {result.method}", "", f"{items_text(result)}.", ""]
    lines += _markdown(table_headers(result), table_rows(result))
    if (heading := published_heading(result)) is not None and (rows := published_rows(result)):
        lines += ["", "## Published figures", "", heading, "", *_markdown(published_headers(result), rows)]
    if result.groups:
        lines += ["", "## Groups of pictures", "", *_markdown(group_headers(result), group_rows(result))]
    lines += ["", *(f"- {note}" for note in run["benchmark"]["notes"])] if run["benchmark"]["notes"] else []
    lines += ["", *_markdown(["setting", "value"], facts(result))]
    return "\n".join(lines) + "\n"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else canonical(value)


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [headers, ["---"] * len(headers), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]
