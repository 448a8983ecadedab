"""The judge of our own scenes, which knows what every packaged object looks like. Runs on a CPU, without a network."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from PIL.Image import Image

from occlusionformer.evaluation.benchmark import BackgroundPicture, QuestionKind
from occlusionformer.evaluation.judgement import Identity, Json, JudgeAnswer, JudgementError, JudgeRequest, canonical
from occlusionformer.evaluation.metrics.spatial import Match, greedy_match
from occlusionformer.evaluation.records import picture_digest
from occlusionformer.evaluation.scenes import judge as scenes
from occlusionformer.evaluation.scenes.edition import art_digest, judge_digest

NEARER, FARTHER, UNKNOWN = 1, 0, -1


class ArtJudge:
    """Finds packaged objects in a picture; the categories of a request must be their names.

    Its reply to `entity` is what it saw of every object: a list of `scenes.judge.Sighting` as JSON.
    """

    kinds: frozenset[QuestionKind] = frozenset({"detect", "entity", "order", "depth", "appearance"})
    needs: frozenset[QuestionKind] = frozenset()
    parallel = 1

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._last: tuple[tuple[str, tuple[str, ...], str | None], scenes.Verdict] | None = None

    def judge(self, picture: Image, request: JudgeRequest) -> JudgeAnswer:
        """All questions about one picture are answered by looking at it once."""
        names = tuple(each.category or "" for each in request.instances)
        seen = self._verdict(picture, names, request.background)
        boxes = [_in_pixels(one.box, picture) for one in seen.sightings]
        if request.kind == "detect":
            return JudgeAnswer(answer=_by_name(names, boxes))
        if request.kind == "appearance":
            return JudgeAnswer(
                answer={"completeness": seen.completeness, "colour": seen.colour, **asdict(seen.appearance)}
            )
        given = _given(request, picture, names, boxes)
        if request.kind == "entity":
            found = {place for place, one in enumerate(seen.sightings) if one.nearest == one.name}
            pairs = zip(request.instances, given, strict=True)
            answer = {each.name: "yes" if place in found else "no" for each, place in pairs}
            return JudgeAnswer(answer=answer, reply=canonical([asdict(one) for one in seen.sightings]))
        order = _renumbered(seen.order, given)
        if request.kind == "order":
            return JudgeAnswer(answer=order.tolist())
        depth = np.where(order == 1, NEARER, np.where(order.T == 1, FARTHER, UNKNOWN))
        return JudgeAnswer(answer=depth.tolist())

    def _verdict(self, picture: Image, names: tuple[str, ...], background: BackgroundPicture | None) -> scenes.Verdict:
        key = (picture_digest(picture), names, None if background is None else background.digest)
        if self._last is None or self._last[0] != key:
            shown = None if background is None or background.load is None else background.load()
            try:
                self._last = (key, scenes.judge(picture, names, shown))
            except ValueError as error:
                raise JudgementError("refused", str(error)) from error
        return self._last[1]


def _in_pixels(box: tuple[float, ...] | None, picture: Image) -> list[float] | None:
    if box is None:
        return None
    x1, y1, x2, y2 = box
    return [x1 * picture.width, y1 * picture.height, x2 * picture.width, y2 * picture.height]


def _by_name(names: tuple[str, ...], boxes: list[list[float] | None]) -> dict[str, Json]:
    found: dict[str, Json] = {name: [] for name in names}
    for name, box in zip(names, boxes, strict=True):
        if box is not None:
            found[name].append(box)
    return found


def _given(
    request: JudgeRequest, picture: Image, names: tuple[str, ...], boxes: list[list[float] | None]
) -> list[int | None]:
    """The index of the sighting for every instance; instances of one name are matched by their declared boxes."""
    declared = request.boxes_in(picture.width, picture.height)
    free = [place for place, box in enumerate(boxes) if box is not None]
    given: list[int | None] = []
    matches: list[Match | None] = greedy_match(declared, names, _by_name(names, boxes))
    for name, match in zip(names, matches, strict=True):
        fitting = (p for p in free if match and names[p] == name and tuple(boxes[p] or ()) == match.box)
        place = next(fitting, None)
        if place is not None:
            free.remove(place)
        given.append(place)
    return given


def _renumbered(order_NN: np.ndarray, given: list[int | None]) -> np.ndarray:
    """The order by instance; an instance that was not seen hides nothing."""
    padded_NN = np.pad(order_NN, ((0, 1), (0, 1)))
    places = [len(order_NN) if place is None else place for place in given]
    renumbered_NN: np.ndarray = padded_NN[np.ix_(places, places)]
    return renumbered_NN.astype(int)


def load_art(argument: str | None) -> ArtJudge:
    """It takes no argument: ValueError for any."""
    if argument:
        raise ValueError(f"art: expected no argument, got {argument!r}")
    return ArtJudge(
        {
            "name": "art",
            "model": "packaged objects",
            "revision": "sha256:" + art_digest(),
            "settings": {"edition": scenes.EDITION, "code": judge_digest()},
        }
    )
