"""InstaOrderNet: occlusion and depth order of instances, pair by pair (arXiv 2111.14562).

The network sees every pair in both orders, and the two predictions are averaged. Arrays: N instances, P ordered pairs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from occlusionformer.data.engine.models.protocol import MaskedPicture
from occlusionformer.evaluation.benchmark import QuestionKind
from occlusionformer.evaluation.judgement import (
    Identity,
    JudgeAnswer,
    JudgementError,
    JudgeRequest,
    JudgeUnavailableError,
)
from occlusionformer.evaluation.judges.patches import cut, mask_input, pair_window, picture_input, tight
from occlusionformer.evaluation.judges.resnet import ResNet
from occlusionformer.evaluation.judges.weights import best_device, revision
from occlusionformer.evaluation.masks import decode_mask
from occlusionformer.pictures import as_rgb
from occlusionformer.tensors.files import CheckpointError, read_pickle

CHANNELS = 5
"""Mask A, mask B, red, green, blue."""
ORDER_SIDE, DEPTH_SIDE = 256, 384
THRESHOLD = 0.5
BATCH = 16
"""Pairs at a time, each in both orders."""
NEARER, FARTHER, EQUAL, UNKNOWN = 1, 0, 2, -1

Pair = tuple[int, int]


class PairJudge(ABC):
    """Runs a network on every pair of masks, in both orders."""

    needs: frozenset[QuestionKind] = frozenset({"segment"})
    parallel = 1

    def __init__(self, network: ResNet, identity: Identity, *, side: int) -> None:
        self._network = network.eval()
        self._side = side
        self.identity = identity

    @torch.inference_mode()
    def judge(self, picture: Image, request: JudgeRequest) -> JudgeAnswer:
        """Instances whose mask is empty are in no pair."""
        given = request.given["segment"]
        if given is None:
            raise JudgementError("no masks", "the picture could not be segmented")
        masks = [None if mask is None else decode_mask(mask) for mask in given]
        image = np.array(as_rgb(picture))
        answer = self._empty_answer(len(masks))
        seen = [place for place, mask in enumerate(masks) if mask is not None]
        pairs = combinations(seen, 2)
        while batch := list(islice(pairs, BATCH)):
            inputs = [self._input(image, cast(np.ndarray, masks[i]), cast(np.ndarray, masks[j])) for i, j in batch]
            for pair, forward, backward in zip(batch, *self._logits(inputs), strict=True):
                self._decide(answer, pair, forward, backward)
        return JudgeAnswer(answer=answer)

    def _logits(self, inputs: Sequence[Tensor]) -> Iterator[Tensor]:
        """For every pair the logits of (A, B), then those of (B, A)."""
        device = self._network.fc.weight.device
        forward = torch.stack(list(inputs))
        backward = forward[:, [1, 0, 2, 3, 4]]
        logits = self._network(torch.cat([forward, backward]).to(device)).float().cpu()
        if not logits.isfinite().all():
            raise JudgementError("error", "the network gave numbers that are none")
        return iter(logits.chunk(2))

    @abstractmethod
    def _empty_answer(self, num_instances: int) -> list[list[int]]:
        """The answer before any pair is judged."""

    @abstractmethod
    def _input(self, image: np.ndarray, first: np.ndarray, second: np.ndarray) -> Tensor:
        """(5, S, S)."""

    @abstractmethod
    def _decide(self, answer: list[list[int]], pair: Pair, forward: Tensor, backward: Tensor) -> None:
        """Write both directions of a pair into the answer."""


class OrderJudge(PairJudge):
    """InstaOrderNet_o. Its logits are (B hides A, A hides B); both may hold, or neither."""

    kinds: frozenset[QuestionKind] = frozenset({"order"})

    def _empty_answer(self, num_instances: int) -> list[list[int]]:
        return [[0] * num_instances for _ in range(num_instances)]

    def _input(self, image: np.ndarray, first: np.ndarray, second: np.ndarray) -> Tensor:
        window = pair_window(tight(first), tight(second))
        masks = [mask_input(cut(mask, window), self._side) for mask in (first, second)]
        return torch.cat([torch.stack(masks), picture_input(cut(image, window), self._side)])

    def _decide(self, answer: list[list[int]], pair: Pair, forward: Tensor, backward: Tensor) -> None:
        i, j = pair
        hides = _hides(forward, backward)
        answer[i][j], answer[j][i] = int(hides[0] > THRESHOLD), int(hides[1] > THRESHOLD)

    @torch.inference_mode()
    def probabilities(self, image: np.ndarray, masks: np.ndarray, pairs_P2: np.ndarray) -> np.ndarray:
        """(P, 2): that the first hides part of the second, and the reverse; masks are (N, H, W) bool, none empty."""
        found = [np.zeros((0, 2))]
        for start in range(0, len(pairs_P2), BATCH):
            batch = pairs_P2[start : start + BATCH]
            logits = self._logits([self._input(image, masks[i], masks[j]) for i, j in batch])
            found.append(np.stack([_hides(*both).numpy() for both in zip(*logits, strict=True)]))
        return np.concatenate(found)


class InstaOrderer:
    """InstaOrderNet_o as a model of the data engine: an Orderer."""

    def __init__(self, judge: OrderJudge) -> None:
        self._judge = judge
        self.revision = f"{judge.identity['model']}@{judge.identity['revision']}"

    def probabilities(self, view: MaskedPicture, pairs_P2: np.ndarray) -> np.ndarray:
        return self._judge.probabilities(view.image, view.masks, pairs_P2)


def _hides(forward: Tensor, backward: Tensor) -> Tensor:
    """(A hides B, B hides A) from the logits of (A, B) and of (B, A)."""
    return (forward.sigmoid().flip(0) + backward.sigmoid()) / 2


class DepthJudge(PairJudge):
    """InstaOrderNet_d. Its logits are (A nearer, A farther, equally far)."""

    kinds: frozenset[QuestionKind] = frozenset({"depth"})

    def _empty_answer(self, num_instances: int) -> list[list[int]]:
        return [[UNKNOWN] * num_instances for _ in range(num_instances)]

    def _input(self, image: np.ndarray, first: np.ndarray, second: np.ndarray) -> Tensor:
        masks = [mask_input(mask, self._side) for mask in (first, second)]
        return torch.cat([torch.stack(masks), picture_input(image, self._side)])

    def _decide(self, answer: list[list[int]], pair: Pair, forward: Tensor, backward: Tensor) -> None:
        i, j = pair
        likely = (forward.softmax(0) + backward.softmax(0)[[1, 0, 2]]) / 2
        answer[i][j], answer[j][i] = ((NEARER, FARTHER), (FARTHER, NEARER), (EQUAL, EQUAL))[int(likely.argmax())]


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The weights in a checkpoint, without the prefix that data-parallel training leaves.

    Reads tensors and plain values alone; raises JudgeUnavailableError for a file that holds anything else.
    """
    try:
        content = read_pickle(Path(path))
    except CheckpointError as error:
        raise JudgeUnavailableError(str(error)) from error
    weights = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise JudgeUnavailableError(f"{path}: expected weights by name, or under 'state_dict'")
    return {name.removeprefix("module."): value for name, value in weights.items()}


def _load(name: str, path: str | None, classes: int) -> tuple[ResNet, Identity]:
    if not path:
        raise ValueError(f"{name}: expected a checkpoint, as in {name}:InstaOrder/{name}.pth.tar")
    network = ResNet(CHANNELS, classes)
    try:
        network.load_state_dict(read_checkpoint(path))
    except RuntimeError as error:
        raise JudgeUnavailableError(f"{path}: not this network: {' '.join(str(error).split())[:300]}") from error
    device = best_device()
    identity: Identity = {
        "name": name,
        "model": Path(path).name,
        "revision": revision(path),
        "settings": {"pairs": "all", "symmetric": True, "device": device.type},
    }
    return network.to(device), identity


def load_order(argument: str | None) -> OrderJudge:
    """The checkpoint of InstaOrderNet_o."""
    network, identity = _load("instaorder-order", argument, 2)
    identity["settings"] |= {"side": ORDER_SIDE, "mode": "patch", "threshold": THRESHOLD}
    return OrderJudge(network, identity, side=ORDER_SIDE)


def load_orderer(argument: str | None) -> InstaOrderer:
    """The checkpoint of InstaOrderNet_o, for plans of the data engine: `instaorder:FILE`."""
    return InstaOrderer(load_order(argument))


def load_depth(argument: str | None) -> DepthJudge:
    """The checkpoint of InstaOrderNet_d."""
    network, identity = _load("instaorder-depth", argument, 3)
    identity["settings"] |= {"side": DEPTH_SIDE, "mode": "whole picture"}
    return DepthJudge(network, identity, side=DEPTH_SIDE)
