"""Two methods on the same layouts: how they differ, how sure that is, and what it looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from markupsafe import Markup

from occlusionformer.evaluation.benchmark import Item
from occlusionformer.evaluation.judgement import Json
from occlusionformer.evaluation.metrics.bootstrap import Paired
from occlusionformer.evaluation.reports.pictures import thumbnail
from occlusionformer.evaluation.reports.writing import CASES, per_picture
from occlusionformer.evaluation.running.folder import RunFolder
from occlusionformer.evaluation.running.result import Result
from occlusionformer.evaluation.scores import Score, compare
from occlusionformer.reporting import Section, figure, gallery, page, table, text

HEADERS = ("metric", "first", "second", "difference", "95% interval", "p", "better", "equal", "worse", "note")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One column of two results."""

    first: Score
    second: Score
    paired: Paired | None
    """First minus second, on the pictures that both have."""
    why: str | None
    """Why there is no difference to be told."""

    def as_json(self) -> dict[str, Json]:
        return {
            "column": self.first.column.name,
            "title": self.first.column.title,
            "higher_is_better": self.first.column.higher_is_better,
            "first": self.first.value,
            "second": self.second.value,
            "paired": None if self.paired is None else asdict(self.paired),
            "why": self.why,
        }

    def cells(self) -> list[str | float | int | None]:
        """A row of the table; better and worse are meant for the first method."""
        pair = self.paired
        name, up = self.first.column.title, self.first.column.higher_is_better
        start = [f"{name} {'↑' if up else '↓'}", self.first.value, self.second.value]
        if pair is None:
            return [*start, None, "", None, None, None, None, self.why]
        better, worse = (pair.wins, pair.losses) if up else (pair.losses, pair.wins)
        interval = f"{pair.low:.3f} to {pair.high:.3f}"
        return [*start, pair.difference, interval, pair.p_value, better, pair.ties, worse, self.why or ""]

    def line(self) -> str:
        """For a terminal."""
        name = self.first.column.title
        if self.paired is None:
            return f"{name}: {self.why}"
        pair = self.paired
        return f"{name}: {pair.difference:+.4f} ({pair.low:+.4f} to {pair.high:+.4f}), p {pair.p_value:.3f}"


def compare_results(first: Result, second: Result) -> list[Comparison]:
    """Every column both have.

    Raises ValueError for results of different benchmarks: their numbers have nothing to do with each other.
    """
    problems = []
    for name, of in (("benchmark", "benchmark"), ("items", "items")):
        a, b = first.document["run"][of], second.document["run"][of]
        if _essence(a) != _essence(b):
            problems.append(f"{name}: expected the same on both sides, got {_essence(a)} and {_essence(b)}")
    if problems:
        raise ValueError("\n".join(problems))
    others = {(score.metric, score.column.name): score for score in second.scores}
    judges = [{(e["metric"], e["column"]["name"]): e["judges"] for e in r.document["scores"]} for r in (first, second)]
    found = []
    for score in first.scores:
        place = (score.metric, score.column.name)
        if place in others:
            found.append(_comparison(score, others[place], judges[0][place] == judges[1][place]))
    return found


def comparison_page(first: Result, second: Result, rows: Sequence[Comparison]) -> str:
    """The comparison as HTML, with the layouts on which the methods differ most side by side."""
    names = f"{first.method} and {second.method}"
    sections = [Section("Results", Markup("").join([text(_legend(first, second)), table(HEADERS, _cells(rows))]))]
    shown = next((row for row in rows if row.paired is not None), None)
    if shown is not None and first.path is not None:
        items = {item.key: item for item in RunFolder(first.path).items()}
        sections += _cases(first, second, shown, items)
    return page(f"{first.document['run']['benchmark']['title']}: {names}", sections)


def _comparison(first: Score, second: Score, same_judges: bool) -> Comparison:
    if not same_judges:
        return Comparison(first=first, second=second, paired=None, why="judged by different judges")
    missing = [name for name, score in (("first", first), ("second", second)) if score.value is None]
    if missing:
        return Comparison(first=first, second=second, paired=None, why=f"no number for the {' and the '.join(missing)}")
    found = compare(first, second)
    if found is None:
        why = "no picture by itself" if not first.keys else "no picture in common"
        return Comparison(first=first, second=second, paired=None, why=why)
    shared = len(set(first.keys) & set(second.keys))
    partial = None if shared == len(first.keys) == len(second.keys) else f"over the {shared} pictures both have"
    return Comparison(first=first, second=second, paired=found, why=partial)


def _essence(value: Mapping[str, Json]) -> Mapping[str, Json]:
    """What must agree; published figures and notes may have been corrected in between."""
    return {name: field for name, field in value.items() if name not in ("reported", "notes", "title", "metrics")}


def _legend(first: Result, second: Result) -> str:
    return f"First: {first.method}. Second: {second.method}. Differences are the first minus the second."


def _cells(rows: Sequence[Comparison]) -> list[list[str | float | int | None]]:
    return [row.cells() for row in rows]


def _cases(first: Result, second: Result, row: Comparison, items: Mapping[str, Item]) -> list[Section]:
    left, right = per_picture(row.first), per_picture(row.second)
    sign = 1 if row.first.column.higher_is_better else -1
    gains = {key: sign * (left[key] - right[key]) for key in left.keys() & right.keys()}
    ranked = sorted(gains, key=lambda key: (-gains[key], key))
    ends = {
        f"{first.method} is better": [key for key in ranked if gains[key] > 0][:CASES],
        f"{second.method} is better": [key for key in ranked[::-1] if gains[key] < 0][:CASES],
    }
    title = row.first.column.title
    sections = []
    for heading, keys in ends.items():
        figures = []
        for key in keys:
            for result, values in ((first, left), (second, right)):
                picture = thumbnail(result, items[key])
                if picture is not None:
                    figures.append(figure(picture, f"{key}, {result.method}: {title} {values[key]:.3f}"))
        if figures:
            sections.append(Section(f"{heading} by {title}", gallery(figures)))
    return sections
