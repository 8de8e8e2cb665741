"""What the activations of a float TFLite file are like over images: extremes of each image, and a histogram."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.quantization.int8.calibrated import Images, recorded_ranges
from rsseg_tf.tflite.runtime import load_runtime

Float64Array: TypeAlias = NDArray[np.float64]

Histogram: TypeAlias = tuple[NDArray[np.int64], int]

BINS = 4096

Key = TypeVar("Key")
Key_contra = TypeVar("Key_contra", contravariant=True)


@dataclass(frozen=True, eq=False)
class Observed:
    """One activation over all images.

    Attributes:
        minima: the least value in each image.
        maxima: the greatest value in each image.
        histogram: gives `counts` and `zeros`. The images are run a second time for the first that is asked for.
    """

    minima: Float64Array
    maxima: Float64Array
    histogram: Callable[[], Histogram]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many values other than zero lie in each of `BINS` equal bins from `low` to `high`."""
        return self.histogram()[0]

    @property
    def zeros(self) -> int:
        """How many values are exactly zero: ReLU makes so many that they would drown a bin."""
        return self.histogram()[1]

    @property
    def low(self) -> float:
        """The least value."""
        return float(self.minima.min())

    @property
    def high(self) -> float:
        """The greatest value."""
        return float(self.maxima.max())

    @property
    def centers(self) -> Float64Array:
        """The value in the middle of each bin."""
        bins = len(self.counts)
        return self.low + (np.arange(bins) + 0.5) * (self.high - self.low) / bins


class Reader(Protocol[Key_contra]):
    """Anything that runs a network on pixels and then hands out what it computed."""

    def run(self, image: NDArray[np.uint8]) -> None:
        """Run the network on pixels uint8 (H, W, C)."""
        ...

    def tensor(self, index: Key_contra) -> NDArray[Any]:
        """Return the values of a tensor after the last run."""
        ...


class TensorReader:
    """Runs a TFLite file in the plain interpreter, which keeps every tensor, unlike XNNPACK.

    Args:
        content: the file's bytes; one input.
    """

    def __init__(self, content: bytes) -> None:
        runtime = load_runtime()
        self._native = runtime.Interpreter(
            model_content=content,
            num_threads=os.cpu_count(),
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._native.allocate_tensors()
        self._input = self._native.get_input_details()[0]

    def run(self, image: NDArray[np.uint8]) -> None:
        """Run the network on pixels uint8 (H, W, C)."""
        self._native.set_tensor(self._input["index"], image[None].astype(self._input["dtype"]))
        self._native.invoke()

    def tensor(self, index: int) -> NDArray[Any]:
        """Return the stored values of a tensor after the last run."""
        values: NDArray[Any] = self._native.get_tensor(index)
        return values


def observe(calibrated: bytes, images: Images) -> dict[int, Observed]:
    """Return tensor number → what the activation is like, for every tensor with a range in the file.

    Every value is seen by itself, unlike in TensorFlow's calibrator; see `with_range_slots`.
    """
    return observations(TensorReader(calibrated), list(recorded_ranges(calibrated)), images)


def observations(reader: Reader[Key], tensors: Sequence[Key], images: Images) -> dict[Key, Observed]:
    """Return tensor → what the activation is like over images, as a reader of them tells it."""
    extremes = np.array([[_extremes(reader.tensor(index)) for index in tensors] for _ in _runs(reader, images)])
    seen: dict[Key, Observed] = {}
    histograms = functools.cache(lambda: _histograms(seen, reader, images))
    for index, minima, maxima in zip(tensors, *extremes.transpose(2, 1, 0), strict=True):
        seen[index] = Observed(minima, maxima, functools.partial(lambda tensor: histograms()[tensor], index))
    return seen


def _runs(reader: Reader[Key], images: Images) -> Iterator[None]:
    for image in images:
        reader.run(image)
        yield


def _extremes(values: NDArray[np.float32]) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _histograms(seen: Mapping[Key, Observed], reader: Reader[Key], images: Images) -> dict[Key, Histogram]:
    counts = {index: np.zeros(BINS, np.int64) for index in seen}
    zeros = dict.fromkeys(seen, 0)
    for _ in _runs(reader, images):
        for index, observed in seen.items():
            values = reader.tensor(index)
            nonzero = values[values != 0]
            counts[index] += _histogram(nonzero, observed)
            zeros[index] += values.size - nonzero.size
    return {index: (counts[index], zeros[index]) for index in seen}


def _histogram(values: NDArray[np.float32], observed: Observed) -> NDArray[np.int64]:
    width = (observed.high - observed.low) / BINS or 1.0  # an activation that never changes
    places = np.clip((values - observed.low) / width, 0, BINS - 1).astype(np.int64)
    return np.bincount(places, minlength=BINS)
