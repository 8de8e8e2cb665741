"""Activation times gradient, summed where the channels of each layer are judged: one backward pass a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import tree
from numpy.typing import NDArray

from rsseg_tf.errors import ConfigError
from rsseg_tf.pruning.scoring.moments import Moments, Seen
from rsseg_tf.pruning.scoring.taps import Tap, TapFinder
from rsseg_tf.pruning.together import Together
from rsseg_tf.tracing.dilation import native_dilation
from rsseg_tf.tracing.folding import folded

Loss = Callable[[Any, Any], Any]
Batches = Iterable[tuple[Any, Any]]
Values = NDArray[np.float64]
Pairs = Iterator[tuple[tf.Tensor, tf.Tensor]]
"""Values and their gradients."""


@dataclass(frozen=True)
class Gradient:
    """A criterion that needs gradients: where to measure, what to average over batches, what to make of it.

    Attributes:
        taps: of a model.
        finish: from the mean over batches, (C,), to the score.
        squared: whether sums are squared: of a `batch`, of an `example`, or not at all.
        absolute: whether means over the positions of an example count by their absolute values.
        folds: whether batch norms may be computed as a part of the layers before them, whose outputs are then no taps.
    """

    taps: Callable[[TapFinder], list[Tap]]
    finish: Callable[[Values, Tap], Values]
    squared: Literal["", "batch", "example"] = ""
    absolute: bool = False
    folds: bool = False


class Contributions:
    """Sums of activation times gradient at the taps of one criterion, one backward pass a batch."""

    def __init__(
        self,
        flat: keras.Model,
        criterion: Gradient,
        find: TapFinder,
        loss: Loss,
        *,
        together: Together,
        moments: Moments | None,
    ) -> None:
        self._moments = moments or Moments(())
        self._criterion = criterion
        self._taps = criterion.taps(find)
        self._widths = [find.width(tap.layer) for tap in self._taps]
        tensors = [tensor for tap in self._taps for tensor in tap.tensors]
        self._probe = keras.Model(
            flat.input, {"output": flat.output, "taps": tensors, "seen": list(self._moments.tensors)}
        )
        self._folds = find.folds() if criterion.folds else []
        self._loss = loss
        self._watched = [v.value for v in flat.variables if keras.backend.is_float_dtype(v.dtype)]
        self._together = together
        self._run = together.traced(self._batch)

    def averaged(self, batches: Batches) -> tuple[dict[str, Values], Seen]:
        """Return layer → the criterion's value for each output channel, over all batches, and what the moments saw."""
        totals, seen = [np.zeros(width) for width in self._widths], self._moments.nothing()
        number = 0
        with native_dilation(self._probe), folded(self._folds):
            for found in self._together.each(self._run, map(self._tensors, batches)):
                for total, value in zip(totals, found, strict=False):
                    total += np.asarray(value)
                self._moments.add(seen, found[len(totals) :])
                number += 1
        number, *totals = self._together.summed([np.float64(number), *totals])
        if not number:
            raise ConfigError("scoring needs at least one batch")
        finish = self._criterion.finish
        return {tap.layer: finish(total / number, tap) for tap, total in zip(self._taps, totals, strict=True)}, seen

    def _tensors(self, batch: Any) -> Any:
        if len(batch) == 3 and not isinstance(self._loss, keras.losses.Loss):
            raise ConfigError(
                "batches have sample weights, which this loss does not take",
                hint="give a keras.losses.Loss, or batches (x, y)",
            )
        return tree.map_structure(tf.convert_to_tensor, batch)

    def _loss_of(self, y: Any, output: Any, sample_weight: Any) -> Any:
        if sample_weight is None:
            return self._loss(y, output)
        loss: Any = self._loss
        missing = len(loss.call(y, output).shape) - len(sample_weight.shape)
        return loss(y, output, keras.ops.reshape(sample_weight, (*sample_weight.shape, *[1] * max(0, missing))))

    def _batch(self, x: Any, y: Any, sample_weight: Any = None) -> list[tf.Tensor]:
        weights = [weight.value for tap in self._taps for weight, _ in tap.weights]
        with tf.GradientTape() as tape:
            tape.watch(self._watched)
            found = self._probe(x, training=False)
            value = tf.reduce_mean(self._loss_of(y, found["output"], sample_weight))
        sources = [tree.flatten(found["taps"]), weights]
        gradients = tape.gradient(value, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        products = [
            iter([(_float32(v), _float32(g)) for v, g in zip(values, slopes, strict=True)])
            for values, slopes in zip(sources, gradients, strict=True)
        ]
        taps = zip(self._taps, self._widths, strict=True)
        sums = [self._contribution(tap, width, *products) for tap, width in taps]
        sums = [each**2 for each in sums] if self._criterion.squared == "batch" else sums
        return [*sums, *self._moments.rows(tree.flatten(found["seen"]))]

    def _contribution(self, tap: Tap, width: int, activations: Pairs, weights: Pairs) -> tf.Tensor:
        """Return one tap's share of the batch, float32 (C,); takes its tensors and weights off the pairs."""
        products = []
        for _ in tap.tensors:
            activation, gradient = next(activations)
            products.append(gradient * (activation if tap.bias is None else activation - _float32(tap.bias.value)))
        terms = []
        for _, variable in tap.weights:
            weight, gradient = next(weights)
            product = tf.reshape(weight * gradient, variable.shape)
            terms.append(tf.reduce_sum(by_filter(product, variable.labels), axis=0))
        if self._criterion.absolute:
            means = [_over_positions(product, width, tf.reduce_mean) for product in products]
            return tf.add_n(terms + [_sum(tf.abs(each)) for each in means])
        examples = [_over_positions(product, width, tf.reduce_sum) for product in products]
        if self._criterion.squared == "example":  # Where the weights alone are known, their sum over the examples is.
            return _sum(tf.add_n(examples) ** 2) if examples else tf.add_n(terms) ** 2
        return tf.add_n(terms + [_sum(each) for each in examples])


def _float32(value: Any) -> tf.Tensor:
    return tf.cast(value, tf.float32)


def _sum(examples: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(examples, axis=0)


def _over_positions(product: tf.Tensor, width: int, reduced: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Return (N, …, C) as (N, C); so too where the channels are spread over the last axes."""
    channels, first = 1, product.shape.rank
    while channels < width:
        first -= 1
        channels *= product.shape[first]
    sums = reduced(product, axis=list(range(1, first)))
    return tf.reshape(sums, (-1, width)) if first < product.shape.rank - 1 else sums


def by_filter(weight: Any, labels: Mapping[int, str]) -> Any:
    """Return a kernel as (weights of a filter, filters); depthwise kernels hold their filters in the last two axes."""
    out = [axis for axis, label in labels.items() if label == "out"]
    rank = len(weight.shape)
    if out and out[0] != rank - 1:
        order = [axis for axis in range(rank) if axis != out[0]] + out
        weight = keras.ops.transpose(weight, order) if tf.is_tensor(weight) else np.transpose(weight, order)
    filters = int(np.prod(weight.shape[-1:] if out else weight.shape[-2:]))
    return tf.reshape(weight, (-1, filters)) if tf.is_tensor(weight) else weight.reshape(-1, filters)
