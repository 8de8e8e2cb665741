"""Taps of convolutions that never meet the picture: wherever the kernel stands, they multiply padding.

A 3×3 kernel with a dilation as large as its feature map touches it with its center alone: it is a 1×1 convolution that
is stored and computed as a 3×3. Each axis stands for itself, so at 16×40 and rate 18 a 3×3 kernel is a 1×3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs.copying import copy_graph, copy_of, refresh, without_values
from rsseg_tf.graphs.flattening import flatten
from rsseg_tf.graphs.walk import calls

_KERNELS: Mapping[type, str] = {
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D), "kernel"),
    **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D), "kernel"),
    **dict.fromkeys((layers.SeparableConv1D, layers.SeparableConv2D), "depthwise_kernel"),
}
"""Type of layer → the variable whose first axes are those of the picture."""

_PADDED = ("same", "causal")


@dataclass(frozen=True)
class Window:
    """How a convolution moves along one axis.

    Attributes:
        size: taps of the kernel.
        stride, dilation: pixels between two places of the kernel, and between two taps.
        padding: `valid`, `same` or `causal`.
    """

    size: int
    stride: int
    dilation: int
    padding: str

    def before(self, length: int) -> int:
        """Return the zeros that are put before an axis of `length` pixels."""
        extent = (self.size - 1) * self.dilation
        if self.padding != "same":
            return extent if self.padding == "causal" else 0
        return max(0, (-(-length // self.stride) - 1) * self.stride + extent + 1 - length) // 2

    def reach(self, length: int | None) -> NDArray[np.float64]:
        """Return the share of the kernel's places on `length` pixels at which each tap meets one, (size,).

        1 where the length is open.
        """
        if self.padding not in _PADDED or length is None:
            return np.ones(self.size)
        starts = np.arange(-(-length // self.stride)) * self.stride - self.before(length)
        places = starts[:, None] + np.arange(self.size) * self.dilation
        found: NDArray[np.float64] = ((places >= 0) & (places < length)).mean(axis=0)
        return found

    def live(self, lengths: Sequence[int | None]) -> slice:
        """Return the fewest neighboring taps that do all that the kernel does on axes of these lengths.

        All of them where a length is open, or where fewer would be padded to another place.
        """
        known = [length for length in lengths if length is not None]
        if len(known) < len(lengths) or self.padding not in _PADDED:
            return slice(0, self.size)
        meets = np.any([self.reach(length) > 0 for length in known], axis=0)
        return next(part for part in self._parts() if self._is_whole(part, meets) and self._stays(part, known))

    def _parts(self) -> Iterator[slice]:
        for size in range(1, self.size + 1):
            yield from (slice(first, first + size) for first in range(self.size - size + 1))

    def _is_whole(self, part: slice, meets: NDArray[np.bool_]) -> bool:
        return bool(meets.sum() == meets[part].sum())

    def _stays(self, part: slice, lengths: Sequence[int]) -> bool:
        less = Window(part.stop - part.start, self.stride, self.dilation, self.padding)
        shift = part.start * self.dilation
        return all(less.before(length) == self.before(length) - shift for length in lengths)


def windows(layer: keras.Layer) -> list[Window]:
    """Return how a convolution moves along each axis of the picture."""
    moves = zip(layer.kernel_size, layer.strides, layer.dilation_rate, strict=True)
    return [Window(size, stride, dilation, layer.padding) for size, stride, dilation in moves]


def live_taps(model: keras.Model) -> keras.Model:
    """Return a network with the outputs of `model` whose convolutions have no taps that never meet the picture.

    Sums are of the same terms but zeros, so outputs differ by no more than the rounding of sums in another order.
    Layers keep their names and the channels that they have; the given model stays as it is, and comes back itself if
    every tap meets the picture somewhere. So does one that is not functional, or with a layer that cannot be made again
    from its configuration. Models within it become part of its graph. Plain, depthwise and separable convolutions of 1
    to 3 axes are looked at, not subclasses of them; along an axis of open length every tap stays.

    Args:
        model: any model.

    Examples:
        >>> x = keras.Input((16, 40, 8))
        >>> y = keras.layers.Conv2D(4, 3, padding="same", dilation_rate=18, name="wide")(x)
        >>> live_taps(keras.Model(x, y)).get_layer("wide").kernel_size
        (1, 3)
    """
    try:
        flat = flatten(model)
    except ModelError:
        return model
    parts = _live_parts(flat)
    if not parts:
        return model
    try:
        copy = copy_graph(flat, make=lambda operation: _made(operation, parts.get(operation.name)))
    except (NotImplementedError, TypeError, ValueError):  # What Keras raises of others' layers and of Lambda.
        return model
    for layer in copy.layers:
        source = flat.get_layer(layer.name)
        layer.set_weights(_weights(source, parts.get(layer.name)))
        refresh(layer)
    return copy


Parts = tuple[slice, ...]


def _live_parts(flat: keras.Model) -> dict[str, Parts]:
    """Return layer → the taps that it needs along each axis, of the layers that need fewer than they have."""
    sizes: dict[str, list[tuple[int | None, ...]]] = {}
    found = {}
    for call in calls(flat):
        layer = call.operation
        if type(layer) in _KERNELS and any(weight is _kernel(layer) for weight in layer.weights):
            shape = call.inputs[0].shape
            is_last = layer.data_format == "channels_last"
            sizes.setdefault(layer.name, []).append(shape[1:-1] if is_last else shape[2:])
            lengths = zip(*sizes[layer.name], strict=True)
            found[layer.name] = tuple(window.live(each) for window, each in zip(windows(layer), lengths, strict=True))
    return {name: parts for name, parts in found.items() if _sizes(parts) != flat.get_layer(name).kernel_size}


def _kernel(layer: keras.Layer) -> keras.Variable:
    return getattr(layer, _KERNELS[type(layer)])


def _sizes(parts: Parts) -> tuple[int, ...]:
    return tuple(part.stop - part.start for part in parts)


def _made(operation: keras.Operation, parts: Parts | None) -> keras.Operation:
    if parts is None:
        return copy_of(operation)
    sizes = _sizes(parts)
    rates = operation.dilation_rate if max(sizes) > 1 else (1,) * len(sizes)  # equal ones, as a Coral wants them, stay
    return copy_of(
        operation, **{**without_values(operation.get_config()), "kernel_size": sizes, "dilation_rate": rates}
    )


def _weights(layer: keras.Layer, parts: Parts | None) -> list[NDArray[np.generic]]:
    weights = [keras.ops.convert_to_numpy(weight) for weight in layer.weights]
    if parts is None:
        return weights
    kernel = _kernel(layer)
    return [value[parts] if weight is kernel else value for weight, value in zip(layer.weights, weights, strict=True)]
