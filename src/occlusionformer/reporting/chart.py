"""Curves over a common axis, as inline SVG that follows the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 44
"""Room around the plot for ticks and labels, in pixels."""
LEGEND_LINE = 18
COLOURS = 8
"""How many curves get a colour of their own; the page names them --c0 to --c7."""


def line_chart(series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> Markup:
    """One curve per name through its points in the order given; points that are not finite leave a gap."""
    points = [point for curve in series.values() for point in curve if all(map(math.isfinite, point))]
    if not points:
        return Markup("<p>Nothing to draw yet.</p>\n")
    x_axis = _axis([x for x, _ in points], LEFT, WIDTH - RIGHT)
    y_axis = _axis([y for _, y in points], HEIGHT - BOTTOM, TOP)
    parts = [
        *_grid(x_axis, y_axis),
        *(_curve(curve, place, x_axis, y_axis) for place, curve in enumerate(series.values())),
        *_labels(x_label, y_label),
        *_legend(list(series)),
    ]
    height = HEIGHT + LEGEND_LINE * len(series)
    form = Markup('<svg class="chart" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img">{2}</svg>\n')
    return form.format(WIDTH, height, Markup("").join(parts))


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _axis(values: Sequence[float], start: float, end: float) -> _Axis:
    """Round limits around the values, with four to ten ticks at 1, 2 or 5 times a power of ten."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        spread = abs(low) / 2 or 1.0
        low, high = low - spread, high + spread
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple(count * step for count in range(first, last + 1))
    return _Axis(ticks[0], ticks[-1], start, end, ticks)


def _grid(x_axis: _Axis, y_axis: _Axis) -> list[Markup]:
    line = Markup('<line class="grid" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    label = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    parts: list[Markup] = []
    for tick in x_axis.ticks:
        x = x_axis.place(tick)
        parts += [
            line.format(x, TOP, x, HEIGHT - BOTTOM),
            label.format(x, HEIGHT - BOTTOM + 16, "middle", _short(tick)),
        ]
    for tick in y_axis.ticks:
        y = y_axis.place(tick)
        parts += [line.format(LEFT, y, WIDTH - RIGHT, y), label.format(LEFT - 6, y + 4, "end", _short(tick))]
    return parts


def _curve(points: Sequence[tuple[float, float]], place: int, x_axis: _Axis, y_axis: _Axis) -> Markup:
    steps: list[str] = []
    pen = "M"
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y):
            steps.append(f"{pen}{x_axis.place(x):.1f} {y_axis.place(y):.1f}")
            pen = "L"
        else:
            pen = "M"
    form = Markup('<path class="curve" style="stroke:var(--c{})" d="{}"/>')
    return form.format(place % COLOURS, " ".join(steps))


def _labels(x_label: str, y_label: str) -> list[Markup]:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    below = Markup('<text x="{:.0f}" y="{:.0f}" text-anchor="middle">{}</text>')
    beside = Markup('<text x="14" y="{0:.0f}" text-anchor="middle" transform="rotate(-90 14 {0:.0f})">{1}</text>')
    return [below.format((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label), beside.format(middle, y_label)]


def _legend(names: Sequence[str]) -> list[Markup]:
    form = Markup(
        '<line x1="{0}" y1="{1}" x2="{2}" y2="{1}" style="stroke:var(--c{3});stroke-width:3"/>'
        '<text x="{4}" y="{5}">{6}</text>'
    )
    rows = [HEIGHT + LEGEND_LINE * place + 6 for place in range(len(names))]
    return [
        form.format(LEFT, row, LEFT + 22, place % COLOURS, LEFT + 28, row + 4, name)
        for place, (row, name) in enumerate(zip(rows, names, strict=True))
    ]


def _short(value: float) -> str:
    """A tick as people write it: 0.25, 1200, 3M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            unit = 1e3 if letter == "k" else size
            return f"{value / unit:.6g}{letter}"
    return f"{value:.4g}" if abs(value) > 1e-12 else "0"
