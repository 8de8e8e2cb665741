"""The plan of a generated town: a turned grid of streets and the land between them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np

from rsseg_tf.datasets.palette import Color
from rsseg_tf.datasets.scenes.canvas import Canvas, Material, Points
from rsseg_tf.datasets.scenes.objects import (
    Building,
    Sun,
    blob,
    draw_car,
    draw_container,
    draw_heap,
    draw_tree,
    placed,
    rectangle,
    varied,
)

_OPEN_GROUND = (Material.GRASS, Material.PAVING, Material.CROWN)


@dataclass(frozen=True)
class Street:
    """A straight street: where its middle lies across its direction, and its width, in pixels."""

    middle: float
    width: float

    @property
    def start(self) -> float:
        """Where it begins, across its direction."""
        return self.middle - self.width / 2

    @property
    def end(self) -> float:
        """Where it ends."""
        return self.middle + self.width / 2


@dataclass(frozen=True)
class Block:
    """The land between four streets: a box in plan coordinates."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Along u."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Along v."""
        return self.bottom - self.top

    @property
    def middle(self) -> tuple[float, float]:
        """The point half way along both."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def part(self, left: float, top: float, right: float, bottom: float) -> Block:
        """Return the box between these shares of width and height."""
        return Block(
            self.left + left * self.width,
            self.top + top * self.height,
            self.left + right * self.width,
            self.top + bottom * self.height,
        )

    def inner(self, margin: float) -> Block:
        """Return the box without a margin."""
        return Block(self.left + margin, self.top + margin, self.right - margin, self.bottom - margin)


@dataclass
class Town:
    """A town being drawn: plan coordinates (u, v) are turned about the middle of the canvas to become pixels.

    Attributes:
        canvas: where it is painted.
        rng: every choice comes from it.
        angle: of u against the x axis, in radians.
        sun: where shadows fall.
        asphalt: color of streets.
        paving: color of pavements and yards.
        grass: color of open ground.
        buildings: those that still have to be drawn.
    """

    canvas: Canvas
    rng: np.random.Generator
    angle: float
    sun: Sun
    asphalt: Color
    paving: Color
    grass: Color
    buildings: list[Building] = field(default_factory=list)

    def pixels(self, points: Points) -> Points:
        """Return plan coordinates → pixels."""
        return placed(points, self.canvas.size / 2, self.canvas.size / 2, self.angle)

    def place(self, u: float, v: float) -> tuple[float, float]:
        """Return one point of the plan in pixels."""
        cosine, sine, middle = math.cos(self.angle), math.sin(self.angle), self.canvas.size / 2
        return u * cosine - v * sine + middle, u * sine + v * cosine + middle

    def in_sight(self, u: float, v: float, reach: float) -> bool:
        """Return whether something of this radius at (u, v) may show."""
        x, y = self.place(u, v)
        return max(abs(x - self.canvas.size / 2), abs(y - self.canvas.size / 2)) < self.canvas.size / 2 + reach

    def fill(self, block: Block, material: Material, color: Color) -> None:
        """Pave a box."""
        self.strip(*block.middle, block.width, block.height, material=material, color=color)

    def strip(self, u: float, v: float, length: float, width: float, *, material: Material, color: Color) -> None:
        """Pave a box given by its middle."""
        self.canvas.polygon(self.pixels(rectangle(u, v, length, width)), material, color)

    def patch(self, u: float, v: float, radius: float, material: Material, color: Color) -> None:
        """Cover a round patch with an uneven edge."""
        self.canvas.polygon(self.pixels(blob(u, v, radius, self.rng, corners=16)), material, color)

    def car(self, u: float, v: float, angle: float) -> None:
        """Put down a car that heads at `angle` to u."""
        if self.in_sight(u, v, 20):
            angle += self.rng.normal(0, 0.05)
            draw_car(self.canvas, *self.place(u, v), self.angle + angle, sun=self.sun, rng=self.rng)

    def container(self, u: float, v: float, angle: float) -> None:
        """Put down a container that lies at `angle` to u."""
        if self.in_sight(u, v, 40):
            draw_container(self.canvas, *self.place(u, v), self.angle + angle, sun=self.sun, rng=self.rng)

    def heap(self, u: float, v: float, radius: float) -> None:
        """Pile up soil."""
        draw_heap(self.canvas, *self.place(u, v), radius, sun=self.sun, rng=self.rng)

    def building(self, u: float, v: float, length: float, width: float, *, tiled: bool) -> None:
        """Plan a building; `raise_buildings` draws it after everything on the ground."""
        if not self.in_sight(u, v, length + width):
            return
        height_px = self.rng.uniform(5, 9) if tiled else self.rng.uniform(7, 14)
        angle = self.angle + self.rng.normal(0, 0.04)
        self.buildings.append(Building(*self.place(u, v), length, width, angle, height_px, tiled))

    def raise_buildings(self) -> None:
        """Draw the shadows of all buildings, then their roofs."""
        for building in self.buildings:
            self.canvas.shadow(self.sun.cast(building.footprint(), building.height_px))
        for building in self.buildings:
            building.draw_roof(self.canvas, sun=self.sun, rng=self.rng)

    def tree(self, x: float, y: float, radius: float) -> None:
        """Plant a tree at a pixel, where the ground is open."""
        if self.canvas.material_at(x, y) in _OPEN_GROUND:
            draw_tree(self.canvas, x, y, radius, sun=self.sun, rng=self.rng)


def lay_streets(reach: float, rng: np.random.Generator) -> tuple[Street, ...]:
    """Return parallel streets at uneven distances between -reach and reach."""
    streets = [Street(-reach - rng.uniform(20, 180), rng.uniform(24, 30))]
    while streets[-1].middle < reach + 20:
        streets.append(Street(streets[-1].middle + rng.uniform(135, 195), rng.uniform(24, 30)))
    return tuple(streets)


def blocks_between(across: tuple[Street, ...], down: tuple[Street, ...]) -> tuple[Block, ...]:
    """Return the land that streets at `across` (along v) and `down` (along u) enclose."""
    return tuple(
        Block(west.end, north.end, east.start, south.start)
        for west, east in itertools.pairwise(across)
        for north, south in itertools.pairwise(down)
    )


def start_town(size: int, rng: np.random.Generator) -> Town:
    """Return a town without anything on it, in one season and under one sun."""
    direction, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.2)
    season: Color = (138, 130, 92) if rng.random() < 0.3 else (106, 122, 76)
    angle = rng.uniform(0, np.pi)
    return Town(
        Canvas(size, rows_angle=angle),
        rng,
        angle=angle,
        sun=Sun(length * np.cos(direction), length * np.sin(direction)),
        asphalt=varied((108, 108, 110), rng, spread=16),
        paving=varied((158, 154, 146), rng, spread=14),
        grass=varied(season, rng, spread=8),
    )
