"""OverLayScore of a layout from embeddings of its captions (arXiv 2509.19282)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from occlusionformer.layout import Layout, LayoutError, overlay_score


def overlay_score_of_embeddings(layout: Layout, embeddings: ArrayLike) -> float:
    """OverLayScore with the cosine of caption embeddings, one row for every instance.

    Raises LayoutError for another number of rows, and for rows that are zero or not finite.
    """
    rows = np.asarray(embeddings, float)
    count = len(layout.instances)
    if count == 0:
        return 0.0
    if rows.ndim != 2 or len(rows) != count:
        raise LayoutError([f"embeddings: expected {count} rows, got the shape {rows.shape}"])
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise LayoutError(["embeddings: expected finite rows that are not zero"])
    unit = rows / lengths
    return overlay_score(layout, (unit @ unit.T).tolist())
