"""Channels that are spread over two axes, such as heads and the width of each, and come back from there."""

from __future__ import annotations

import math

import keras

from rsseg_tf.pruning.rules.site import Signal, Site


def regridded(site: Site) -> Signal | None:
    """Return channels that a reshape spreads over the last two axes, or brings back from there; None for others."""
    x, shape = site.inputs[0], site.output_shape
    key = "target_shape" if isinstance(site.layer, keras.layers.Reshape) else "newshape"
    if not hasattr(site.layer, key):
        return None
    last_two = (len(x.shape) - 2, len(x.shape) - 1)
    if x.axes == last_two and site.width == x.ids.size:
        site.resize(key, x.ids.reshape(-1))
        return site.output(x.ids.reshape(-1), x.dead.reshape(-1))
    rows = (shape[-2] or 0) if len(shape) > 1 else 0
    if x.axes is not None or not 1 < site.width < len(x.ids) or rows * site.width != len(x.ids):
        return None
    grid = site.spread(x.ids.reshape(rows, site.width))
    site.resize(key, grid)
    return site.output(grid, x.dead.reshape(grid.shape), axes=(len(shape) - 2, len(shape) - 1))


def merged_shape(shape: tuple[int, ...], widths: list[int]) -> tuple[int, ...]:
    """Return a shape in which neighboring axes are joined to axes of these widths; as it is where they do not fit."""
    merged = []
    axis = 0
    for width in widths:
        end = next((stop for stop in range(axis + 1, len(shape) + 1) if math.prod(shape[axis:stop]) == width), 0)
        if not end:
            return shape
        merged.append(width)
        axis = end
    return tuple(merged) if axis == len(shape) else shape
