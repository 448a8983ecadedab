"""A verdict against the truth of its layout, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from occlusionformer.evaluation.metrics.depth import FARTHER, NEARER, whdr
from occlusionformer.evaluation.metrics.matrices import UNKNOWN
from occlusionformer.evaluation.metrics.order import occlusion_scores
from occlusionformer.evaluation.metrics.spatial import Match, greedy_match, mean_overlap, overlap_of_pairs
from occlusionformer.evaluation.scenes.judge import Verdict
from occlusionformer.evaluation.scenes.layouts import BenchScene, Truth


@dataclass(frozen=True, kw_only=True)
class Score:
    """One picture; None where there is nothing to take a figure over, such as a pair that counts."""

    miou: float
    o_miou: float | None
    occ: float | None
    """F1 of who hides whom."""
    dep: float | None
    """Share of pairs in the wrong order, undecided ones included."""
    identity: float
    """Share of instances at whose place the object asked for is the nearest."""
    completeness: float | None
    """As `Verdict` has it."""
    background: float | None
    clutter: float | None
    sharpness: float | None
    blockiness: float
    lighting: float
    """These five as `Appearance` has them."""
    pairs: int
    """Pairs that count."""
    decided: int
    """Pairs that count of which the picture tells who is in front."""
    right: int
    """Decided pairs that are as the truth has them."""


def score(scene: BenchScene, verdict: Verdict, truth: Truth | None = None) -> Score:
    """Against the scene's own truth, or another one of the same instances.

    Objects that appear twice are told apart by where they are, as the matching of boxes does.
    """
    truth = scene.truth if truth is None else truth
    boxes = [tuple(box) for box in scene.layout.boxes]
    matches = greedy_match(boxes, scene.names, _detections(verdict))
    given = _given(matches, scene.names, verdict)
    pairs = truth.pairs
    order_NN = _renumbered(verdict.order, given)
    miou = mean_overlap(matches)
    assert miou is not None, "a layout of the benchmark has instances"
    return Score(
        miou=miou,
        o_miou=overlap_of_pairs(boxes, matches, pairs),
        occ=occlusion_scores(order_NN, truth.order).f1 if pairs else None,
        dep=whdr(_depth(order_NN), _depth(truth.order))["ovlOX_all"],
        identity=float(np.mean([_is_itself(verdict, place) for place in given])),
        completeness=verdict.completeness,
        **asdict(verdict.appearance),
        pairs=len(pairs),
        decided=int(((order_NN + order_NN.T) * (truth.order == 1)).sum()),
        right=int((order_NN * (truth.order == 1)).sum()),
    )


def _detections(verdict: Verdict) -> dict[str, list[tuple[float, float, float, float]]]:
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for one in verdict.sightings:
        if one.box is not None:
            found.setdefault(one.name, []).append(one.box)
    return found


def _given(matches: Sequence[Match | None], names: Sequence[str], verdict: Verdict) -> list[int | None]:
    """For every instance the sighting whose box it was matched with."""
    free = list(range(len(verdict.sightings)))
    given: list[int | None] = []
    for match, name in zip(matches, names, strict=True):
        fitting = (
            place
            for place in free
            if match and verdict.sightings[place].name == name and verdict.sightings[place].box == match.box
        )
        chosen = next(fitting, None)
        if chosen is not None:
            free.remove(chosen)
        given.append(chosen)
    return given


def _renumbered(order_NN: np.ndarray, given: Sequence[int | None]) -> np.ndarray:
    """The judged order by instance; what was not found hides nothing."""
    padded_NN = np.pad(order_NN, ((0, 1), (0, 1)))
    places = [len(order_NN) if place is None else place for place in given]
    renumbered_NN: np.ndarray = padded_NN[np.ix_(places, places)]
    return renumbered_NN


def _depth(order_NN: np.ndarray) -> np.ndarray:
    """Nearer (1) and farther (0) where one hides the other, unknown elsewhere."""
    depth_NN = np.full_like(order_NN, UNKNOWN)
    depth_NN[order_NN == 1] = NEARER
    depth_NN[order_NN.T == 1] = FARTHER
    return depth_NN


def _is_itself(verdict: Verdict, place: int | None) -> bool:
    return place is not None and verdict.sightings[place].nearest == verdict.sightings[place].name
