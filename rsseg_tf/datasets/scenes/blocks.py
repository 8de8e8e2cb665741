"""What stands on the land between streets: houses with gardens, shops with parking, parks, yards."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from rsseg_tf.datasets.scenes.canvas import Material
from rsseg_tf.datasets.scenes.objects import varied
from rsseg_tf.datasets.scenes.plan import Block, Street, Town

_PAVEMENT_PX = 4
_STALL_PX, _STALL_DEPTH_PX = 12.5, 21


def draw_block(town: Town, block: Block) -> None:
    """Draw a pavement round the block and one of the four kinds on it."""
    town.fill(block, Material.PAVING, town.paving)
    kind = town.rng.choice(len(_KINDS), p=[share for _, share in _KINDS])
    _KINDS[kind][0](town, block.inner(_PAVEMENT_PX))


def _draw_houses(town: Town, block: Block) -> None:
    rng = town.rng
    town.fill(block, Material.GRASS, varied(town.grass, rng, spread=6))
    lots = max(1, round(block.width / rng.uniform(42, 52)))
    rows = 2
    for row in range(rows):
        for lot in range(lots):
            _draw_lot(town, block.part(lot / lots, row / rows, (lot + 1) / lots, (row + 1) / rows), flipped=row == 1)


def _draw_lot(town: Town, lot: Block, *, flipped: bool) -> None:
    rng = town.rng
    u, v = lot.middle
    length, width = lot.width * rng.uniform(0.56, 0.68), lot.height * rng.uniform(0.54, 0.68)
    street_v, side = (lot.bottom, -1) if flipped else (lot.top, 1)
    drive_u = lot.right - 6.5
    drive_v = street_v + side * 14
    town.strip(drive_u, drive_v, 12, 28, material=Material.PAVING, color=varied(town.paving, rng, spread=12))
    if rng.random() < 0.75:
        town.car(drive_u, drive_v + rng.uniform(-2, 2), np.pi / 2)
    if rng.random() < 0.14:
        town.patch(u, v + side * lot.height * 0.38, rng.uniform(6, 9), Material.WATER, varied((84, 132, 142), rng))
    if rng.random() < 0.93:
        town.building(u - 4, v - side * 1, length, width, tiled=rng.random() < 0.75)


def _draw_shops(town: Town, block: Block) -> None:
    rng = town.rng
    color = town.asphalt if rng.random() < 0.6 else varied(town.paving, rng)
    town.fill(block, Material.ASPHALT if color == town.asphalt else Material.PAVING, color)
    share = rng.uniform(0.5, 0.66)
    built, free = block.part(0, 0, share, 1), block.part(share, 0, 1, 1)
    halves = 1 if rng.random() < 0.5 else 2
    for half in range(halves):
        part = built.part(0, half / halves, 1, (half + 1) / halves).inner(5)
        town.building(*part.middle, part.width, part.height, tiled=False)
    _draw_parking(town, free.inner(5))


def _draw_parking(town: Town, block: Block) -> None:
    rng = town.rng
    crowd = rng.uniform(0.45, 0.85)
    u, facing = block.left + _STALL_DEPTH_PX / 2, 0
    while u < block.right - _STALL_DEPTH_PX / 2 + 2:
        for v in np.arange(block.top + _STALL_PX, block.bottom - _STALL_PX / 2, _STALL_PX):
            line_v = v - _STALL_PX / 2
            town.strip(u, line_v, _STALL_DEPTH_PX - 3, 1.3, material=Material.MARKING, color=(198, 198, 192))
            if rng.random() < crowd:
                town.car(u + rng.uniform(-1, 1), v, 0 if facing else np.pi)
        u += _STALL_DEPTH_PX + (20 if facing == 0 else 0)
        facing = 1 - facing


def _draw_park(town: Town, block: Block) -> None:
    rng = town.rng
    town.fill(block, Material.GRASS, varied(town.grass, rng, spread=6))
    path_u = block.left + block.width * rng.uniform(0.3, 0.7)
    town.strip(path_u, block.middle[1], 7, block.height, material=Material.PAVING, color=varied(town.paving, rng))
    pond = block.part(*rng.uniform((0.2, 0.25, 0.7, 0.6), (0.3, 0.4, 0.8, 0.75)))
    if rng.random() < 0.7:
        town.patch(*pond.middle, rng.uniform(16, 27), Material.WATER, varied((70, 92, 84), rng))
    for _ in range(int(block.width * block.height / 420)):
        town.tree(*town.place(rng.uniform(block.left, block.right), rng.uniform(block.top, block.bottom)), _crown(rng))


def _draw_yard(town: Town, block: Block) -> None:
    rng = town.rng
    if rng.random() < 0.7:
        town.fill(block, Material.GRASS, varied(town.grass, rng, spread=8))
    left, right = block.part(0, 0, 0.52, 1), block.part(0.52, 0, 1, 1)
    soil = varied((146, 122, 94), rng, spread=12)
    town.patch(*left.middle, min(left.width, left.height) * 0.62, Material.SOIL, soil)
    for _ in range(3):
        u, v = rng.uniform(left.left + 12, left.right - 12), rng.uniform(left.top + 12, left.bottom - 12)
        town.heap(u, v, rng.uniform(8, 14))
    rows = int(right.height // 17)
    for row in range(1, rows):
        if rng.random() < 0.72:
            town.container(right.middle[0] - 9 + rng.normal(0, 1.5), right.top + row * 17, rng.normal(0, 0.05))
        if rng.random() < 0.25:
            town.car(right.right - 14, right.top + row * 17, 0)


_KINDS: tuple[tuple[Callable[[Town, Block], None], float], ...] = (
    (_draw_houses, 0.4),
    (_draw_shops, 0.2),
    (_draw_park, 0.14),
    (_draw_yard, 0.26),
)


def draw_streets(town: Town, across: tuple[Street, ...], down: tuple[Street, ...], reach: float) -> None:
    """Draw asphalt, then lines, crossings and cars on the streets along v (`across`) and along u (`down`)."""
    for street in across:
        town.strip(street.middle, 0, street.width, 2 * reach, material=Material.ASPHALT, color=town.asphalt)
    for street in down:
        town.strip(0, street.middle, 2 * reach, street.width, material=Material.ASPHALT, color=town.asphalt)
    for street in across:
        _draw_traffic(town, street, down, along_v=True)
    for street in down:
        _draw_traffic(town, street, across, along_v=False)


def _draw_traffic(town: Town, street: Street, crossing: tuple[Street, ...], *, along_v: bool) -> None:
    """Draw lines and cars between the crossings of one street."""
    for start, end in itertools.pairwise(crossing):
        first, last = start.end, end.start
        _draw_lines(town, street, first, last, along_v=along_v)
        if town.rng.random() < 0.5:
            _draw_zebra(town, street, first + 7, along_v=along_v)
        for lane in (-1, 1):
            place = first + 14 + town.rng.exponential(26)
            while place < last - 10:
                u, v = _on_street(street, place, lane * street.width / 4, along_v=along_v)
                town.car(u, v, (np.pi / 2 if along_v else 0) + (np.pi if lane < 0 else 0))
                place += 24 + town.rng.exponential(26)


def _draw_lines(town: Town, street: Street, first: float, last: float, *, along_v: bool) -> None:
    for place in np.arange(first + 14, last - 6, 17):
        _mark(town, street, (place, 0.0), (9, 1.5), along_v=along_v)


def _draw_zebra(town: Town, street: Street, place: float, *, along_v: bool) -> None:
    for aside in np.arange(-street.width / 2 + 3, street.width / 2 - 1, 5):
        _mark(town, street, (place, aside), (8, 2.4), along_v=along_v)


def _mark(town: Town, street: Street, at: tuple[float, float], size: tuple[float, float], *, along_v: bool) -> None:
    u, v = _on_street(street, *at, along_v=along_v)
    if town.in_sight(u, v, 8):
        length, width = size[::-1] if along_v else size
        town.strip(u, v, length, width, material=Material.MARKING, color=(204, 204, 198))


def _on_street(street: Street, along: float, aside: float, *, along_v: bool) -> tuple[float, float]:
    return (street.middle + aside, along) if along_v else (along, street.middle + aside)


def plant_trees(town: Town) -> None:
    """Plant trees wherever the ground is open: gardens, pavements, the edges of yards."""
    size, rng = town.canvas.size, town.rng
    count = int(size * size / 560)
    for x, y in rng.uniform(-10, size + 10, (count, 2)).tolist():
        if town.canvas.material_at(x, y) is Material.GRASS or rng.random() < 0.2:
            town.tree(x, y, _crown(rng))


def _crown(rng: np.random.Generator) -> float:
    return float(rng.uniform(5.5, 11.5))
