"""Dynamic ranges: MSB histogram and 8-bit window of every weight, bias and activation (the paper's Figure 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rsseg_tf.errors import DataError, ModelError
from rsseg_tf.quantization.paper.msb import EXPONENTS, Histogram, Window, choose_window, exponent_counts, histogram_of
from rsseg_tf.quantization.paper.tensors import float_outputs, rounded_outputs, rounded_variables
from rsseg_tf.tracing.dilation import native_dilation

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class TensorRange:
    """Where the values of one tensor lie.

    Attributes:
        kind: `weights`, `biases` or `activations`.
        layer: the layer that holds or computes it.
        name: the variable, `stem_conv/kernel`; of an activation the layer that returns it, `stem_relu`.
        histogram: positions of its values' most significant bits.
        window: the 8 bits that the paper's rule keeps of them.
    """

    kind: str
    layer: str
    name: str
    histogram: Histogram
    window: Window

    @property
    def underflow(self) -> float:
        """The share of its values other than 0 that become 0."""
        return self.window.underflow(self.histogram)

    @property
    def overflow(self) -> float:
        """The share of its values other than 0 that saturate."""
        return self.window.overflow(self.histogram)

    def record(self) -> dict[str, Any]:
        """Return the range as JSON values."""
        return {
            "kind": self.kind,
            "layer": self.layer,
            "name": self.name,
            "nonzero": self.histogram.nonzero,
            "zeros": self.histogram.zeros,
            "lowest": self.histogram.lowest,
            "counts": list(self.histogram.counts),
            "window": self.window.record(),
            "underflow": self.underflow,
            "overflow": self.overflow,
        }


@dataclass(frozen=True)
class Ranges:
    """The ranges of a whole network.

    Attributes:
        samples: how many images its activations were logged on.
        layers: the layers that hold or compute one of the tensors, in the order of the graph.
        tensors: in that order.
    """

    samples: int
    layers: tuple[str, ...]
    tensors: tuple[TensorRange, ...]

    def windows(self, kind: str) -> dict[str, Window]:
        """Return the windows of one kind of tensor, by its name."""
        return {tensor.name: tensor.window for tensor in self.tensors if tensor.kind == kind}

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "samples": self.samples,
            "layers": list(self.layers),
            "tensors": [tensor.record() for tensor in self.tensors],
        }


def measure(
    model: keras.Model, batches: Iterable[NDArray[Any]], *, progress: Callable[[int], None] | None = None
) -> Ranges:
    """Return the ranges of `model`, of its activations over `batches`; nothing but the histograms is kept of them.

    A layer that is called more than once has one histogram, over all its calls. ReLUs count as part of the layer
    before them, and layers that only select or move values (padding, max pooling) have none:
    see `rsseg_tf.quantization.paper.tensors`.

    Args:
        model: a flat functional model with one input, best after `fold_batch_norms`:
            a device has no batch norms, and their weights as they were trained are not what it multiplies by.
        batches: arrays (N, …) as the model takes them.
        progress: called after every batch with how many samples are done.

    Raises:
        ModelError: if the model has more than one input, or a weight or activation that is NaN or infinite.
        DataError: if there are no batches.
    """
    if len(model.inputs) != 1:
        raise ModelError(f"`{model.name}` has {len(model.inputs)} inputs, expected one")
    outputs = rounded_outputs(model)
    weights = [
        _range(kind, layer, variable.path, exponent_counts(np.asarray(variable)))
        for kind, layer, variable in rounded_variables(model)
    ]
    samples, counts = _activation_counts(model, set(outputs), batches, progress=progress)
    activations = [_range("activations", outputs[name], name, counts[name]) for name in outputs]
    return _in_graph_order(model, samples, [*weights, *activations])


def _activation_counts(
    model: keras.Model, names: set[str], batches: Iterable[NDArray[Any]], *, progress: Callable[[int], None] | None
) -> tuple[int, dict[str, Counts]]:
    """Return how many samples there were, and the counts of exponent fields by layer name."""
    outputs = float_outputs(model, names)
    count = _counter(model, [tensor for _, tensor in outputs])
    totals = {name: np.zeros(EXPONENTS, np.int64) for name, _ in outputs}
    samples = 0
    for batch in batches:
        counted = count(tf.convert_to_tensor(np.asarray(batch, model.inputs[0].dtype))).numpy()
        for (name, _), row in zip(outputs, counted, strict=True):
            totals[name] += row
        samples += len(batch)
        if progress:
            progress(samples)
    if samples == 0:
        raise DataError("no images to log the activations on")
    return samples, totals


def _counter(model: keras.Model, outputs: list[keras.KerasTensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function from a batch to the counts of exponent fields of each output: int32 (outputs, 256)."""
    observer = keras.Model(model.inputs, outputs)

    @tf.function(reduce_retracing=True)
    def count(batch: tf.Tensor) -> tf.Tensor:
        values = observer(batch, training=False)
        return tf.stack([_exponent_counts(value) for value in (values if len(outputs) > 1 else [values])])

    def run(batch: tf.Tensor) -> tf.Tensor:
        with native_dilation(observer):
            return count(batch)

    return run


def _exponent_counts(values: tf.Tensor) -> tf.Tensor:
    """Return `exponent_counts` of a TensorFlow tensor: int32 (256,)."""
    bits = tf.bitcast(tf.cast(values, tf.float32), tf.int32)
    fields = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 23), 0xFF)
    return tf.math.bincount(tf.reshape(fields, [-1]), minlength=EXPONENTS, maxlength=EXPONENTS)


def _range(kind: str, layer: str, name: str, counts: Counts) -> TensorRange:
    try:
        histogram = histogram_of(counts)
    except ValueError as error:
        raise ModelError(f"the {kind} `{name}` of the layer `{layer}` cannot be scaled: {error}") from error
    return TensorRange(kind, layer, name, histogram, choose_window(histogram))


def _in_graph_order(model: keras.Model, samples: int, tensors: list[TensorRange]) -> Ranges:
    places = {operation.name: place for place, operation in enumerate(model.operations)}
    ordered = sorted(tensors, key=lambda tensor: places[tensor.layer])
    layers = tuple(dict.fromkeys(tensor.layer for tensor in ordered))
    return Ranges(samples, layers, tuple(ordered))
