"""What a model costs, and what it would cost with fewer channels, without building it.

Every variable has as many elements as the product of its axes, and at most two of these are indexed by
channel ids. So parameters, multiply-accumulates and bytes are sums of products of two widths, each
linear in how many groups of each family stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.benchmark.staircase import in_tiles
from rsseg_tf.graphs.facts import OFFSETS, STATISTICS
from rsseg_tf.pruning.rules.site import Ids, Values
from rsseg_tf.pruning.rules.table import Rules
from rsseg_tf.pruning.widths import Membership, Widths
from rsseg_tf.pruning.wiring import LayerWiring, Variable, Wiring, trace
from rsseg_tf.text import listed, text_table

_INT32_BYTES = 4

_NAMED = 3


@dataclass(frozen=True)
class LayerCost:
    """What one layer holds and does.

    Attributes:
        name: of the layer.
        params: learnable values: kernels, biases, batch-norm scales and offsets.
        statistics: values that are not learned, such as moving means and variances.
        macs: multiply-accumulates for one image, of convolutions and dense layers; None where the input size is open.
        bytes: of all variables, as stored.
        int8_bytes: of the kernels at one byte and the biases at four, once batch norms are folded away.
    """

    name: str
    params: int
    statistics: int
    macs: int | None
    bytes: int
    int8_bytes: int


@dataclass(frozen=True)
class Cost:
    """What a model holds and does, layer by layer; totals have the same names as in `LayerCost`.

    Attributes:
        layers: what each layer does.
        uncounted: layers with kernels, or what looks like them, that no rule describes: their multiply-accumulates are
            unknown and counted as 0.
    """

    layers: tuple[LayerCost, ...]
    uncounted: tuple[str, ...] = ()

    @property
    def params(self) -> int:
        """Learnable values: kernels, biases, batch-norm scales and offsets."""
        return sum(layer.params for layer in self.layers)

    @property
    def statistics(self) -> int:
        """Values that are not learned, such as moving means and variances."""
        return sum(layer.statistics for layer in self.layers)

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates for one image, None where the input size is open."""
        known = [layer.macs for layer in self.layers if layer.macs is not None]
        return sum(known) if len(known) == len(self.layers) else None

    @property
    def bytes(self) -> int:
        """Bytes of all variables, as stored."""
        return sum(layer.bytes for layer in self.layers)

    @property
    def int8_bytes(self) -> int:
        """Estimated bytes of the weights of an int8 model."""
        return sum(layer.int8_bytes for layer in self.layers)

    def __str__(self) -> str:
        rows = [(x.name, x.params, x.macs, x.bytes) for x in self.layers if x.params or x.macs]
        rows.append(("total", self.params, self.macs, self.bytes))
        figures = [(name, *("open" if x is None else f"{x:,}" for x in numbers)) for name, *numbers in rows]
        table = text_table([("layer", "params", "MACs", "bytes"), *figures])
        return f"{table}\n{not_counted(self.uncounted)}" if self.uncounted else table


def cost(model: keras.Model, *, rules: Rules | None = None) -> Cost:
    """Return parameters, multiply-accumulates and bytes of a functional model, layer by layer.

    Multiply-accumulates count convolutions (plain, grouped, depthwise, separable, transposed) and dense
    layers, for one image. Of a layer that no rule describes, such as a convolution within `TimeDistributed` or a
    subclass that convolves in its own way, they are not known: `Cost.uncounted` names those. Parameters are what
    training changes; moving statistics are counted apart.

    Args:
        model: the model.
        rules: for layers that `RULES` does not know: what a rule says multiplies is counted.

    Raises:
        ModelError: if the model's graph cannot be read.

    Examples:
        >>> x = keras.Input((8, 8, 3))
        >>> total = cost(keras.Model(x, keras.layers.Conv2D(4, 3, padding="same")(x)))
        >>> total.params, total.macs
        (112, 6912)
    """
    wiring = trace(model, rules)
    return wired_cost(wiring, np.ones(len(wiring.group_of), bool))


def wired_cost(wiring: Wiring, kept: NDArray[np.bool_]) -> Cost:
    """Return what the graph costs when only the channel ids that are true in `kept`, bool (ids,), stay."""
    layers = [layer for layer in wiring.layers.values() if layer.kind != "InputLayer"]
    uncounted = tuple(layer.name for layer in layers if not layer.is_known and _may_multiply(layer))
    return Cost(tuple(_layer_cost(layer, kept) for layer in layers), uncounted)


def not_counted(names: Sequence[str]) -> str:
    """Return what to say of layers whose multiply-accumulates nobody knows."""
    shown = listed([f"`{name}`" for name in names], most=_NAMED)
    return f"the multiply-accumulates of {shown} are not known and not counted: no rule describes such a layer"


def _may_multiply(layer: LayerWiring) -> bool:
    """Return whether a layer without a rule holds what has the shape of a kernel; an embedding is looked up."""
    return layer.kind != "Embedding" and any(sum(n > 1 for n in variable.shape) > 1 for variable in layer.variables)


def _layer_cost(layer: LayerWiring, kept: NDArray[np.bool_]) -> LayerCost:
    widths = {label: int(kept[ids].sum()) for label, ids in layer.axes.items()}
    totals = dict.fromkeys(("params", "statistics", "macs", "bytes", "int8_bytes"), 0)
    is_open = False
    for variable in layer.variables:
        elements = _fixed_elements(variable)
        for label in variable.labels.values():
            elements *= widths[label]
        is_open |= variable.positions is None
        for metric, factor in _factors(variable, layer.bias).items():
            totals[metric] += factor * elements
    return LayerCost(layer.name, **{**totals, **({"macs": None} if is_open else {})})  # type: ignore[arg-type]


def _fixed_elements(variable: Variable) -> int:
    """Return the product of the axes that no channel ids index."""
    return int(np.prod([n for axis, n in enumerate(variable.shape) if axis not in variable.labels], dtype=np.int64))


def _factors(variable: Variable, bias: str) -> dict[str, int]:
    """Return what each element of a variable adds to each metric."""
    measured = variable.name in STATISTICS
    offset = variable.name in {bias, *OFFSETS}
    folded = measured or variable.name == "gamma"
    return {
        "params": 0 if measured else 1,
        "statistics": 1 if measured else 0,
        "macs": variable.positions or 0,
        "bytes": variable.item_bytes,
        "int8_bytes": _INT32_BYTES if offset else 0 if folded else 1,
    }


METRICS = tuple(field.name for field in fields(LayerCost) if field.name != "name")


@dataclass(frozen=True)
class Term:
    """A part of a cost that is in proportion to one width of the graph, or to the product of two.

    Attributes:
        widths: up to two arrays of channel ids, whose numbers of kept ids are multiplied.
        factors: metric → what that product is multiplied with.
        tiles: for each width the channels that are paid for together, 1 for each by itself; empty for 1 each.
    """

    widths: tuple[Ids, ...]
    factors: Mapping[str, float]
    tiles: tuple[int, ...] = ()


@dataclass(frozen=True)
class CostTerms:
    """A graph's cost as a function of how many groups of each family stay.

    Attributes:
        widths: of the graph; the last is always 1.
        left, right: the two widths whose product a term takes, (T,).
        factors: metric → what that product is multiplied with, (T,).
        tiles: widths are paid for in multiples of these, (W,).
    """

    widths: Widths
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    factors: Mapping[str, Values]
    tiles: NDArray[np.int64]

    def total(self, metric: str, counts: Values) -> float:
        """Return the metric when `counts`, (families,), groups of each family stay."""
        widths = in_tiles(self.widths.at(counts), self.tiles)
        return float(self.factors[metric] @ (widths[self.left] * widths[self.right]))

    def slope(self, metric: str, counts: Values) -> Values:
        """Return what one group of each family adds to the metric, (families,); tiles on average."""
        widths = self.widths.at(counts)
        by_width = np.zeros(len(widths))
        np.add.at(by_width, self.left, self.factors[metric] * widths[self.right])
        np.add.at(by_width, self.right, self.factors[metric] * widths[self.left])
        return self.widths.slope(counts, by_width)


def variable_terms(wiring: Wiring) -> list[Term]:
    """Return the terms of `METRICS`, one a variable."""
    return [
        Term(
            widths=tuple(layer.axes[label] for label in variable.labels.values()),
            factors={
                metric: factor * _fixed_elements(variable) for metric, factor in _factors(variable, layer.bias).items()
            },
        )
        for layer in wiring.layers.values()
        for variable in layer.variables
    ]


def cost_terms(terms: Sequence[Term], members: Membership) -> CostTerms:
    """Return the terms of a graph's cost as functions of how many groups of each family stay."""
    # Most layers pass on the array that they got: each is counted once.
    keys = [[(id(ids), tile) for ids, tile in zip(term.widths, _tiles(term), strict=True)] for term in terms]
    arrays = {
        key: ids for term, own in zip(terms, keys, strict=True) for key, ids in zip(own, term.widths, strict=True)
    }
    place = {key: number for number, key in enumerate(arrays)}
    one = len(arrays)
    pairs = [[*(place[key] for key in own), one, one][:2] for own in keys]
    left, right = np.asarray(pairs, np.int64).reshape(-1, 2).T
    metrics = {metric for term in terms for metric in term.factors} | {*METRICS}
    return CostTerms(
        widths=Widths.of([*arrays.values(), None], members),
        left=left,
        right=right,
        factors={metric: np.asarray([term.factors.get(metric, 0) for term in terms], float) for metric in metrics},
        tiles=np.asarray([*(tile for _, tile in arrays), 1], np.int64),
    )


def _tiles(term: Term) -> tuple[int, ...]:
    return term.tiles or (1,) * len(term.widths)
