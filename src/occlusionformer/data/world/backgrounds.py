"""Scenic backgrounds, drawn from words: what is behind all objects, and the phrase for it.

The words decide the picture but for a slight shift of its colours: horizons, buildings and clouds of a kind stay where
they are, so that a picture can be held against what its words say.

Arrays: H rows, W columns, C colour channels; colours in 0..255.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

WALLS: dict[str, tuple[int, int, int]] = {
    "white": (240, 239, 236),
    "grey": (178, 180, 186),
    "black": (38, 38, 44),
    "red": (190, 70, 66),
    "orange": (236, 162, 92),
    "yellow": (244, 222, 128),
    "green": (120, 176, 120),
    "mint": (182, 228, 206),
    "teal": (70, 150, 152),
    "light blue": (172, 210, 240),
    "blue": (84, 122, 206),
    "navy": (38, 52, 98),
    "purple": (138, 104, 184),
    "lavender": (208, 198, 236),
    "pink": (242, 186, 206),
    "beige": (232, 217, 190),
    "brown": (132, 98, 74),
}
WOODS: dict[str, tuple[int, int, int]] = {
    "wooden": (186, 134, 84),
    "dark wooden": (108, 72, 48),
    "pale wooden": (222, 188, 142),
    "white": (236, 234, 230),
    "marble": (220, 222, 226),
}
JITTER = 6
"""A colour's channels vary by up to this much, so that its name stays a range rather than a point."""


@dataclass(frozen=True)
class Background:
    """Pixels of a scene before anything is put on it, and the words for them."""

    pixels: np.ndarray
    """(H, W, C) float32 in 0..255."""
    prompt: str
    ground: float
    """Where the ground begins, as a share of the height from the top; 1 where there is none to stand on."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """The size of a picture, the random numbers of its words and colours, and those of its pattern."""

    height: int
    width: int
    rng: np.random.Generator
    pattern: np.random.Generator
    """Starts the same for every picture of a kind."""

    def rows(self) -> np.ndarray:
        """0 at the top to 1 at the bottom, (H, 1, 1)."""
        return np.linspace(0, 1, self.height, dtype=np.float32)[:, None, None]

    def columns(self) -> np.ndarray:
        return np.linspace(0, 1, self.width, dtype=np.float32)[None, :, None]

    def noise(self, rows: int, columns: int) -> np.ndarray:
        """Smooth random numbers of mean 0 and about -1..1, from a lattice of so many points, (H, W, 1)."""
        lattice = self.pattern.uniform(-1, 1, (max(rows, 2), max(columns, 2))).astype(np.float32)
        smooth = Image.fromarray(lattice).resize((self.width, self.height), Image.Resampling.BICUBIC)
        return np.asarray(smooth)[..., None]

    def tone(self, colour: tuple[int, int, int]) -> np.ndarray:
        return np.clip(np.array(colour, np.float32) + self.rng.uniform(-JITTER, JITTER, 3), 0, 255).astype(np.float32)

    def named(self, colours: dict[str, tuple[int, int, int]]) -> tuple[str, np.ndarray]:
        name = str(self.rng.choice(list(colours)))
        return name, self.tone(colours[name])

    def ramp(self, above: np.ndarray, below: np.ndarray) -> np.ndarray:
        return np.broadcast_to(above + (below - above) * self.rows(), (self.height, self.width, 3)).copy()

    def below(self, edge: np.ndarray | float, softness: float) -> np.ndarray:
        """0 above an edge, 1 below it, (H, W, 1)."""
        share = 0.5 + 0.5 * np.tanh((self.rows() - edge) / softness)
        return np.broadcast_to(share, (self.height, self.width, 1))


def make_background(height: int, width: int, rng: np.random.Generator) -> Background:
    """A random background of so many pixels."""
    return draw_background(str(rng.choice(list(KINDS))), height, width, rng)


def draw_background(kind: str, height: int, width: int, rng: np.random.Generator) -> Background:
    """A background of one of KINDS; `rng` chooses its words and shifts its colours."""
    canvas = Canvas(height, width, rng, np.random.default_rng(list(kind.encode())))
    return KINDS[kind](canvas)


def _finished(canvas: Canvas, pixels: np.ndarray, prompt: str, ground: float = 1.0) -> Background:
    return Background(np.clip(pixels, 0, 255).astype(np.float32), prompt, ground)


def _plain(canvas: Canvas) -> Background:
    name, colour = canvas.named(WALLS)
    return _finished(canvas, canvas.ramp(colour, colour), f"a plain {name} background")


def _gradient(canvas: Canvas) -> Background:
    (first, above), (second, below) = canvas.named(WALLS), canvas.named(WALLS)
    return _finished(canvas, canvas.ramp(above, below), f"a gradient from {first} to {second}")


def _table(canvas: Canvas) -> Background:
    (wall, wall_colour), (wood, wood_colour) = canvas.named(WALLS), canvas.named(WOODS)
    edge = 0.56
    back = canvas.ramp(wall_colour * 1.04, wall_colour * 0.92) + 2 * canvas.noise(3, 3)
    depth = np.clip((canvas.rows() - edge) / (1 - edge), 0, 1)
    top = wood_colour * (0.88 + 0.16 * depth) + (6 if wood != "white" else 2) * canvas.noise(40, 3)
    front = canvas.below(edge, 0.004)
    lip = np.exp(-(((canvas.rows() - edge - 0.012) / 0.012) ** 2)) * 18
    return _finished(canvas, back * (1 - front) + (top + lip) * front, f"a {wood} table, a {wall} wall", edge)


def _room(canvas: Canvas) -> Background:
    wall, wall_colour = canvas.named(WALLS)
    floor, floor_colour = canvas.named({**WOODS, "grey": (150, 150, 154), "blue carpeted": (96, 116, 170)})
    edge = 0.66
    light = 1.06 - 0.16 * np.abs(canvas.columns() - 0.35)
    back = wall_colour * light + 0 * canvas.rows()
    depth = np.clip((canvas.rows() - edge) / (1 - edge), 0, 1)
    planks = 6 * np.sign(np.sin((canvas.columns() - 0.5) / (0.25 + depth) * 26)) if "wood" in floor else 0
    ground = floor_colour * (0.86 + 0.14 * depth) + planks
    share = canvas.below(edge, 0.004)
    skirting = canvas.below(edge - 0.03, 0.003) * (1 - share)
    pixels = back * (1 - share) * (1 - skirting) + np.minimum(back + 24, 250) * skirting + ground * share
    return _finished(canvas, pixels, f"a room with a {wall} wall and a {floor} floor", edge)


def _meadow(canvas: Canvas) -> Background:
    edge = 0.5
    hill = edge + 0.03 * canvas.noise(2, 4)
    sky = canvas.ramp(canvas.tone((120, 186, 244)), canvas.tone((214, 236, 250)))
    depth = np.clip((canvas.rows() - hill) / (1 - edge), 0, 1)
    grass = canvas.tone((104, 176, 74)) * (0.86 + 0.2 * depth) + 7 * canvas.noise(36, 60) + 6 * canvas.noise(6, 8)
    share = canvas.below(hill, 0.006)
    return _finished(canvas, sky * (1 - share) + grass * share, "a green meadow under a blue sky", edge)


def _beach(canvas: Canvas) -> Background:
    horizon = 0.38
    shore = horizon + 0.16
    sky = canvas.ramp(canvas.tone((118, 192, 244)), canvas.tone((226, 242, 250)))
    sea = canvas.tone((40, 142, 190)) + 9 * canvas.noise(70, 6)
    sand = canvas.tone((236, 210, 158)) + 4 * canvas.noise(50, 60)
    line = shore + 0.015 * canvas.noise(2, 6)
    water, land = canvas.below(horizon, 0.004), canvas.below(line, 0.006)
    foam = 36 * np.exp(-(((canvas.rows() - line) / 0.014) ** 2))
    pixels = sky * (1 - water) + sea * water
    return _finished(canvas, pixels * (1 - land) + sand * land + foam, "a sandy beach by the sea", shore)


def _street(canvas: Canvas) -> Background:
    edge = 0.66
    pixels = canvas.ramp(canvas.tone((22, 26, 58)), canvas.tone((58, 54, 96)))
    left = 0.0
    while left < 1:
        wide, top = canvas.pattern.uniform(0.14, 0.26), canvas.pattern.uniform(0.12, 0.4)
        x1, x2 = int(left * canvas.width), min(canvas.width, int((left + wide) * canvas.width))
        y1, y2 = int(top * canvas.height), int(edge * canvas.height)
        pixels[y1:y2, x1:x2] = canvas.tone((40, 40, 66))
        side = max(3, canvas.width // 36)
        for y in range(y1 + side, y2 - side, 2 * side):
            for x in range(x1 + side, x2 - side, 2 * side):
                if canvas.pattern.random() < 0.55:
                    pixels[y : y + side, x : x + side - 1] = (250, 214, 120)
        left += wide + 0.01
    depth = np.clip((canvas.rows() - edge) / (1 - edge), 0, 1)
    road = canvas.tone((62, 62, 74)) * (0.8 + 0.3 * depth) + 2 * canvas.noise(20, 20)
    share = canvas.below(edge, 0.004)
    return _finished(canvas, pixels * (1 - share) + road * share, "a city street at night", edge)


def _snow(canvas: Canvas) -> Background:
    edge = 0.5
    drift = edge + 0.04 * canvas.noise(2, 4)
    sky = canvas.ramp(canvas.tone((150, 186, 222)), canvas.tone((222, 232, 244)))
    snow = canvas.tone((242, 246, 250)) - 14 * np.clip(canvas.noise(5, 5), 0, 1)
    share = canvas.below(drift, 0.008)
    pixels = sky * (1 - share) + snow * share
    for down, across in canvas.pattern.random((50, 2)):
        y, x = int(down * (canvas.height - 2)), int(across * (canvas.width - 2))
        pixels[y : y + 2, x : x + 2] = 252
    return _finished(canvas, pixels, "a snowy field in winter", edge)


def _sky(canvas: Canvas) -> Background:
    pixels = canvas.ramp(canvas.tone((92, 166, 240)), canvas.tone((206, 232, 250)))
    puffs = np.clip(1.4 * canvas.noise(4, 5) + 0.7 * canvas.noise(9, 11) - 0.35, 0, 1)
    return _finished(canvas, pixels + (252 - pixels) * puffs, "a blue sky with white clouds")


def _sea_floor(canvas: Canvas) -> Background:
    edge = 0.76
    water = canvas.ramp(canvas.tone((52, 164, 206)), canvas.tone((14, 70, 128)))
    slant = canvas.columns() + 0.35 * canvas.rows()
    rays = 14 * np.clip(np.sin(slant * 17), 0, 1) * (1 - canvas.rows())
    sand = canvas.tone((164, 168, 138)) + 5 * canvas.noise(30, 40)
    share = canvas.below(edge + 0.02 * canvas.noise(2, 5), 0.01)
    return _finished(canvas, (water + rays) * (1 - share) + sand * share, "the sandy bottom of the sea", edge)


def _sunset(canvas: Canvas) -> Background:
    horizon = 0.62
    sky = canvas.ramp(canvas.tone((92, 70, 142)), canvas.tone((255, 168, 96)))
    sea = canvas.ramp(canvas.tone((190, 112, 96)), canvas.tone((70, 56, 104))) + 8 * canvas.noise(60, 5)
    share = canvas.below(horizon, 0.004)
    return _finished(canvas, sky * (1 - share) + sea * share, "a sunset over the sea")


def _desert(canvas: Canvas) -> Background:
    edge = 0.5
    dune = edge + 0.05 * canvas.noise(2, 4)
    sky = canvas.ramp(canvas.tone((120, 184, 232)), canvas.tone((246, 226, 186)))
    sand = canvas.tone((230, 178, 108)) + 8 * canvas.noise(10, 5) + 3 * canvas.noise(50, 40)
    share = canvas.below(dune, 0.006)
    return _finished(canvas, sky * (1 - share) + sand * share, "a hot sandy desert", edge)


KINDS: dict[str, Callable[[Canvas], Background]] = {
    "plain": _plain,
    "gradient": _gradient,
    "table": _table,
    "room": _room,
    "meadow": _meadow,
    "beach": _beach,
    "street": _street,
    "snow": _snow,
    "sky": _sky,
    "sea floor": _sea_floor,
    "sunset": _sunset,
    "desert": _desert,
}
