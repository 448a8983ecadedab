"""The background of a picture as far as it can be told: the declared one where it is seen, else one colour per row.

Arrays: H rows, W columns, C colour channels, P pixels.
"""

from __future__ import annotations

import numpy as np

ROWS = 64
"""Rows whose background is told; those between are interpolated."""
ROW_REACH = 1.5
"""How far above and below a row its background is told from, in distances between those rows."""
FEWEST_FREE = 8
"""Pixels a row needs to tell its background; others take their neighbours'."""
SAME_COLOUR = 0.1
"""Distance of colours (three channels, 0..1) within which a background counts as one colour."""
AS_DECLARED = 0.02
"""A background that differs by no more than this from the declared one is taken to be that one."""
CROWD = 0.6
"""Share of the free pixels that have to say so."""


def estimate_ground(picture_HWC: np.ndarray, declared_HWC: np.ndarray | None, free_HW: np.ndarray) -> np.ndarray:
    """(H, W, C): what is thought to lie behind all objects, told from the pixels that none claims.

    Two explanations compete in every row: the declared background, shifted in colour, and a colour of the row's own.
    """
    own_HC, own_crowd_H = _frequent(picture_HWC, free_HW)
    own_HWC = np.broadcast_to(own_HC[:, None], picture_HWC.shape)
    if declared_HWC is None:
        return own_HWC
    off_HWC = picture_HWC - declared_HWC
    free_PC = off_HWC[free_HW]
    if len(free_PC) >= FEWEST_FREE:
        shift_C, crowd = frequent_colour(free_PC)
        if crowd >= CROWD and np.linalg.norm(shift_C) <= AS_DECLARED:
            return declared_HWC
    shift_HC, crowd_H = _frequent(off_HWC, free_HW)
    shifted_HWC = declared_HWC + shift_HC[:, None]
    return np.where((crowd_H >= own_crowd_H)[:, None, None], shifted_HWC, own_HWC)


def frequent_colour(colours_PC: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean of the colours around the one that most others are near, and the share of those."""
    tried_TC = colours_PC[:: max(1, len(colours_PC) // 32)]
    compared_PC = colours_PC[:: max(1, len(colours_PC) // 128)]
    squared_TP = (tried_TC**2).sum(1)[:, None] - 2 * tried_TC @ compared_PC.T + (compared_PC**2).sum(1)
    crowd_T = (squared_TP < SAME_COLOUR**2).sum(axis=1)
    near_P = ((colours_PC - tried_TC[crowd_T.argmax()]) ** 2).sum(1) < SAME_COLOUR**2
    mean_C: np.ndarray = colours_PC[near_P].mean(axis=0)
    return mean_C, float(near_P.mean())


def _frequent(picture_HWC: np.ndarray, free_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, C) the most frequent colour of every row and its neighbours, and (H,) how many share it."""
    height = len(picture_HWC)
    reach, step = max(1, round(ROW_REACH * height / ROWS)), max(1, height // ROWS)
    rows_HC = np.full((height, 3), np.nan, dtype=np.float32)
    crowd_H = np.zeros(height)
    for row in range(0, height, step):
        window = slice(max(0, row - reach), row + reach + 1)
        colours_PC = picture_HWC[window][free_HW[window]]
        if len(colours_PC) >= FEWEST_FREE:
            rows_HC[row], crowd_H[row] = frequent_colour(colours_PC)
    known = np.flatnonzero(~np.isnan(rows_HC[:, 0]))
    if not len(known):
        mean_C = picture_HWC.mean(axis=(0, 1), dtype=np.float32)
        return np.broadcast_to(mean_C, (height, 3)), crowd_H
    every = np.arange(height)
    told_HC = np.stack([np.interp(every, known, rows_HC[known, channel]) for channel in range(3)], axis=1)
    return told_HC.astype(np.float32), np.interp(every, known, crowd_H[known])
