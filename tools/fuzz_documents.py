"""Tries the readers of layouts with spoilt and with costly documents: `python tools/fuzz_documents.py --cases 20000`.

Every case is read, and what was read is ordered, closed, written in every format and made into a request. A case fails
when it ends in anything but the errors the library declares, when one of these steps takes more than SECONDS of
processor time, or when it takes more than MEGABYTES above what the program had when it started. Case N of a seed is
always the same: `--only N` runs it alone.
"""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz_cases import Try, good_documents, spoilt
from fuzz_costly import costly

from occlusionformer.generation import GenerationRequest, RequestError, compose_prompt
from occlusionformer.layout import FORMATS, Layout, LayoutError, ZOrderCycle, read_layouts, write_layouts

SECONDS = 2.0
MEGABYTES = 300
HANGS_AFTER = 60.0
"""Seconds of processor time after which a case is given up."""

DECLARED = (LayoutError, RequestError, ZOrderCycle)
MOST_USED = 3
"""Layouts of a document that are written and drawn; commands refuse those with more instances than MOST_INSTANCES."""
MOST_INSTANCES = 1000


class HangError(BaseException):
    """A case that does not end."""


@dataclass
class Outcome:
    name: str
    form: str
    ended: str
    """`read`, `refused`, or the kind of an error that is not declared."""
    seconds: float
    megabytes: float
    told: str = ""
    """The first problem, or the traceback."""

    def failed(self) -> bool:
        return self.ended not in ("read", "refused") or self.seconds > SECONDS or self.megabytes > MEGABYTES


@dataclass
class Summary:
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    slowest: list[Outcome] = field(default_factory=list)
    largest: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.outcomes[outcome.form, outcome.ended] += 1
        self.slowest = sorted([*self.slowest, outcome], key=lambda each: -each.seconds)[:5]
        self.largest = sorted([*self.largest, outcome], key=lambda each: -each.megabytes)[:5]
        if outcome.failed():
            self.failures.append(outcome)

    def lines(self) -> Iterator[str]:
        for form in FORMATS:
            counts = {ended: count for (each, ended), count in sorted(self.outcomes.items()) if each == form}
            yield f"{form:14s}{', '.join(f'{count} {ended}' for ended, count in counts.items())}"
        for title, worst in (("slowest", self.slowest), ("largest", self.largest)):
            yield f"{title}:"
            yield from (f"  {each.seconds:6.2f} s {each.megabytes:6.0f} MB  {each.form}: {each.name}" for each in worst)
        yield f"{sum(self.outcomes.values())} cases, {len(self.failures)} failed"
        for each in self.failures[:20]:
            yield f"FAILED {each.form}: {each.name}: {each.ended}, {each.seconds:.2f} s, {each.megabytes:.0f} MB"
            yield each.told


def steps(attempt: Try) -> Iterator[Callable[[], Any]]:
    """What is done with a document, one thing after the other."""
    layouts: list[Layout] = []
    yield lambda: layouts.extend(read_layouts(attempt.source, attempt.form, **attempt.options))
    for layout in layouts[:MOST_USED]:
        yield partial(_put_in_order, layout)
        yield partial(GenerationRequest, layout=layout)
        if len(layout.instances) <= MOST_INSTANCES:
            yield from (partial(write_layouts, [layout], form, lossy=True) for form in FORMATS)


def _put_in_order(layout: Layout) -> None:
    order = layout.zorder
    if order is not None:
        order.cycles()
    _ = layout.broken_pairs
    compose_prompt(layout)


class Meter:
    """Time and memory of one case at a time, in this process, beyond what is in use when the meter is made."""

    def __init__(self) -> None:
        gc.collect()  # what nobody uses any more would be given back during a case
        self.start = self._resident("VmRSS")
        signal.signal(signal.SIGVTALRM, self._hang)

    def run(self, name: str, form: str, attempt: Callable[[], Try]) -> Outcome:
        made = attempt()
        self._forget_peak()
        ended, told = "read", ""
        seconds, started = 0.0, time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, HANGS_AFTER)
        try:
            for step in steps(made):
                started = time.process_time()
                step()
                seconds = max(seconds, time.process_time() - started)
        except DECLARED as error:
            ended, told = "refused", str(error).partition("\n")[0][:200]
        except HangError:
            ended, told = "hangs", ""
        except Exception as error:
            ended, told = type(error).__name__, traceback.format_exc(limit=-6)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        seconds = max(seconds, time.process_time() - started)
        return Outcome(name, form, ended, seconds, self._resident("VmHWM") - self.start, told)

    @staticmethod
    def _forget_peak() -> None:
        clear = Path("/proc/self/clear_refs")
        if clear.exists():
            clear.write_text("5")

    @staticmethod
    def _resident(name: str) -> float:
        """Megabytes; 0 where the system does not tell."""
        status = Path("/proc/self/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)

    @staticmethod
    def _hang(number: int, frame: FrameType | None) -> None:
        raise HangError


def cases(count: int, seed: int, *, first: int = 0) -> Iterator[tuple[str, str, Callable[[], Try]]]:
    documents = good_documents()
    for number in range(first, first + count):
        made = spoilt(number, seed, documents)
        yield made.name, made.form, lambda made=made: made


def run(attempts: Iterator[tuple[str, str, Callable[[], Try]]], meter: Meter) -> Summary:
    summary = Summary()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, form, attempt in attempts:
            summary.add(meter.run(name, form, attempt))
    return summary


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000, help="spoilt documents")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this one alone, and show it")
    parser.add_argument("--no-costly", action="store_true", help="leave out the documents made to cost")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # as while cases are tried: a format may say that it has been renamed
    documents: Any = good_documents()
    for form, values in documents.items():
        told = {"prompt": "a", "width": 2048, "height": 2048}
        for step in steps(Try("warm up", form, values[0], {name: told[name] for name in FORMATS[form].needs})):
            step()
    meter = Meter()
    if arguments.only is not None:
        made = spoilt(arguments.only, arguments.seed, documents)
        print(made)  # noqa: T201
        parts = {f"spoilt {arguments.only}": iter([(made.name, made.form, lambda: made)])}
    else:
        parts = {"spoilt documents": cases(arguments.cases, arguments.seed)}
        if not arguments.no_costly:
            parts["costly documents"] = costly()
    summaries = []
    for title, attempts in parts.items():
        summaries.append(run(attempts, meter))
        print("\n".join([title, *summaries[-1].lines()]), flush=True)  # noqa: T201
    return 1 if any(summary.failures for summary in summaries) else 0


if __name__ == "__main__":
    sys.exit(main())
