"""Which tokens a box covers, and where its points lie: the rules of the published model, in plain loops.

A box is (x1, y1, x2, y2), normalised to 0..1; a grid is height x width tokens of 16 x 16 pixels.
"""

import math
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

PIXELS_PER_TOKEN = 16
POINTS_PER_SIDE = 6
NUM_FREQUENCIES = 8

Box = tuple[float, float, float, float]


def corners(box: Box) -> Box:
    """Corners as the published code reads them back, in single precision: the last of six points along each side."""
    single = [np.float32(side) for side in box]
    ends = [
        low + np.float32(5) * ((high - low) / np.float32(5)) for low, high in zip(single[:2], single[2:], strict=True)
    ]
    return (*single[:2], *ends)


def truncated(side: np.float32, cells: int) -> int:
    """The token in which a side lies; the product is rounded to single precision."""
    return int(np.float32(side) * np.float32(cells))


def span(low: float, high: float, cells: int) -> tuple[int, int]:
    """First cell and end of the cells a side covers: both corners truncated, at least one cell."""
    first = min(truncated(low, cells), cells - 1)
    return first, max(truncated(high, cells), first + 1)


def footprint(box: Box, height: int, width: int) -> list[int]:
    """Row-major indices of the tokens a box covers."""
    x1, y1, x2, y2 = corners(box)
    left, right = span(x1, x2, width)
    top, bottom = span(y1, y2, height)
    return [row * width + column for row in range(top, bottom) for column in range(left, right)]


def published_center_id(box: Box, height: int, width: int) -> tuple[float, float, float]:
    """Rotary position of the layout token in the published code: the middle of its truncated corners, in tokens."""
    x1, y1, x2, y2 = corners(box)
    row = (truncated(y1, height) + truncated(y2, height)) / 2
    return (0.0, row, (truncated(x1, width) + truncated(x2, width)) / 2)


def center_id(box: Box, height: int, width: int) -> tuple[float, float, float]:
    """Rotary position of the layout token: the middle of the truncated corners, in tokens."""
    row = (int(box[1] * height) + int(box[3] * height)) / 2
    column = (int(box[0] * width) + int(box[2] * width)) / 2
    return (0.0, row, column)


def soft_mask(box: Box, height: int, width: int) -> Tensor:
    """(height * width,) weight of the box in each token, in 0, 0.25, 0.5, 1.

    The pixel box is shrunk bilinearly to two cells a token and the top-left cell of each 2 x 2 is kept. Shrinking by
    eight without antialiasing averages the two middle pixels of a cell, its fourth and fifth, along each side.
    """
    pixel_rows, pixel_columns = height * PIXELS_PER_TOKEN, width * PIXELS_PER_TOKEN
    left, right = int(box[0] * pixel_columns), int(box[2] * pixel_columns)
    top, bottom = int(box[1] * pixel_rows), int(box[3] * pixel_rows)
    mask = torch.zeros(height * width, dtype=torch.float64)
    for row in range(height):
        for column in range(width):
            inside_rows = [top <= row * PIXELS_PER_TOKEN + offset < bottom for offset in (3, 4)]
            inside_columns = [left <= column * PIXELS_PER_TOKEN + offset < right for offset in (3, 4)]
            mask[row * width + column] = sum(inside_rows) * sum(inside_columns) / 4
    return mask


def box_points(box: Box) -> list[float]:
    """The 72 coordinates of a 6 x 6 grid from corner to corner: x in the outer loop, y in the inner one."""
    coordinates = []
    for i in range(POINTS_PER_SIDE):
        for j in range(POINTS_PER_SIDE):
            coordinates.append(box[0] + (box[2] - box[0]) * i / (POINTS_PER_SIDE - 1))
            coordinates.append(box[1] + (box[3] - box[1]) * j / (POINTS_PER_SIDE - 1))
    return coordinates


def fourier(coordinates: list[float]) -> Tensor:
    """Sines, then cosines, of all coordinates, for frequency 100^(k/8) after frequency."""
    features = []
    for k in range(NUM_FREQUENCIES):
        frequency = 100 ** (k / NUM_FREQUENCIES)
        features += [math.sin(frequency * coordinate) for coordinate in coordinates]
        features += [math.cos(frequency * coordinate) for coordinate in coordinates]
    return torch.tensor(features, dtype=torch.float64)


def box_features(box: Box) -> Tensor:
    """(1152,) Fourier features of the box's points."""
    return fourier(box_points(box))


def box_coordinates(box: Box, token: int, height: int, width: int) -> Tensor:
    """(64,) Fourier features of where a token's centre lies in the box, 0..1 along each side, and of the box's size."""
    wide, high = box[2] - box[0], box[3] - box[1]
    x, y = (token % width + 0.5) / width, (token // width + 0.5) / height
    return fourier([(x - box[0]) / wide, (y - box[1]) / high, wide, high])


def area(box: Box, height: int, width: int) -> Tensor:
    """(height * width,) fraction of every token's cell that the box covers."""
    fractions = []
    for row in range(height):
        for column in range(width):
            across = min(box[2] * width, column + 1) - max(box[0] * width, column)
            down = min(box[3] * height, row + 1) - max(box[1] * height, row)
            fractions.append(max(across, 0) * max(down, 0))
    return torch.tensor(fractions, dtype=torch.float64)


def covered_tokens(box: Box, height: int, width: int) -> list[int]:
    """Tokens of which the box covers at least 1/64; the best covered one if there is none."""
    fractions = area(box, height, width).tolist()
    return [i for i, fraction in enumerate(fractions) if fraction >= 1 / 64] or [fractions.index(max(fractions))]


def coverage(box: Box, height: int, width: int) -> Tensor:
    """The covered tokens' fractions, at least 1/64 each; 0 elsewhere."""
    fractions = area(box, height, width)
    kept = torch.zeros_like(fractions)
    for token in covered_tokens(box, height, width):
        kept[token] = max(float(fractions[token]), 1 / 64)
    return kept


def run_coverage(counts: list[int], size: tuple[int, int], cells: tuple[int, int]) -> list[list[Fraction]]:
    """Share of every cell that the set pixels of a mask cover: pixel by pixel, cell by cell, in fractions."""
    (height, width), (rows, columns) = size, cells
    shares = [[Fraction(0)] * columns for _ in range(rows)]
    position = 0
    for place, count in enumerate(counts):
        for pixel in range(position, position + count) if place % 2 else ():
            x, y = divmod(pixel, height)
            for row in range(rows):
                for column in range(columns):
                    down = _overlap(Fraction(y, height), Fraction(y + 1, height), row, rows)
                    across = _overlap(Fraction(x, width), Fraction(x + 1, width), column, columns)
                    shares[row][column] += down * across
        position += count
    return shares


def _overlap(low: Fraction, high: Fraction, cell: int, cells: int) -> Fraction:
    """Share of a cell that lies between two fractions of a side."""
    return max(Fraction(0), min(high * cells, Fraction(cell + 1)) - max(low * cells, Fraction(cell)))


def polygon_coverage(points: list[tuple[float, float]], cells: tuple[int, int], per_side: int) -> list[list[float]]:
    """Share of the lattice points of every cell inside a polygon: a ray to the right crosses an odd number of edges."""
    rows, columns = cells
    shares = [[0.0] * columns for _ in range(rows)]
    for line in range(rows * per_side):
        y = (line + 0.5) / (rows * per_side)
        for place in range(columns * per_side):
            x = (place + 0.5) / (columns * per_side)
            is_inside = False
            for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
                if min(y1, y2) <= y < max(y1, y2) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
                    is_inside = not is_inside
            shares[line // per_side][place // per_side] += is_inside / per_side**2
    return shares
