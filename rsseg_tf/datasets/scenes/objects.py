"""Single things in a generated scene: cars, buildings, trees, containers, heaps.

A thing is placed by its center in pixels and the angle that its length makes with the x axis.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from rsseg_tf.datasets.palette import Color
from rsseg_tf.datasets.scenes.canvas import Canvas, Material, Points

# Colors overlap between classes on purpose: gray is asphalt, roof, car and container; brown is roof, soil
# and dry grass; green is grass, crown, roof and container. Shape, texture and surroundings have to decide.
CAR_COLORS: tuple[Color, ...] = (
    (225, 226, 224),
    (170, 173, 176),
    (112, 114, 118),
    (48, 50, 54),
    (140, 46, 42),
    (54, 74, 122),
    (66, 88, 70),
    (176, 160, 128),
)
FLAT_ROOFS: tuple[Color, ...] = (
    (122, 122, 122),
    (160, 158, 152),
    (200, 198, 192),
    (96, 98, 104),
    (110, 118, 88),
    (150, 130, 110),
)
TILED_ROOFS: tuple[Color, ...] = (
    (158, 86, 66),
    (134, 76, 62),
    (122, 104, 88),
    (98, 92, 92),
    (150, 116, 86),
    (96, 104, 80),
)
CONTAINER_COLORS: tuple[Color, ...] = (
    (150, 66, 50),
    (58, 82, 124),
    (78, 104, 84),
    (176, 172, 160),
    (172, 132, 64),
    (112, 112, 114),
)
CROWN_COLORS: tuple[Color, ...] = ((62, 86, 50), (78, 98, 56), (54, 76, 52), (92, 104, 62))

_UNIT_SQUARE = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])


@dataclass(frozen=True)
class Sun:
    """Where shadows fall: (x, y) pixels for each pixel of height."""

    x: float
    y: float

    def cast(self, points: Points, height_px: float) -> Points:
        """Return the points and their shadows on the ground."""
        return np.concatenate([points, placed(points, self.x * height_px, self.y * height_px)])


def rectangle(x: float, y: float, length: float, width: float, angle: float = 0.0) -> Points:
    """Return the corners of a rectangle: (4, 2)."""
    corners = _UNIT_SQUARE * (length, width)
    return placed(corners, x, y, angle)


def placed(points: Points, x: float, y: float, angle: float = 0.0) -> Points:
    """Return the points turned about the origin by `angle` radians, then moved there from the origin."""
    cosine, sine = math.cos(angle), math.sin(angle)
    at: Points = points @ np.array([(cosine, sine), (-sine, cosine)]) if angle else points.copy()
    at += np.array((x, y))
    return at


def blob(x: float, y: float, radius: float, rng: np.random.Generator, *, corners: int = 12) -> Points:
    """Return a round outline with an uneven radius: (corners, 2)."""
    return placed(_circle(corners) * radius * rng.uniform(0.78, 1.12, (corners, 1)), x, y)


@functools.cache
def _circle(corners: int) -> Points:
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def varied(color: Color, rng: np.random.Generator, *, spread: float = 10) -> Color:
    """Return the color, a little brighter or darker and a little off in each channel."""
    light, red, green, blue = (rng.standard_normal(4) * (spread, spread / 3, spread / 3, spread / 3)).tolist()
    return _byte(color[0] + light + red), _byte(color[1] + light + green), _byte(color[2] + light + blue)


def pick(colors: tuple[Color, ...], rng: np.random.Generator, *, spread: float = 10) -> Color:
    """Return one of the colors, varied."""
    return varied(colors[rng.integers(len(colors))], rng, spread=spread)


def draw_car(canvas: Canvas, x: float, y: float, angle: float, *, sun: Sun, rng: np.random.Generator) -> None:
    """Draw a car of about 17 × 8.5 px with dark windows."""
    length, width = rng.uniform(15.5, 18.5), rng.uniform(7.8, 9.2)
    body = rectangle(0, 0, length, width)
    canvas.shadow(sun.cast(placed(body, x, y, angle), 2.5))
    outline = placed(_rounded(body), x, y, angle)
    canvas.light(outline)
    canvas.polygon(outline, Material.CAR, pick(CAR_COLORS, rng, spread=8))
    for place, share in ((0.17, 0.16), (-0.3, 0.1)):
        window = placed(rectangle(place * length, 0, share * length, 0.76 * width), x, y, angle)
        canvas.polygon(window, Material.CAR, varied((42, 48, 56), rng, spread=6))


def _rounded(corners: Points) -> Points:
    """Return the outline with each corner about the origin cut off."""
    cut = np.concatenate([corners * (1, 0.72), corners * (0.86, 1)])
    return cut[np.argsort(np.arctan2(cut[:, 1], cut[:, 0]))]


@dataclass(frozen=True)
class Building:
    """A building to be drawn: footprint in pixels, height in pixels, roof."""

    x: float
    y: float
    length: float
    width: float
    angle: float
    height_px: float
    tiled: bool

    def footprint(self) -> Points:
        """Return the corners."""
        return rectangle(self.x, self.y, self.length, self.width, self.angle)

    def draw_roof(self, canvas: Canvas, *, sun: Sun, rng: np.random.Generator) -> None:
        """Paint the roof: two slopes of tiles, or a flat one with a rim and machines on it."""
        canvas.light(self.footprint())
        if self.tiled:
            self._draw_gable(canvas, sun, rng)
        else:
            self._draw_flat(canvas, rng)

    def _draw_gable(self, canvas: Canvas, sun: Sun, rng: np.random.Generator) -> None:
        color = pick(TILED_ROOFS, rng, spread=12)
        away_from_sun = sun.y * math.cos(self.angle) - sun.x * math.sin(self.angle)
        for side in (-1, 1):
            slope = rectangle(0, side * self.width / 4, self.length, self.width / 2)
            brightness = 1 - 0.2 * side * max(-1.0, min(1.0, away_from_sun))
            canvas.polygon(placed(slope, self.x, self.y, self.angle), Material.TILES, _scaled(color, brightness))

    def _draw_flat(self, canvas: Canvas, rng: np.random.Generator) -> None:
        color = pick(FLAT_ROOFS, rng, spread=12)
        canvas.polygon(self.footprint(), Material.ROOF, _scaled(color, 1.28))
        inner = rectangle(self.x, self.y, self.length - 4, self.width - 4, self.angle)
        canvas.polygon(inner, Material.ROOF, color)
        for _ in range(int(self.length * self.width / 700)):
            across, down = (rng.uniform(-0.35, 0.35, 2) * (self.length, self.width)).tolist()
            machine = rectangle(across, down, rng.uniform(3, 7), rng.uniform(3, 6))
            brightness = 0.6 if rng.random() < 0.5 else 1.3
            canvas.polygon(placed(machine, self.x, self.y, self.angle), Material.ROOF, _scaled(color, brightness))


def draw_tree(canvas: Canvas, x: float, y: float, radius: float, *, sun: Sun, rng: np.random.Generator) -> None:
    """Draw a crown with its shadow, bright toward the sun."""
    crown = blob(x, y, radius, rng)
    canvas.shadow(sun.cast(crown, radius * 0.8))
    canvas.light(crown)
    color = pick(CROWN_COLORS, rng, spread=8)
    canvas.polygon(crown, Material.CROWN, _scaled(color, 0.82))
    lit = blob(x - sun.x * 0.3 * radius, y - sun.y * 0.3 * radius, radius * 0.62, rng)
    canvas.polygon(lit, Material.CROWN, _scaled(color, 1.18))


def draw_container(canvas: Canvas, x: float, y: float, angle: float, *, sun: Sun, rng: np.random.Generator) -> None:
    """Draw a freight container of about 30 × 12 px with ribs across."""
    length, width = rng.uniform(26, 34), rng.uniform(11, 13)
    box = rectangle(x, y, length, width, angle)
    canvas.shadow(sun.cast(box, 5))
    canvas.light(box)
    color = pick(CONTAINER_COLORS, rng)
    canvas.polygon(box, Material.CONTAINER, color)
    for place in np.arange(-length / 2 + 3, length / 2, 5):
        rib = placed(rectangle(place, 0, 1.6, width), x, y, angle)
        canvas.polygon(rib, Material.CONTAINER, _scaled(color, 0.78))


def draw_heap(canvas: Canvas, x: float, y: float, radius: float, *, sun: Sun, rng: np.random.Generator) -> None:
    """Draw a heap of soil or rubble, bright toward the sun."""
    color = varied((150, 124, 96), rng, spread=14)
    outline = blob(x, y, radius, rng)
    canvas.shadow(sun.cast(outline, radius * 0.25))
    canvas.light(outline)
    canvas.polygon(outline, Material.SOIL, _scaled(color, 0.85))
    lit = blob(x - sun.x * 0.25 * radius, y - sun.y * 0.25 * radius, radius * 0.6, rng)
    canvas.polygon(lit, Material.SOIL, _scaled(color, 1.15))


def _scaled(color: Color, factor: float) -> Color:
    return _byte(color[0] * factor), _byte(color[1] * factor), _byte(color[2] * factor)


def _byte(value: float) -> int:
    return min(255, max(0, round(value)))
