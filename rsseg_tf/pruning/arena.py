"""How much memory the activations need at once, as a function of how many channels stay: the metric `arena_bytes`.

It is what TFLite Micro's planner makes of the activations of an int8 file (`rsseg_tf.tflite.arena`), each of which is
in proportion to its channels. So it is a maximum, not a sum: channels that are not there when memory is fullest save
nothing, and once those that are have gone, another operator is the fullest. Let live(o) be the bytes that live at
operator o. Groups are ranked by what they take off the excess over the limit that the target sets,

    E = Σ_o max(0, live(o) − limit),    of one group: Σ_{o: live(o) > limit} its bytes among those that live at o,

which is 0 where the limit is kept everywhere. Where the planner leaves gaps, so that something lies above the limit all
the same, groups are ranked by what a few of them less take off the arena itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ConfigError
from rsseg_tf.pruning.groups import Groups
from rsseg_tf.pruning.latency import channel_ids, kernel_layer
from rsseg_tf.pruning.rules.site import Ids, Values
from rsseg_tf.pruning.widths import Widths
from rsseg_tf.pruning.wiring import LayerWiring, Wiring
from rsseg_tf.text import listed
from rsseg_tf.tflite.arena import MICRO, Life, lifetimes, planned_bytes
from rsseg_tf.tflite.graph import Op, TFLiteModel
from rsseg_tf.tflite.layer_names import layers_of_ops, op_tensors

_NAMED = 5

_FEW = 8
"""Groups whose absence tells how gaps between activations change."""


@dataclass(frozen=True)
class Arena:
    """The activations of a file.

    Attributes:
        lives: of each activation in the dense file.
        units: bytes of one channel of it, or of all of it where channels do not change it, (activations,).
        widths: how many channels it has, of each.
        alive: whether it lives at an operator, bool (operators, activations).
    """

    lives: tuple[Life, ...]
    units: Values
    widths: Widths
    alive: NDArray[np.bool_]

    def total(self, counts: Values) -> float:
        """Return the bytes of the arena when `counts`, (families,), groups of each family stay."""
        return float(planned_bytes(self._left(counts), MICRO))

    def fullest(self, counts: Values) -> float:
        """Return the most bytes that live at once, which the arena cannot be below."""
        return float((self.alive @ self._sizes(counts)).max(initial=0))

    def slope(self, counts: Values, limit: float) -> Values:
        """Return what one group of each family adds to the excess over `limit` bytes, (families,)."""
        is_over = self.alive @ self._sizes(counts) > limit
        times = self.alive[is_over].sum(axis=0)
        return self.widths.slope(counts, times * self.units) if is_over.any() else self._differences(counts)

    def _differences(self, counts: Values) -> Values:
        """Return what one of a few groups of each family takes off the arena, (families,); 0 where it would add."""
        whole, found = self.total(counts), np.zeros(len(counts))
        for family, count in enumerate(counts):
            fewer = counts.copy()
            fewer[family] -= min(_FEW, count - 1)
            found[family] = max(0.0, whole - self.total(fewer)) / _FEW
        return found

    def _left(self, counts: Values) -> list[Life]:
        sizes = self._sizes(counts).astype(int).tolist()
        return [replace(life, nbytes=size) for life, size in zip(self.lives, sizes, strict=True)]

    def _sizes(self, counts: Values) -> Values:
        return np.rint(self.units * self.widths.at(counts))


def arena_of(model: TFLiteModel, groups: Groups) -> Arena:
    """Return the activations of an int8 file as functions of how many groups stay.

    Args:
        model: the graph of the dense model's file.
        groups: of the dense model.

    Raises:
        ConfigError: if the file is of another model.
    """
    wiring = groups.wiring
    reads = {name: layer.reads for name, layer in wiring.layers.items()}
    named = [[wiring.layers[name] for name in each] for each in layers_of_ops(op_tensors(model), reads)]
    _check_complete(model, wiring, named)
    made_by = {tensor.index: (op, layers) for op, layers in zip(model.ops, named, strict=True) for tensor in op.outputs}
    lives = lifetimes(model, MICRO)
    ids = [_channels(*made_by[life.tensor], life) if life.tensor in made_by else None for life in lives]
    return Arena(
        lives=tuple(lives),
        units=np.asarray(
            [life.nbytes / (1 if own is None else len(own)) for life, own in zip(lives, ids, strict=True)]
        ),
        widths=Widths.of(ids, groups.membership),
        alive=np.asarray([[life.first_op <= op <= life.last_op for life in lives] for op in range(len(model.ops))]),
    )


def _channels(op: Op, layers: Sequence[LayerWiring], life: Life) -> Ids | None:
    """Return the channel ids of what an operator computes, None where none are known or none fit."""
    if not layers:
        return None
    layer = kernel_layer(op.macs, layers)
    found = layers[-1].emitted if layer is None else channel_ids(op.macs, layers)[1]
    return found if found is not None and len(found) and life.nbytes % len(found) == 0 else None


def _check_complete(model: TFLiteModel, wiring: Wiring, named: Sequence[Sequence[LayerWiring]]) -> None:
    seen = {layer.name for layers in named for layer in layers}
    missing = [f"`{name}`" for name, layer in wiring.layers.items() if layer.multiplies and name not in seen]
    if missing or not model.ops:
        raise ConfigError(
            f"the file that tells the memory of activations has no operators of {listed(missing, most=_NAMED)}",
            hint="give the int8 file of the dense model itself",
        )
