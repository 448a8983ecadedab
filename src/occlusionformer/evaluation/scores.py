"""Scores of a run: metrics applied to recorded answers, with intervals over pictures. No model is asked here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from occlusionformer.evaluation.benchmark import Answers, BenchmarkItem, Column, Contribution, MetricSpec, ParsedAnswers
from occlusionformer.evaluation.metrics.bootstrap import PairedDifference, interval, paired, ratio
from occlusionformer.evaluation.parse_answers import parse_answer

JudgedPicture = tuple[str, BenchmarkItem, Answers]
"""One picture: its key, its item, and the answers of the judges."""


@dataclass(frozen=True)
class Score:
    """One column of the results."""

    metric: str
    column: Column
    value: float | None
    """None when it cannot be computed; `status` says why."""
    low: float | None
    high: float | None
    num_images: int
    """Pictures that count in the score; a picture without overlapping pairs does not count for O-mIoU."""
    num_failed: int
    """Pictures with a question that got no usable answer."""
    num_missing: int
    """Pictures with a question that was not asked."""
    keys: tuple[str, ...] = ()
    totals: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    """What each picture adds: see `metrics.bootstrap`. Empty for scores of the whole set."""

    @property
    def status(self) -> str:
        """`ok`, `partial` when judgements are missing, `not run` when all are, `empty` when no picture counts."""
        if self.num_missing:
            return "not run" if self.value is None else "partial"
        return "empty" if self.value is None else "ok"


def score(metrics: Sequence[MetricSpec], judged: Iterable[JudgedPicture]) -> list[Score]:
    """All columns of all metrics. The order of the pictures changes nothing."""
    pictures = sorted(judged, key=lambda picture: picture[0])
    return [found for metric in metrics for found in _columns(metric, pictures)]


def compare(first: Score, second: Score) -> PairedDifference | None:
    """How two methods differ in one column, on the pictures that both have; None when there are none."""
    shared = shared_keys(first, second)
    if not shared:
        return None
    a, weight_a = _over(first, shared)
    b, weight_b = _over(second, shared)
    return paired(a, b, weight_a, weight_b) if any(weight_a) and any(weight_b) else None


def shared_keys(first: Score, second: Score) -> list[str]:
    """The pictures that count in both scores, sorted."""
    return sorted(set(first.keys) & set(second.keys))


def value_over(score: Score, keys: Sequence[str]) -> float | None:
    """The score over some of its pictures alone; None when nothing counts in them."""
    totals, weights = _over(score, keys)
    return ratio(totals, weights) if any(weights) else None


def restricted(score: Score, keys: Collection[str]) -> Score:
    """The score over some of its pictures, with its interval; failures are not counted again."""
    counted = [key for key in score.keys if key in keys]
    totals, weights = _over(score, counted)
    found = interval(totals, weights) if any(weights) else None
    value, low, high = (found.value, found.low, found.high) if found else (None, None, None)
    return replace(
        score,
        value=value,
        low=low,
        high=high,
        num_images=len(counted),
        keys=tuple(counted),
        totals=tuple(totals),
        weights=tuple(weights),
    )


def _over(score: Score, keys: Sequence[str]) -> tuple[list[float], list[float]]:
    """Totals and weights of some pictures, in the order of the keys."""
    places = {key: place for place, key in enumerate(score.keys)}
    chosen = [places[key] for key in keys]
    return [score.totals[place] for place in chosen], [score.weights[place] for place in chosen]


@dataclass
class _ParsedPictures:
    """Pictures with their answers parsed for a metric, one after another."""

    metric: MetricSpec
    pictures: Sequence[JudgedPicture]
    num_failed: int = 0

    def __iter__(self) -> Iterator[tuple[str, BenchmarkItem, ParsedAnswers]]:
        for key, item, answers in self.pictures:
            read = {question: parse_answer(question, answers[question], item) for question in self.metric.needs}
            self.num_failed += any(answer is None for answer in read.values())
            yield key, item, read


def _columns(metric: MetricSpec, pictures: Sequence[JudgedPicture]) -> Iterator[Score]:
    asked = [picture for picture in pictures if all(question in picture[2] for question in metric.needs)]
    num_missing = len(pictures) - len(asked)
    reading = _ParsedPictures(metric, asked)
    if metric.of_set is not None:
        values = metric.of_set((item, read) for _, item, read in reading) if asked else {}
        for column in metric.columns:
            value = values.get(column.name)
            num_images = 0 if value is None else len(asked)
            yield Score(metric.name, column, value, None, None, num_images, reading.num_failed, num_missing)
        return
    assert metric.of_image is not None
    added: dict[str, list[tuple[str, Contribution]]] = {column.name: [] for column in metric.columns}
    for key, item, read in reading:
        for name, contribution in metric.of_image(item, read).items():
            if contribution is not None:
                added[name].append((key, contribution))
    for column in metric.columns:
        yield _score(metric, column, added[column.name], (reading.num_failed, num_missing))


def _score(
    metric: MetricSpec, column: Column, added: Sequence[tuple[str, Contribution]], counts: tuple[int, int]
) -> Score:
    keys = tuple(key for key, _ in added)
    totals = tuple(float(contribution.total) for _, contribution in added)
    weights = tuple(float(contribution.weight) for _, contribution in added)
    found = interval(totals, weights) if any(weights) else None
    value, low, high = (found.value, found.low, found.high) if found else (None, None, None)
    return Score(metric.name, column, value, low, high, len(keys), *counts, keys, totals, weights)
