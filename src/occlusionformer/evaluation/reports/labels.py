"""Names that tell results apart: the method, and whatever else differs between results of one method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from occlusionformer.evaluation.judgement import Json, canonical
from occlusionformer.evaluation.running.result import Result


def labels(results: Sequence[Result]) -> list[str]:
    """A different label for every result: the method where that is enough, else with what differs."""
    facts = [{**run_facts(result), "seed": _named("seed", seed_of(result))} for result in results]
    found = labelled([result.method for result in results], facts)
    if len(set(found)) < len(found):
        counts = Counter(found)
        folders = [result.path.name if result.path else "" for result in results]
        found = [
            f"{label} ({folder})" if counts[label] > 1 and folder else label
            for label, folder in zip(found, folders, strict=True)
        ]
    if len(set(found)) < len(found):
        found = [f"{label} #{place}" for place, label in enumerate(found, start=1)]
    return found


def labelled(methods: Sequence[str], facts: Sequence[Mapping[str, str | None]]) -> list[str]:
    """Methods, with the facts in brackets that differ between those of the same name."""
    found = []
    for method, own in zip(methods, facts, strict=True):
        same = [other for name, other in zip(methods, facts, strict=True) if name == method]
        differing = [name for name in own if any(other[name] != own[name] for other in same)]
        told = ", ".join(text for name in differing if (text := own[name]) is not None)
        found.append(f"{method} ({told})" if told else method)
    return found


def run_facts(result: Result) -> dict[str, str | None]:
    """What distinguishes runs of a method beside their seed, as text: model, settings of drawing, items, judges."""
    run = result.document["run"]
    drawing = {name: value for name, value in (run["drawing"] or {}).items() if name != "seed"}
    judges = " and ".join(f"{judge['name']} {judge['model']}" for judge in _judges(result))
    return {
        "model": run["model"],
        **{name: _named(name.replace("_", " "), value) for name, value in drawing.items()},
        "items": f"{result.document['drawn']['number']} items",
        "judges": f"judged by {judges}" if judges else None,
    }


def run_group(result: Result) -> str:
    """The same for runs that differ in their seed alone."""
    run = result.document["run"]
    items = [run["items"]["digest"], result.document["drawn"]["number"]]
    return canonical([result.method, run_facts(result), items, _judges(result)])


def _judges(result: Result) -> list[Json]:
    return [judge["identity"] for judge in result.document["judges"] if judge["identity"]]


def _named(name: str, value: Json) -> str | None:
    return None if value is None else f"{name} {value}"


def seed_of(result: Result) -> int | None:
    """The seed of a run; None for pictures that were drawn elsewhere."""
    drawing = result.document["run"]["drawing"]
    return None if drawing is None else drawing["seed"]
