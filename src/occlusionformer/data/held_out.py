"""Pictures that are for evaluation alone: decided by a hash of the picture's id, and published as this rule.

SA-Z names no split. Half a per cent of its pictures is never trained on; the hardest thousand of those are SA-Z Eval.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

SA_Z = "SA-Z"
"""Name of the data set in the provenance of its records."""
SALT = "occlusionformer sa-z eval"
SHARE = 0.005
"""Of all pictures: five thousand of the million."""
FEWEST_INSTANCES = 3
FEWEST_OCCLUSIONS = 2
NUM_IMAGES = 1000


class Candidate(NamedTuple):
    """What the choice of a picture depends on."""

    image_id: str
    num_instances: int
    num_occlusions: int
    """Ordered pairs: two that hide parts of each other are two."""
    total_iou: float
    """Sum of the intersections over union of all pairs of boxes."""


def is_held_out_image(image_id: str) -> bool:
    """Whether no model of this project may be trained on the picture. The id is the one without folder and ending."""
    digest = hashlib.sha256(f"{SALT}: {image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < SHARE * 2**64


def evaluation_images(candidates: Iterable[Candidate]) -> tuple[str, ...]:
    """The ids of SA-Z Eval, hardest first: held out, with enough instances and occlusions, boxes overlapping most.

    How the candidates are listed does not matter; of equally hard ones the lower id comes first.
    """
    eligible = {
        candidate.image_id: candidate
        for candidate in candidates
        if candidate.num_instances >= FEWEST_INSTANCES
        and candidate.num_occlusions >= FEWEST_OCCLUSIONS
        and is_held_out_image(candidate.image_id)
    }
    ranked = sorted(eligible.values(), key=lambda candidate: (-candidate.total_iou, candidate.image_id))
    return tuple(candidate.image_id for candidate in ranked[:NUM_IMAGES])
