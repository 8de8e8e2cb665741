"""Flows: functions from one call of a layer to the channel ids and removed-channel constants that come out."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from rsseg_tf.graphs import is_elementwise
from rsseg_tf.pruning.rules.grids import regridded
from rsseg_tf.pruning.rules.site import Ids, Signal, Site, Values, product_of

_PROBES = (-1.0, 0.0, 1.0)
"""Values that are tried where a removed channel's value is not known: a division by 0 or root of −1 shows."""


def frozen(site: Site, reason: str) -> Signal:
    """Keep all channels that come in. Where their number does not change they are also those that go out.

    What they would emit if they were removed does not matter: 0 stands for it.
    """
    for signal in site.inputs:
        site.freeze(signal.ids, reason)
    if len(site.inputs) == 1 and site.inputs[0].axes is None and len(site.inputs[0].ids) == site.width:
        return site.output(site.inputs[0].ids)
    ids = site.new_ids(site.width)
    site.freeze(ids, reason)
    return site.output(ids)


def frozen_parts(site: Site, reason: str) -> tuple[Signal, ...]:
    """Keep all channels that come in, and all that go out of a layer that returns several tensors."""
    outputs = site.unknown()
    for signal in (*site.inputs, *outputs):
        site.freeze(signal.ids, reason)
    return outputs


def passing(site: Site) -> Signal:
    """Pass on the channels that come in, and constants with them: pooling, cropping, dropout."""
    x = site.inputs[0]
    return site.output(x.ids, x.dead, axes=x.axes)


def dropped(site: Site) -> Signal:
    """Pass channels on as `passing`, in a tensor of the same shape."""
    site.keep_shape()
    return passing(site)


def padded(site: Site) -> Signal:
    """Pass channels on as `passing`; where a value is put around, other constants are no longer constant."""
    x = site.inputs[0]
    pads, value = getattr(site.layer, "pad_to_aspect_ratio", True), getattr(site.layer, "fill_value", 0.0)
    return site.output(x.ids, np.where(x.dead == value, x.dead, np.nan) if pads else x.dead)


def padded_by(site: Site) -> Signal:
    """Pass channels on as `padded` where `keras.ops.pad` puts constants around positions alone."""
    x, layer = site.inputs[0], site.layer
    around = layer.pad_width[-1]
    if len(layer.pad_width) == 1 or any(around):
        return frozen(site, "puts channels beside those that come in")
    values = [value for value in site.arguments if value is not None]
    if layer.mode != "constant" or len(site.inputs) > 1 or any(np.ndim(value) for value in values):
        return passing(site) if layer.mode != "constant" else frozen(site, "pads with what may differ by channel")
    value = float(values[0]) if values else 0.0
    return site.output(x.ids, np.where(x.dead == value, x.dead, np.nan))


def scaled(site: Site) -> Signal:
    """Pass on the channels that come in, each multiplied by a weight of its own (label `out`)."""
    x = site.inputs[0]
    site.axis("out", x.ids)
    return site.output(x.ids, 0.0)


def softmax(site: Site) -> Signal:
    """Pass on the channels that come in, which over axes of positions share out 1 each, else keep them all.

    A second tensor is a mask, which has to be the same for all channels.
    """
    x, *masks = site.inputs
    rank = len(x.shape) + 1
    axes = {int(axis) % rank for axis in np.atleast_1d(site.layer.axis)}
    if axes & {0, *(place + 1 for place in x.places)}:
        return frozen(site, "is a softmax over the channels, so each depends on all")
    if any(len(mask.shape) != len(x.shape) or any(mask.shape[place] != 1 for place in x.places) for mask in masks):
        return frozen(site, "has a mask for each channel")
    if any(value.ndim != rank or any(value.shape[place + 1] != 1 for place in x.places) for value in site.constants):
        return frozen(site, "holds constants for each channel")
    site.keep_shape()
    if masks or site.constants:
        return site.output(x.ids, np.nan, axes=x.axes)
    positions = product_of(tuple(x.shape[axis - 1] for axis in axes))
    dead = np.nan if positions is None else np.where(np.isnan(x.dead), np.nan, 1 / positions)
    return site.output(x.ids, dead, axes=x.axes)


def elementwise(site: Site) -> Signal:
    """Pass on the channels that come in, each element changed without regard to the others."""
    x = site.inputs[0]
    site.keep_shape()
    if _wide_constant(site):
        return frozen(site, "holds constants for each channel")
    return site.output(x.ids, _emitted(site, x.ids, [x]), axes=x.axes)


def rescaled(site: Site) -> Signal:
    """Pass channels on as `elementwise`, with one scale and offset for all channels."""
    if np.size(site.layer.scale) > 1 or np.size(site.layer.offset) > 1:
        return frozen(site, "holds constants for each channel")
    return elementwise(site)


def activation(site: Site) -> Signal:
    """Pass channels on as `elementwise` where the activation is known to be so, else keep them all."""
    if not is_elementwise(site.activation):
        return frozen(site, f"applies `{_name(site.activation)}`, which may mix channels")
    return elementwise(site)


def merged(site: Site) -> Signal:
    """Join the tensors' channels one by one; a tensor with one channel is spread over all."""
    site.keep_shape()
    wide, narrow = _by_width(site)
    if _wide_constant(site):
        return frozen(site, "holds constants for each channel")
    if len({(signal.axes, signal.ids.shape) for signal in site.inputs}) > 1 and any(
        x.axes is not None for x in site.inputs
    ):
        return frozen(site, "takes channels that are laid out in different ways")
    for signal in wide[1:]:
        site.join(wide[0].ids, signal.ids)
    for signal in narrow:
        site.freeze(signal.ids, "spreads this one channel over others")
    emitted = _emitted(site, wide[0].ids, wide)
    return site.output(wide[0].ids, np.nan if narrow else emitted, axes=wide[0].axes)


def product(site: Site) -> Signal:
    """Join channels as `merged`; what is 0 in one tensor is 0 in the product: squeeze-and-excite."""
    out = merged(site)
    wide, _ = _by_width(site)
    zero = np.any([signal.dead == 0 for signal in wide if signal.ids.size == out.ids.size], axis=0)
    return site.output(out.ids, np.where(zero, 0.0, out.dead), axes=out.axes)


def concatenated(site: Site) -> Signal:
    """Put one tensor's channels after the other's; along another axis, join the tensors' channels."""
    axis = site.layer.axis
    if axis in (-1, len(site.output_shape)):
        ids = np.concatenate([signal.ids for signal in site.inputs])
        return site.output(ids, np.concatenate([signal.dead for signal in site.inputs]))
    first = site.inputs[0]
    for signal in site.inputs[1:]:
        site.join(first.ids, signal.ids)
    same = np.all([signal.dead == first.dead for signal in site.inputs], axis=0)
    return site.output(first.ids, np.where(same, first.dead, np.nan))


def reduced(site: Site) -> Signal:
    """Pass the channels on through a mean or extreme over other axes."""
    x = site.inputs[0]
    axes = np.atleast_1d(site.layer.axis if site.layer.axis is not None else -1)
    if np.any((axes == -1) | (axes == len(x.shape)) | (axes == 0)):
        return frozen(site, "reduces over the channels")
    if getattr(site.layer, "initial", None) is not None:
        return frozen(site, "starts from a value of its own")
    return passing(site)


def reshaped(site: Site) -> Signal:
    """Follow channels that stay the last axis, or are laid out once for every position, or come back from that."""
    x = site.inputs[0]
    order = _reshape_order(x, site.width) if x.axes is None else None
    if order is None:
        laid_out = regridded(site)
        if laid_out is not None:
            return laid_out
        return frozen(site, f"lays out {x.shape} as {site.output_shape}, which splits channels")
    site.axis("out", x.ids[order])
    dead = x.dead[order]
    if len(order) < len(x.ids):
        rows = x.dead.reshape(-1, len(order))
        dead = np.where(np.all(rows == rows[0], axis=0), dead, np.nan)
    return site.output(x.ids[order], dead)


def convolution(site: Site) -> Signal:
    """Create channels from a sum over all, or over the blocks of a grouped convolution."""
    if getattr(site.layer, "groups", 1) > 1:
        return _grouped(site)
    site.contract(site.inputs[0], can_fold=site.has_bias and not _pads(site.layer))
    return activated(site, site.created(site.width))


def transposed(site: Site) -> Signal:
    """Create channels; the borders of the output see fewer terms, so that no constant can be folded."""
    site.contract(site.inputs[0], can_fold=False)
    return activated(site, site.created(site.width))


def depthwise(site: Site) -> Signal:
    """Repeat each channel that comes in as many times as the output is wider."""
    x = site.inputs[0]
    site.axis("through", x.ids)
    ids = np.repeat(x.ids, site.width // len(x.ids))
    site.axis("out", ids)
    return activated(site, ids)


def separable(site: Site) -> Signal:
    """Repeat channels as `depthwise`, with 0 where its kernel is zeroed, then create channels from a sum over all."""
    layer, x = site.layer, site.inputs[0]
    site.axis("through", x.ids)
    ids = np.repeat(x.ids, layer.depth_multiplier)
    site.contract(Signal(x.shape, ids, np.zeros(len(ids))), can_fold=False)
    return activated(site, site.created(site.width))


def dense(site: Site) -> Signal:
    """Create channels from a sum over all."""
    site.contract(site.inputs[0], can_fold=site.has_bias)
    site.output_shape = (*site.inputs[0].shape[:-1], site.width)
    return activated(site, site.created(site.width))


def prelu(site: Site) -> Signal:
    """Pass on the channels that come in; slopes are shared over channels or one for each."""
    x = site.inputs[0]
    site.axis("out", x.ids)
    return site.output(x.ids, np.where(x.dead >= 0, x.dead, np.nan))


def activated(site: Site, ids: Ids) -> Signal:
    """Return the output of a layer with weights: removed channels emit its activation of 0."""
    function = site.activation
    if not is_elementwise(function):
        site.freeze(ids, f"applies `{_name(function)}`, which may mix channels")
        return site.output(ids)
    return site.output(ids, 0.0 if function is None else _at_zero(function))


def _grouped(site: Site) -> Signal:
    """Keep blocks equal: the j-th channels of all blocks go together; one channel per block is depthwise."""
    layer, x = site.layer, site.inputs[0]
    blocks = layer.groups
    if len(x.ids) == blocks:
        ids = np.repeat(x.ids, site.width // blocks)
        site.axis("out", ids)
        site.resize("groups", x.ids)
        return activated(site, ids)
    incoming = x.ids.reshape(blocks, -1)
    ids = site.created(site.width)
    outgoing = ids.reshape(blocks, -1)
    for block in range(1, blocks):
        site.join(incoming[0], incoming[block])
        site.join(outgoing[0], outgoing[block])
    site.contract(Signal(x.shape, incoming[0], _worst(x.dead.reshape(blocks, -1))), can_fold=False)
    return activated(site, ids)


def _worst(dead: Values) -> Values:
    return np.where(np.any(dead != 0, axis=0), np.nan, 0.0)


def _at_zero(function: Callable[..., object]) -> float:
    return float(keras.ops.convert_to_numpy(function(keras.ops.zeros((1, 1))))[0, 0])


def _pads(layer: keras.Layer) -> bool:
    """Return whether zeros may be put around what the layer sums over; true of a layer that does not say."""
    return getattr(layer, "padding", "") != "valid" and max(getattr(layer, "kernel_size", (2,))) > 1


def _by_width(site: Site) -> tuple[list[Signal], list[Signal]]:
    """Return the tensors with all channels, and those with one channel that is spread over them."""
    width = max(signal.ids.size for signal in site.inputs)
    wide = [signal for signal in site.inputs if signal.ids.size == width or signal.ids.size != 1]
    return wide, [signal for signal in site.inputs if signal.ids.size == 1 and width > 1]


def _emitted(site: Site, ids: Ids, signals: list[Signal]) -> Values:
    """Return what a removed channel emits: NaN where that is not the same everywhere. Elsewhere keep what has none."""
    unknown = np.any([np.isnan(signal.dead) for signal in signals], axis=0)
    values = site.evaluate(_PROBES if unknown.any() else _PROBES[:1])
    site.freeze(ids[~np.isfinite(values).all(axis=0)], "has no value, such as 0/0, where channels are removed")
    return np.where(unknown, np.nan, values[0])


def _wide_constant(site: Site) -> bool:
    return any(np.prod(value.shape, dtype=np.int64) > 1 for value in site.constants)


def _reshape_order(x: Signal, width: int) -> Ids | None:
    """Return the input channels along the output's last axis; None where the layout does not keep channels whole."""
    channels = len(x.ids)
    if not width or channels == 0:
        return None
    if width == channels:
        return np.arange(channels)
    trailing = [product_of(x.shape[-k:]) for k in range(2, len(x.shape) + 1)]
    if width in trailing:
        return np.tile(np.arange(channels), width // channels)
    rows = x.ids.reshape(-1, width) if channels % width == 0 else x.ids[:, None]
    return np.arange(width) if channels % width == 0 and bool((rows == rows[0]).all()) else None


def _name(function: Callable[..., object] | None) -> str:
    return getattr(function, "__name__", type(function).__name__)
