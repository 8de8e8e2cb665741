"""Where generated scenes are painted, and how paint becomes a photograph.

Every shape puts a color and a material in one go; the material decides the label and the texture.
Then come shadows, texture, a bend of the whole plane, optics, light and the sensor.
"""

from __future__ import annotations

import math
from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.palette import Color, Pixels

Points = NDArray[np.float64]
Floats = NDArray[np.float32]

_MARGIN_PX = 16
_SUBPIXEL_BITS = 4


class Material(IntEnum):
    """What a pixel is made of."""

    ASPHALT = 0
    PAVING = 1
    MARKING = 2
    ROOF = 3
    TILES = 4
    GRASS = 5
    CROWN = 6
    CAR = 7
    WATER = 8
    SOIL = 9
    CONTAINER = 10


_LABELS: Pixels = np.array([0, 0, 0, 1, 1, 2, 3, 4, 5, 5, 5], np.uint8)

# Strength of changes in brightness, of 255: fine (1 px), middle (about 3 px), coarse (about 20 px).
_TEXTURE = np.array(
    [
        (2, 1, 6),  # asphalt
        (3, 2, 8),  # paving
        (3, 3, 5),  # marking
        (2, 1, 4),  # roof
        (3, 2, 5),  # tiles
        (9, 5, 9),  # grass
        (6, 19, 8),  # crown
        (2, 2, 2),  # car
        (1, 1, 6),  # water
        (18, 10, 10),  # soil
        (3, 2, 3),  # container
    ],
    np.float32,
)
_TILE_ROWS_PX = 4
_TILE_ROWS_STRENGTH = 15


class Canvas:
    """A square to paint on; coordinates are (x, y) pixels of the finished scene.

    Args:
        size: height and width of the finished scene in pixels.
        rows_angle: the direction that rows of roof tiles run in, radians from the x axis.
    """

    def __init__(self, size: int, *, rows_angle: float = 0.0) -> None:
        self.size = size
        self._rows_angle = rows_angle
        side = size + 2 * _MARGIN_PX
        self._paint: Pixels = np.zeros((side, side, 4), np.uint8)
        self._shade: Pixels = np.zeros((side, side), np.uint8)

    def polygon(self, points: Points, material: Material, color: Color) -> None:
        """Fill a polygon; it hides what was there, but the shadow on it stays."""
        cv2.fillPoly(self._paint, _fixed_point(points), (*color, int(material)), shift=_SUBPIXEL_BITS)

    def shadow(self, points: Points) -> None:
        """Darken the convex hull of `points`."""
        cv2.fillPoly(self._shade, [cv2.convexHull(_fixed_point(points)[0])], 255, shift=_SUBPIXEL_BITS)

    def light(self, points: Points) -> None:
        """Remove the shadow from a polygon that rises above it."""
        cv2.fillPoly(self._shade, _fixed_point(points), 0, shift=_SUBPIXEL_BITS)

    def material_at(self, x: float, y: float) -> Material | None:
        """Return what was painted last at a point, None outside."""
        column, row = round(x) + _MARGIN_PX, round(y) + _MARGIN_PX
        if not (0 <= row < len(self._paint) and 0 <= column < len(self._paint)):
            return None
        return Material(int(self._paint[row, column, 3]))

    def finish(self, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        """Return the photograph, uint8 (size, size, 3) RGB, and its labels, uint8 (size, size)."""
        columns, rows = _bend(self.size, rng)
        paint = cv2.remap(self._paint, columns, rows, cv2.INTER_NEAREST)
        shade = cv2.remap(self._shade, columns, rows, cv2.INTER_LINEAR)
        material = paint[..., 3]
        image = paint[..., :3].astype(np.float32)
        image += _texture(material, rng)
        image += _tile_rows(material, self._rows_angle)
        image *= _sunlight(shade, rng)
        return _photograph(image, rng), _LABELS[material]


def _fixed_point(points: Points) -> list[NDArray[np.int32]]:
    return [((points + _MARGIN_PX) * (1 << _SUBPIXEL_BITS)).astype(np.int32)]


def _bend(size: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return where each pixel comes from on the canvas: streets bend a little, nothing moves beyond the margin."""
    along = np.arange(size, dtype=np.float32)
    waves = []
    for _ in range(2):
        length_px, height_px = rng.uniform(220, 420), rng.uniform(2, 9)
        waves.append(height_px * np.sin(2 * np.pi * (along / length_px + rng.random())).astype(np.float32))
    columns = along[None, :] + waves[0][:, None] + _MARGIN_PX
    rows = along[:, None] + waves[1][None, :] + _MARGIN_PX
    return columns, rows


def _texture(material: Pixels, rng: np.random.Generator) -> Floats:
    """Return what the material adds to every channel: float32 (size, size, 1)."""
    size = len(material)
    fine, middle, coarse = _grain((size, size), rng), _blobs(size, 3, rng), _blobs(size, 20, rng)
    strength = _looked_up(material, _TEXTURE)
    texture: Floats = strength[..., 0] * fine + strength[..., 1] * middle + strength[..., 2] * coarse
    return texture[..., None]


def _tile_rows(material: Pixels, angle: float) -> Floats:
    """Return dark and bright rows where there are roof tiles: float32 (size, size, 1)."""
    along = np.arange(len(material), dtype=np.float32) * np.float32(2 * math.pi / _TILE_ROWS_PX)
    phase = along[:, None] * np.float32(math.cos(angle)) - along[None, :] * np.float32(math.sin(angle))
    rows: Floats = (material == Material.TILES) * np.sin(phase) * np.float32(_TILE_ROWS_STRENGTH)
    return rows[..., None]


def _looked_up(index: Pixels, table: Floats) -> Floats:
    """Return `table[index]` for a table (up to 256, 3), several times faster."""
    whole: Floats = np.zeros((1, 256, 3), np.float32)
    whole[0, : len(table)] = table
    return cv2.LUT(cv2.merge([index] * 3), whole)


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return white noise with unit variance; bytes come several times faster than normal numbers."""
    levels = np.frombuffer(rng.bytes(math.prod(shape)), np.uint8).reshape(shape)
    return (levels - np.float32(127.5)) / np.float32(math.sqrt((256**2 - 1) / 12))


def _blobs(size: int, blob_px: int, rng: np.random.Generator) -> Floats:
    """Return smooth noise of about unit variance, with features of about `blob_px`."""
    cells = -(-size // blob_px) + 2
    grid = rng.standard_normal((cells, cells), np.float32)
    smooth = cv2.resize(grid, (cells * blob_px, cells * blob_px), interpolation=cv2.INTER_CUBIC)
    return smooth[blob_px : blob_px + size, blob_px : blob_px + size] * np.float32(1.2)


def _sunlight(shade: Pixels, rng: np.random.Generator) -> Floats:
    """Return the factor of direct light: 1 in the sun, less and bluer in a shadow."""
    depth = rng.uniform(0.42, 0.6) * np.array([1.08, 1.0, 0.88], np.float32)
    levels = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    return _looked_up(cv2.GaussianBlur(shade, (0, 0), 0.8), (1 - levels * depth).astype(np.float32))


def _photograph(image: Floats, rng: np.random.Generator) -> Pixels:
    """Add optics, light, color cast, contrast and sensor noise of one flight."""
    size = len(image)
    sharp = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.75))
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slope_x, slope_y = rng.uniform(-0.12, 0.12, 2).astype(np.float32)
    light = 1 + slope_x * ramp[None, :] + slope_y * ramp[:, None]
    cast = rng.uniform(0.93, 1.07, 3) * rng.uniform(0.75, 1.2)
    exposed = sharp * light[..., None] * cast.astype(np.float32)
    noise, haze = rng.uniform(1.5, 5), rng.uniform(0, 18)
    return cv2.addWeighted(exposed, 1, _grain(image.shape, rng), noise, haze, dtype=cv2.CV_8U)
