"""What the taps of a convolution's kernel meet of its input, padding included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.tflite.flatbuffer import Op


@dataclass(frozen=True)
class Taps:
    """Where a kernel's taps lie.

    Attributes:
        size: of the kernel, height and width.
        strides: down and across.
        dilations: down and across.
        places: of the result, down and across.
    """

    size: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    places: tuple[int, int]

    @classmethod
    def of(cls, op: Op) -> Taps:
        """Return those of a CONV_2D or DEPTHWISE_CONV_2D."""
        kernel, result = (tensor.shape for tensor in (op.inputs[1], op.outputs[0]) if tensor)
        attributes = op.attributes
        return cls(
            (kernel[1], kernel[2]),
            (attributes["stride_h"], attributes["stride_w"]),
            (attributes["dilation_h_factor"], attributes["dilation_w_factor"]),
            (result[1], result[2]),
        )

    def padded(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return an input (h, w, c) with the zeros around it that the taps meet."""
        needed = [
            (count - 1) * stride + (side - 1) * step + 1
            for count, stride, side, step in zip(self.places, self.strides, self.size, self.dilations, strict=True)
        ]
        missing = [max(0, need - have) for need, have in zip(needed, values.shape[:2], strict=True)]
        return np.pad(values, (*((m // 2, m - m // 2) for m in missing), (0, 0)))

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each tap meets on average over all places: (kernel h, kernel w, c), of an input (h, w, c)."""
        padded = self.padded(values)
        return np.array(
            [
                [padded[self._seen(0, row), self._seen(1, column)].mean(axis=(0, 1)) for column in range(self.size[1])]
                for row in range(self.size[0])
            ]
        )

    def _seen(self, axis: int, tap: int) -> slice:
        start, stride = tap * self.dilations[axis], self.strides[axis]
        return slice(start, start + (self.places[axis] - 1) * stride + 1, stride)

    def samples(self, values: NDArray[Any], chosen: NDArray[np.int64]) -> NDArray[Any]:
        """Return what the taps meet at some places, (n, kernel h, kernel w, c), of an input (h, w, c).

        Args:
            values: the input.
            chosen: numbers of places, row by row (n,).
        """
        rows, columns = (
            at[:, None] * stride + np.arange(side) * step
            for at, stride, side, step in zip(
                np.divmod(chosen, self.places[1]), self.strides, self.size, self.dilations, strict=True
            )
        )
        met: NDArray[Any] = self.padded(values)[rows[:, :, None], columns[:, None, :]]
        return met
