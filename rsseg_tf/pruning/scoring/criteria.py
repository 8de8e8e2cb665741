"""Criteria: how much the loss depends on each channel.

With g = ∂L/∂w, m over the weights of one filter, y the output of the layer named, i over its positions, and E over
batches:

| criterion | of a filter | source |
| --- | --- | --- |
| `fisher` | mean over examples of (Σ_i y·∂L/∂y)² of the batch norm behind it, or the filter | Theis 2018, eq. (5) |
| `taylor` | abs of E[Σ_m g·w] / M, the kernel alone | Nguyen and Huynh-The 2024, eq. (8) |
| `taylor-fo` | E[(Σ_m g·w)²], kernel and bias | Molchanov 2019, eq. (8) on filters |
| `taylor-bn` | E[(γ·gγ + β·gβ)²] of the batch norm behind it, without one E[(Σ_m g·w)²] | Molchanov 2019, gates |
| `taylor-act` | mean over examples of abs(mean over positions of y·∂L/∂y), of unit length a layer | Molchanov 2016 |
| `l1`, `l2` | norm of the kernel | |
| `bn-scale` | abs(γ) of the batch norm behind it, 1 without one | Liu 2017 |
| `random` | uniform in [0, 1) | |

Gradients are taken under moving statistics: under batch statistics Σ_m g·w is zero for every filter before
a batch norm, since the loss does not depend on the filter's scale.

`fisher` is `taylor-bn` of each example instead of each batch. With a loss of labels that are drawn from the model's own
predictions (`rsseg_tf.pruning.drawn_labels`) it is the Fisher information of a gate on the channel: twice the
divergence of the predictions without the channel from those with it, to second order. At a minimum of the training
loss the first-order terms of a whole batch cancel out, and what is left of them is noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import tree
from numpy.typing import NDArray

from rsseg_tf.config.pruning import Loop
from rsseg_tf.errors import ConfigError
from rsseg_tf.graphs import flatten
from rsseg_tf.pruning.rules.table import Rules
from rsseg_tf.pruning.scoring.scores import Scores
from rsseg_tf.pruning.scoring.taps import Tap, TapFinder
from rsseg_tf.pruning.together import ALONE, Together
from rsseg_tf.pruning.wiring import Wiring, trace
from rsseg_tf.tracing.dilation import native_dilation

Loss = Callable[[Any, Any], Any]
Batches = Iterable[tuple[Any, Any]]
Values = NDArray[np.float64]
Pairs = Iterator[tuple[tf.Tensor, tf.Tensor]]
"""Values and their gradients."""


@dataclass(frozen=True)
class _Gradient:
    """A criterion that needs gradients: where to measure, what to average over batches, what to make of it.

    Attributes:
        taps: of a model.
        finish: from the mean over batches, (C,), to the score.
        squared: whether sums are squared: of a `batch`, of an `example`, or not at all.
        absolute: whether means over the positions of an example count by their absolute values.
    """

    taps: Callable[[TapFinder], list[Tap]]
    finish: Callable[[Values, Tap], Values]
    squared: Literal["", "batch", "example"] = ""
    absolute: bool = False


def _unit_length(values: Values, _: Tap) -> Values:
    return np.asarray(values / max(float(np.sqrt((values**2).sum())), np.finfo(np.float64).tiny))


_GRADIENT_CRITERIA: Mapping[str, _Gradient] = {
    "fisher": _Gradient(lambda find: find.gates(), lambda values, _: values, squared="example"),
    "taylor": _Gradient(
        lambda find: find.filters(with_bias=False), lambda values, tap: np.abs(values) / tap.filter_size
    ),
    "taylor-fo": _Gradient(lambda find: find.filters(with_bias=True), lambda values, _: values, squared="batch"),
    "taylor-bn": _Gradient(lambda find: find.gates(), lambda values, _: values, squared="batch"),
    "taylor-act": _Gradient(lambda find: find.activations(), _unit_length, absolute=True),
}


def _norms(order: int) -> Callable[[TapFinder, Wiring], dict[str, Values]]:
    def scores(find: TapFinder, wiring: Wiring) -> dict[str, Values]:
        found = {}
        for name in find.multiplying():
            layer = wiring.layers[name]
            weight = find.operation(name).weights[layer.kernel.index]
            found[name] = np.linalg.norm(_by_filter(_array(weight), layer.kernel.labels), order, axis=0)
        return found

    return scores


def _batch_norm_scales(find: TapFinder, _: Wiring) -> dict[str, Values]:
    found = {}
    for name in find.multiplying():
        norm = find.norm_after(name)
        width = find.width(name)
        found[name] = _scale(norm.operation, width) if norm else np.ones(width)
    lone = {name: _scale(find.operation(name), find.width(name)) for name in find.lone_norms()}
    return {**found, **lone}


def _scale(norm: keras.Operation, width: int) -> Values:
    return np.abs(_array(norm.gamma)) if norm.scale else np.ones(width)


_WEIGHT_CRITERIA: Mapping[str, Callable[[TapFinder, Wiring], dict[str, Values]]] = {
    "l1": _norms(1),
    "l2": _norms(2),
    "bn-scale": _batch_norm_scales,
}

GRADIENT_CRITERIA = tuple(_GRADIENT_CRITERIA)
"""Names of the criteria that need a loss and batches."""

CRITERIA = (*GRADIENT_CRITERIA, *_WEIGHT_CRITERIA, "random")
"""Names of all criteria."""


def score(
    model: keras.Model,
    batches: Batches = (),
    *,
    criterion: str = Loop.criterion,
    loss: Loss | None = None,
    seed: int = 0,
    rules: Rules | None = None,
) -> Scores:
    """Return how much each channel of a model matters.

    Args:
        model: a functional model; it stays as it is.
        batches: pairs (x, y) of arrays, or of structures of arrays for several inputs and outputs.
            Criteria that need no gradients ignore them.
        criterion: a name in `CRITERIA`; see the table at the head of this module.
        loss: of (y, prediction), a function; of a loss for each example or pixel the mean is taken.
        seed: of the criterion `random`.
        rules: for layers that `RULES` does not know, as for `find_groups`.

    Returns:
        Scores of every layer with filters, and of batch norms that follow none where they are gates.

    Raises:
        ConfigError: if the criterion is not known, or needs a loss and batches that were not given.
        ModelError: if the model's graph cannot be read.

    Example:
        >>> x = keras.Input((8, 8, 3))
        >>> y = keras.layers.Conv2D(4, 3, name="stem")(x)
        >>> score(keras.Model(x, y), criterion="l1").layers["stem"].shape
        (4,)
    """
    return Scorer(model, criterion=criterion, loss=loss, seed=seed, rules=rules)(batches)


class Scorer:
    """Scores one model again and again while its weights change; the gradient is traced once.

    Args:
        model: a functional model.
        criterion: a name in `CRITERIA`.
        loss: of (y, prediction), a function; of a loss for each example or pixel the mean is taken.
        seed: of the criterion `random`.
        together: those that score together, each a part of the batches.
        rules: for layers that `RULES` does not know.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        criterion: str = Loop.criterion,
        loss: Loss | None = None,
        seed: int = 0,
        together: Together = ALONE,
        rules: Rules | None = None,
    ) -> None:
        if criterion not in CRITERIA:
            raise ConfigError(f"unknown criterion `{criterion}`", hint=f"known: {', '.join(CRITERIA)}")
        if criterion in _GRADIENT_CRITERIA and loss is None:
            raise ConfigError(f"criterion `{criterion}` needs a loss", hint="pass loss=a function of (y, prediction)")
        if loss is not None and not callable(loss):
            raise ConfigError(f"`loss` is a function of (y, prediction), got {loss!r}", hint="keras.losses.get(name)")
        self._criterion = criterion
        self._wiring = trace(model, rules)
        flat = flatten(model)
        self._find = TapFinder(flat, self._wiring)
        self._seed = seed
        self._gradients = None
        if criterion in _GRADIENT_CRITERIA and loss is not None:
            self._gradients = _Contributions(flat, _GRADIENT_CRITERIA[criterion], self._find, loss, together=together)

    def __call__(self, batches: Batches) -> Scores:
        """Return scores over `batches`.

        Raises:
            ConfigError: if there are none and the criterion needs gradients.
        """
        gradient = _GRADIENT_CRITERIA.get(self._criterion)
        return Scores(self._criterion, self._layers(batches), power=2 if gradient and gradient.squared else 1)

    def _layers(self, batches: Batches) -> Mapping[str, Values]:
        if self._gradients is not None:
            return self._gradients.averaged(batches)
        if self._criterion == "random":
            rng = np.random.default_rng(self._seed)
            return {name: rng.random(self._find.width(name)) for name in self._find.multiplying()}
        return _WEIGHT_CRITERIA[self._criterion](self._find, self._wiring)


class _Contributions:
    """Sums of activation times gradient at the taps of one criterion, one backward pass a batch."""

    def __init__(
        self, flat: keras.Model, criterion: _Gradient, find: TapFinder, loss: Loss, *, together: Together
    ) -> None:
        self._criterion = criterion
        self._taps = criterion.taps(find)
        self._widths = [find.width(tap.layer) for tap in self._taps]
        tensors = [tensor for tap in self._taps for tensor in tap.tensors]
        self._probe = keras.Model(flat.input, {"output": flat.output, "taps": tensors})
        self._loss = loss
        self._watched = [v.value for v in flat.variables if keras.backend.is_float_dtype(v.dtype)]
        self._together = together
        self._run = together.traced(self._batch)

    def averaged(self, batches: Batches) -> dict[str, Values]:
        """Return layer → the criterion's value for each output channel, over all batches."""
        totals = [np.zeros(width) for width in self._widths]
        number = 0
        with native_dilation(self._probe):
            for found in self._together.each(self._run, map(_tensors, batches)):
                values = [np.asarray(value, np.float64) for value in found]
                values = [value**2 for value in values] if self._criterion.squared == "batch" else values
                totals = [a + b for a, b in zip(totals, values, strict=True)]
                number += 1
        number, *totals = self._together.summed([np.float64(number), *totals])
        if not number:
            raise ConfigError("scoring needs at least one batch")
        finish = self._criterion.finish
        return {tap.layer: finish(total / number, tap) for tap, total in zip(self._taps, totals, strict=True)}

    def _batch(self, x: Any, y: Any) -> list[tf.Tensor]:
        weights = [weight.value for tap in self._taps for weight, _ in tap.weights]
        with tf.GradientTape() as tape:
            tape.watch(self._watched)
            found = self._probe(x, training=False)
            value = tf.reduce_mean(self._loss(y, found["output"]))
        sources = [tree.flatten(found["taps"]), weights]
        gradients = tape.gradient(value, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        products = [
            iter([(_float32(v), _float32(g)) for v, g in zip(values, slopes, strict=True)])
            for values, slopes in zip(sources, gradients, strict=True)
        ]
        return [self._contribution(tap, *products) for tap in self._taps]

    def _contribution(self, tap: Tap, activations: Pairs, weights: Pairs) -> tf.Tensor:
        """Return one tap's share of the batch, float32 (C,); takes its tensors and weights off the pairs."""
        products = []
        for _ in tap.tensors:
            activation, gradient = next(activations)
            products.append(gradient * (activation if tap.bias is None else activation - _float32(tap.bias.value)))
        terms = []
        for _, variable in tap.weights:
            weight, gradient = next(weights)
            terms.append(tf.reduce_sum(_by_filter(weight * gradient, variable.labels), axis=0))
        if self._criterion.absolute:
            return tf.add_n(terms + [_sum(tf.abs(_over_positions(product, tf.reduce_mean))) for product in products])
        examples = [_over_positions(product, tf.reduce_sum) for product in products]
        if self._criterion.squared == "example":  # Where the weights alone are known, their sum over the examples is.
            return _sum(tf.add_n(examples) ** 2) if examples else tf.add_n(terms) ** 2
        return tf.add_n(terms + [_sum(each) for each in examples])


def _float32(value: Any) -> tf.Tensor:
    return tf.cast(value, tf.float32)


def _sum(examples: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(examples, axis=0)


def _over_positions(product: tf.Tensor, reduced: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Return (N, …, C) as (N, C)."""
    return reduced(product, axis=list(range(1, product.shape.rank - 1)))


def _by_filter(weight: Any, labels: Mapping[int, str]) -> Any:
    """Return a kernel as (weights of a filter, filters); depthwise kernels hold their filters in the last two axes."""
    out = [axis for axis, label in labels.items() if label == "out"]
    rank = len(weight.shape)
    if out and out[0] != rank - 1:
        order = [axis for axis in range(rank) if axis != out[0]] + out
        weight = keras.ops.transpose(weight, order) if tf.is_tensor(weight) else np.transpose(weight, order)
    filters = int(np.prod(weight.shape[-1:] if out else weight.shape[-2:]))
    return tf.reshape(weight, (-1, filters)) if tf.is_tensor(weight) else weight.reshape(-1, filters)


def _array(weight: Any) -> Values:
    return np.asarray(keras.ops.convert_to_numpy(weight), np.float64)


def _tensors(structure: Any) -> Any:
    return tree.map_structure(tf.convert_to_tensor, structure)
