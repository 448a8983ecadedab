"""Two results on the pictures both have: how they differ, how sure that is, and what it looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from markupsafe import Markup

from occlusionformer.evaluation.benchmark import Question
from occlusionformer.evaluation.judgement import Json
from occlusionformer.evaluation.metrics.bootstrap import PairedDifference
from occlusionformer.evaluation.reports.cases import CASES, layout_case, per_picture
from occlusionformer.evaluation.reports.labels import labels
from occlusionformer.evaluation.reports.numbers import column_title, number_text
from occlusionformer.evaluation.running.folder import RunFolder
from occlusionformer.evaluation.running.result import Result, judgements_in
from occlusionformer.evaluation.scores import Score, compare, shared_keys, value_over
from occlusionformer.reporting import Section, page, table, text

MOST_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One column of two results, over the pictures that both have."""

    first: Score
    second: Score
    first_value: float | None
    second_value: float | None
    """The scores over the common pictures."""
    num_common: int
    paired: PairedDifference | None
    """First minus second."""
    why: str | None
    """Why there is no difference to be told."""

    def as_json(self) -> dict[str, Json]:
        return {
            "column": self.first.column.name,
            "title": self.first.column.title,
            "higher_is_better": self.first.column.higher_is_better,
            "first": self.first_value,
            "second": self.second_value,
            "pictures": self.num_common,
            "paired": None if self.paired is None else asdict(self.paired),
            "why": self.why,
        }

    def cells(self) -> list[str | float | int | None]:
        """A row of the table; better and worse are meant for the first result."""
        pair = self.paired
        start = [column_title(self.first.column), self.first_value, self.second_value, self.num_common]
        if pair is None:
            return [*start, None, "", None, None, None, None, self.why]
        better: int | None = pair.wins
        worse: int | None = pair.losses
        if self.first.column.target is not None:
            better = worse = None
        elif not self.first.column.higher_is_better:
            better, worse = worse, better
        interval = f"{pair.low:.3f} to {pair.high:.3f}"
        return [*start, pair.difference, interval, pair.p_value, better, pair.ties, worse, self.why or ""]

    def line(self) -> str:
        """For a terminal."""
        name = self.first.column.title
        if self.paired is None:
            return f"{name}: {self.why}"
        pair = self.paired
        values = f"{number_text(self.first_value)} and {number_text(self.second_value)}"
        interval = f"{pair.low:+.4f} to {pair.high:+.4f}"
        return f"{name}: {values}, difference {pair.difference:+.4f} ({interval}), p {pair.p_value:.3f}"


def compare_results(first: Result, second: Result) -> list[Comparison]:
    """Every column that both results have, over the pictures that both have.

    Raises ValueError for results of different benchmarks, and where items of one key are not the same in both.
    """
    problems = _benchmark_problems(first, second) or _item_problems(first, second)
    if problems:
        raise ValueError("\n".join(problems))
    others = {(score.metric, score.column.name): score for score in second.scores}
    told = [{(e["metric"], e["column"]["name"]): e for e in result.document["scores"]} for result in (first, second)]
    are_same = _drawn(first).keys() == _drawn(second).keys()
    rows = []
    for score in first.scores:
        place = (score.metric, score.column.name)
        other = others.get(place)
        if other is None or (score.column.is_detail and score.value is None and other.value is None):
            continue
        rows.append(_comparison(score, other, _difference(told[0][place], told[1][place]), are_same))
    return rows


def num_common(first: Result, second: Result) -> int:
    """How many items both results have a picture of."""
    return len(_drawn(first).keys() & _drawn(second).keys())


def comparison_page(first: Result, second: Result, rows: Sequence[Comparison]) -> str:
    """The comparison as HTML, with the layouts on which the results differ most side by side."""
    names = labels([first, second])
    headers = ("metric", *names, "pictures", "difference", "95% interval", "p", "better", "equal", "worse", "note")
    body = [text(_explanation(first, second, names)), table(headers, [row.cells() for row in rows])]
    sections = [Section("Results", Markup("").join(body))]
    shown = next((row for row in rows if row.paired is not None), None)
    if shown is not None and first.path is not None and second.path is not None:
        sections += _cases((first, second), names, shown)
    return page(f"{first.document['run']['benchmark']['title']}: {names[0]} and {names[1]}", sections)


def _explanation(first: Result, second: Result, names: Sequence[str]) -> str:
    counts = [len(_drawn(result)) for result in (first, second)]
    common = num_common(first, second)
    return (
        f"Both sides are scored over the {common:,} pictures they have in common "
        f"({names[0]} has {counts[0]:,}, {names[1]} has {counts[1]:,}). Differences are {names[0]} minus {names[1]}."
    )


def _comparison(first: Score, second: Score, difference: str | None, are_same: bool) -> Comparison:
    shared = shared_keys(first, second)
    is_of_set = not first.keys and not second.keys and first.value is not None and second.value is not None
    values = (first.value, second.value) if is_of_set else (value_over(first, shared), value_over(second, shared))
    common = min(first.num_images, second.num_images) if is_of_set and are_same else len(shared)
    if is_of_set and not are_same:
        values = (None, None)
    paired, why = None, difference
    missing = [name for name, score in (("first", first), ("second", second)) if score.value is None]
    if why is None and missing:
        why = f"no number for the {' and the '.join(missing)}"
    elif why is None and is_of_set:
        why = "no picture by itself" if are_same else "of different pictures"
    elif why is None:
        paired = compare(first, second)
        why = "no picture in common" if paired is None else None
    return Comparison(
        first=first,
        second=second,
        first_value=values[0],
        second_value=values[1],
        num_common=common,
        paired=paired,
        why=why,
    )


def _difference(first: Mapping[str, Json], second: Mapping[str, Json]) -> str | None:
    """Why two scores of one column are of different things."""
    if first["judges"] != second["judges"]:
        return "judged by different judges"
    return "scored with different settings" if first["settings"] != second["settings"] else None


def _benchmark_problems(first: Result, second: Result) -> list[str]:
    a, b = (_essence(result) for result in (first, second))
    return [f"benchmark: expected the same on both sides, got {a} and {b}"] if a != b else []


def _essence(result: Result) -> dict[str, Json]:
    """What makes a benchmark the same; files and rows may differ, since items are compared one by one."""
    benchmark = result.document["run"]["benchmark"]
    return {
        "name": benchmark["name"],
        "source": benchmark["settings"].get("source"),
        "conditions_on": benchmark["conditions_on"],
    }


def _item_problems(first: Result, second: Result) -> list[str]:
    left, right = _drawn(first), _drawn(second)
    if None in {*left.values(), *right.values()}:
        same = first.document["run"]["items"] == second.document["run"]["items"]
        return [] if same else ["items: expected the same on both sides, since an older result does not name its items"]
    differing = sorted(key for key in left.keys() & right.keys() if left[key] != right[key])
    if not differing:
        return []
    more = f" and {len(differing) - MOST_SHOWN} more" if len(differing) > MOST_SHOWN else ""
    named = ", ".join(differing[:MOST_SHOWN]) + more
    return [f"items: expected the same layouts and truths on both sides, they differ for {named}"]


def _drawn(result: Result) -> Mapping[str, str | None]:
    """The digest of every item with a picture, by key; None in results that do not have them."""
    found = result.document.get("item digests")
    return dict.fromkeys(result.document["difficulty"]) if found is None else found


def _cases(results: tuple[Result, Result], names: Sequence[str], row: Comparison) -> list[Section]:
    left, right = per_picture(row.first), per_picture(row.second)
    merit = row.first.column.merit
    gains = {key: merit(left[key]) - merit(right[key]) for key in left.keys() & right.keys()}
    ranked = sorted(gains, key=lambda key: (-gains[key], key))
    ends = {
        f"{names[0]} is better": [key for key in ranked if gains[key] > 0][:CASES],
        f"{names[1]} is better": [key for key in ranked[::-1] if gains[key] < 0][:CASES],
    }
    stores = [judgements_in(RunFolder(result.path)) for result in results if result.path is not None]
    items = {item.key: item for item in RunFolder(results[0].path).items()} if results[0].path is not None else {}
    title = row.first.column.title
    sections = []
    for heading, keys in ends.items():
        cases = []
        for key in keys:
            drawn = []
            for result, name, store, values in zip(results, names, stores, (left, right), strict=True):
                detected = store.answers(items[key], [Question("detect")]).get(Question("detect"))
                drawn.append((result, f"{name}: {title} {number_text(values[key])}", detected))
            cases.append(layout_case(stores[0].as_drawn(items[key]), drawn))
        if shown := [each for each in cases if each is not None]:
            sections.append(Section(f"{heading} by {title}", Markup("").join(shown)))
    return sections
