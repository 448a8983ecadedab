"""Interfaces of the models that stages use.

Arrays: H rows, W columns, C channels, N instances, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MaskedPicture:
    """A picture and the masks on it."""

    key: str
    ids: tuple[str, ...]
    image: np.ndarray
    """(H, W, C) uint8."""
    masks: np.ndarray
    """(N, H, W) bool: what is visible of each instance."""
    in_front: np.ndarray | None = None
    """(N, N) bool, row in front of column, as far as the order is known."""

    def hiding(self, instance: int) -> np.ndarray:
        """Pixels where the instance may continue unseen: (H, W) bool.

        Under whatever is in front of it, itself or by way of others; under all others where no order is known.
        """
        if self.in_front is None:
            fronts = np.arange(len(self.masks)) != instance
        else:
            fronts = reach(self.in_front)[:, instance]
            fronts[instance] = False
        hidden_HW: np.ndarray = self.masks[fronts].any(axis=0)
        return hidden_HW & ~self.masks[instance]


def reach(in_front_NN: np.ndarray) -> np.ndarray:
    """Transitive closure: (N, N) bool."""
    reached = in_front_NN.copy()
    for middle in range(len(reached)):
        reached |= reached[:, middle, None] & reached[None, middle]
    return reached


class DataModel(Protocol):
    """A model with a revision."""

    @property
    def revision(self) -> str:
        """Identifies weights and settings: models of equal revision give equal results."""
        ...


@runtime_checkable
class Captioner(Protocol):
    """Describes each instance with a caption."""

    @property
    def revision(self) -> str: ...

    def captions(self, view: MaskedPicture) -> list[str]:
        """A caption for every instance, in their order."""
        ...


@runtime_checkable
class Orderer(Protocol):
    """Predicts which of two instances is in front."""

    @property
    def revision(self) -> str: ...

    def probabilities(self, view: MaskedPicture, pairs_P2: np.ndarray) -> np.ndarray:
        """(P, 2): that the first hides part of the second, that the second hides part of the first."""
        ...


@runtime_checkable
class Completer(Protocol):
    """Predicts amodal masks: how instances continue behind others."""

    @property
    def revision(self) -> str: ...

    def complete(self, view: MaskedPicture, instances: Sequence[int]) -> np.ndarray:
        """Predicted amodal masks of some instances: (instances, H, W) bool."""
        ...
