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

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from rsseg_tf.config.pruning import Loop
from rsseg_tf.errors import ConfigError
from rsseg_tf.pruning.rules.table import Rules
from rsseg_tf.pruning.scoring.contributions import Batches, Contributions, Gradient, Loss, Values, by_filter
from rsseg_tf.pruning.scoring.moments import Moments, Seen
from rsseg_tf.pruning.scoring.scores import Scores
from rsseg_tf.pruning.scoring.taps import Tap, TapFinder
from rsseg_tf.pruning.together import ALONE, Together
from rsseg_tf.pruning.wiring import Wiring, trace


def _unit_length(values: Values, _: Tap) -> Values:
    return np.asarray(values / max(float(np.sqrt((values**2).sum())), np.finfo(np.float64).tiny))


_GRADIENT_CRITERIA: Mapping[str, Gradient] = {
    "fisher": Gradient(lambda find: find.gates(), lambda values, _: values, squared="example", folds=True),
    "taylor": Gradient(
        lambda find: find.filters(with_bias=False), lambda values, tap: np.abs(values) / tap.filter_size
    ),
    "taylor-fo": Gradient(lambda find: find.filters(with_bias=True), lambda values, _: values, squared="batch"),
    "taylor-bn": Gradient(lambda find: find.gates(), lambda values, _: values, squared="batch", folds=True),
    "taylor-act": Gradient(lambda find: find.activations(), _unit_length, absolute=True),
}


def _norms(order: int) -> Callable[[TapFinder, Wiring], dict[str, Values]]:
    def scores(find: TapFinder, wiring: Wiring) -> dict[str, Values]:
        found = {}
        for name in find.multiplying():
            layer = wiring.layers[name]
            weight = find.operation(name).weights[layer.kernel.index]
            found[name] = np.linalg.norm(
                by_filter(_array(weight).reshape(layer.kernel.shape), layer.kernel.labels), order, axis=0
            )
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
            Or (x, y, sample_weight), if the loss is a `keras.losses.Loss`: a weight an example, or as the loss takes
            them. Criteria that need no gradients ignore them.
        criterion: a name in `CRITERIA`; see the table at the head of this module.
        loss: of (y, prediction), a function; of a loss for each example or pixel the mean is taken.
        seed: of the criterion `random`.
        rules: for layers that `RULES` does not know, as for `find_groups`.

    Returns:
        Scores of every layer with filters, and of batch norms that follow none where they are gates.

    Raises:
        ConfigError: if the criterion is not known, or needs a loss and batches that were not given.
        ModelError: if the model's graph cannot be read.

    Examples:
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
        moments: of tensors of the flat model, looked at on the way where the criterion needs gradients.

    Attributes:
        observed: what `moments` saw of the batches of the last call, None where it did not look at any.
    """

    observed: Seen | None = None

    def __init__(  # noqa: PLR0913 - what is scored, by what, and what is seen on the way
        self,
        model: keras.Model,
        *,
        criterion: str = Loop.criterion,
        loss: Loss | None = None,
        seed: int = 0,
        together: Together = ALONE,
        rules: Rules | None = None,
        moments: Moments | None = None,
    ) -> None:
        if criterion not in CRITERIA:
            raise ConfigError(f"unknown criterion `{criterion}`", hint=f"known: {', '.join(CRITERIA)}")
        if criterion in _GRADIENT_CRITERIA and loss is None:
            raise ConfigError(f"criterion `{criterion}` needs a loss", hint="pass loss=a function of (y, prediction)")
        if loss is not None and not callable(loss):
            raise ConfigError(f"`loss` is a function of (y, prediction), got {loss!r}", hint="keras.losses.get(name)")
        self._criterion = criterion
        self._wiring = trace(model, rules)
        flat = self._wiring.flat(model)
        self._find = TapFinder(flat, self._wiring)
        self._seed = seed
        self._gradients = None
        if criterion in _GRADIENT_CRITERIA and loss is not None:
            chosen = _GRADIENT_CRITERIA[criterion]
            self._gradients = Contributions(flat, chosen, self._find, loss, together=together, moments=moments)

    def __call__(self, batches: Batches) -> Scores:
        """Return scores over `batches`.

        Raises:
            ConfigError: if there are none and the criterion needs gradients.
        """
        gradient = _GRADIENT_CRITERIA.get(self._criterion)
        return Scores(self._criterion, self._layers(batches), power=2 if gradient and gradient.squared else 1)

    def _layers(self, batches: Batches) -> Mapping[str, Values]:
        if self._gradients is not None:
            found, self.observed = self._gradients.averaged(batches)
            return found
        if self._criterion == "random":
            rng = np.random.default_rng(self._seed)
            return {name: rng.random(self._find.width(name)) for name in self._find.multiplying()}
        return _WEIGHT_CRITERIA[self._criterion](self._find, self._wiring)


def _array(weight: Any) -> Values:
    return np.asarray(keras.ops.convert_to_numpy(weight), np.float64)
