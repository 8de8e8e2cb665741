"""The model between two loops: rebuilt at the few loops where that pays, masked at the others."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.pruning.groups import kept_ids
from rsseg_tf.pruning.loop.reconstruct import Reconstruction
from rsseg_tf.pruning.plan import Plan, within
from rsseg_tf.pruning.rebuild import mask_wired, rebuild
from rsseg_tf.pruning.rules.table import Rules
from rsseg_tf.pruning.scoring.contributions import Loss
from rsseg_tf.pruning.scoring.criteria import Scorer
from rsseg_tf.pruning.scoring.moments import Seen
from rsseg_tf.pruning.scoring.scores import Scores
from rsseg_tf.pruning.together import ALONE, Together
from rsseg_tf.pruning.wiring import trace

_REBUILD_BELOW = 0.8
"""Share of the multiply-accumulates since the last rebuilding below which tracing again pays."""

_LEAST_LOOPS_LEFT = 16
"""With fewer loops to go, tracing again does not pay."""

Weights = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Snapshot:
    """A point of a loop that it can go back to.

    Attributes:
        loop: loops that are done.
        plan: what was removed.
        base: the part of it that the graph was last rebuilt without.
        weights: of that graph, in Keras' order, empty while they are still the dense model's.
    """

    loop: int
    plan: Plan
    base: Plan
    weights: Weights = ()

    def base_of(self, dense: keras.Model, rules: Rules | None = None) -> keras.Model:
        """Return the graph as it was last rebuilt, with the weights of this point."""
        model = rebuild(dense, self.base, rules=rules)
        if self.weights:
            model.set_weights(self.weights)
        return model


class Shrinking:
    """A model that loses channels: its scores stay those of the dense model's channels.

    Args:
        dense: stays as it is.
        start: where to begin.
        criterion: of the scores.
        loss: of (y, prediction), a scalar that is a mean over the batch.
        together: those that score together.
        rules: for layers that `RULES` does not know.
        reconstructs: whether `reconstruct` does anything.
        ranks_by_rest: whether a channel then scores with what the others cannot explain of it.

    Attributes:
        model: the current graph, with zeros for what was removed since it was rebuilt.
    """

    def __init__(  # noqa: PLR0913 - the model, where it is, and what its scores are by
        self,
        dense: keras.Model,
        start: Snapshot,
        *,
        criterion: str,
        loss: Loss | None,
        together: Together = ALONE,
        rules: Rules | None = None,
        reconstructs: bool = False,
        ranks_by_rest: bool = False,
    ) -> None:
        self._dense = dense
        self._rules = rules
        self._dense_wiring = trace(dense, rules)
        self._criterion = criterion
        self._loss = loss
        self._together = together
        self._plan = start.plan
        self._trained = bool(start.weights)
        self._reconstructs, self._ranks_by_rest = reconstructs, ranks_by_rest
        self._seen: Seen | None = None
        self._unexplained: NDArray[np.float64] | None = None
        self._take(start.base_of(dense, rules), start.base)

    def scores(self, batches: Iterable[tuple[Any, Any]]) -> Scores:
        """Return the scores of the dense model's channels by all of `batches`; 0 for those that were removed.

        What is seen of them on the way serves `reconstruct` until the graph is rebuilt or trained, and the scores that
        leave out what others explain.
        """
        found = self._scorer(batches)
        self._seen = self._scorer.observed
        self._scorer.observed = None
        if self._ranks_by_rest and self._reconstruction is not None:
            if self._seen is None:  # the criterion looks at weights alone
                self._seen = self._reconstruction.measured(batches)
            self._unexplained = self._reconstruction.unexplained(self._seen, self._alive)
        return self._of_dense(found)

    def scores_of_one(self, batches: Iterable[tuple[Any, Any]]) -> Scores:
        """Return the same by the first of `batches`; `reconstruct` keeps to what it knows."""
        found = self._scorer(itertools.islice(batches, 1))
        self._scorer.observed = None
        return self._of_dense(found)

    @property
    def needs_to_look(self) -> bool:
        """Whether `reconstruct` knows nothing of this graph as it is."""
        return self._reconstruction is not None and self._seen is None

    def _of_dense(self, found: Scores) -> Scores:
        return replace(
            found,
            layers={name: self._spread(name, values, found.power) for name, values in found.layers.items()},
        )

    def reconstruct(self, plan: Plan, batches: Callable[[], Iterable[tuple[Any, Any]]]) -> None:
        """Let the channels that `plan` keeps take over what the others did, before `remove` takes those out.

        Args:
            plan: what is to stay.
            batches: gives those to look at where the scores did not look at any.
        """
        if self._reconstruction is not None:
            if self._seen is None:
                self._seen = self._reconstruction.measured(batches())
            after = kept_ids(self._wiring, within(plan, self._base))
            self._reconstruction.take_over(self._seen, self._alive, after)
            self._trained = True

    def remove(self, plan: Plan, *, loops_left: int) -> None:
        """Take out what `plan` removes, by mask or by rebuilding."""
        self._plan = plan
        fallen = _size(plan) / _size(self._base)
        if fallen < _REBUILD_BELOW and loops_left >= _LEAST_LOOPS_LEFT:
            # From the model itself where its weights are no longer the dense model's: one copy instead of three.
            source, lost = (self.model, within(plan, self._base)) if self._trained else (self._dense, plan)
            self._take(rebuild(source, lost, rules=self._rules), plan)
        else:
            self._mask()

    def trained(self) -> None:
        """Zero again what was removed, after `model`'s weights were changed from outside."""
        self.model.set_weights(self._together.from_chief(self.model.get_weights()))
        self._seen = self._unexplained = None
        self._trained = True
        self._alive[:] = True
        self._mask()

    def snapshot(self, loop: int, *, weights: bool = True) -> Snapshot:
        """Return where the model is, after `loop` loops; with its weights, or without."""
        values = tuple(self.model.get_weights()) if weights and self._trained else ()
        return Snapshot(loop, self._plan, self._base, values)

    def rebuilt(self) -> keras.Model:
        """Return the model without what was removed."""
        return rebuild(self.model, within(self._plan, self._base), rules=self._rules)

    def _take(self, model: keras.Model, base: Plan) -> None:
        self.model = model
        self._base = base
        self._kept = kept_ids(self._dense_wiring, base)
        self._wiring = trace(model, self._rules)
        self._alive = np.ones(len(self._wiring.group_of), bool)
        self._seen = None
        self._unexplained = None
        self._reconstruction = (
            Reconstruction(self._wiring.flat(model), self._wiring, self._together) if self._reconstructs else None
        )
        self._scorer = Scorer(
            model,
            criterion=self._criterion,
            loss=self._loss,
            together=self._together,
            rules=self._rules,
            moments=self._reconstruction.moments if self._reconstruction else None,
        )
        self._mask()

    def _mask(self) -> None:
        """Zero what was removed and is not zero yet."""
        kept = kept_ids(self._wiring, within(self._plan, self._base))
        mask_wired(self.model, self._wiring, kept | ~self._alive)
        self._alive = kept

    def _spread(self, name: str, values: NDArray[np.float64], power: int) -> NDArray[np.float64]:
        """Return what others cannot explain of a layer's scores, at their places in the dense model."""
        if self._unexplained is not None:
            first, _ = self._wiring.groups_of(self._wiring.layers[name].axes["out"])
            values = values * np.where(first >= 0, self._unexplained[first], 1.0) ** (power / 2)
        kept = self._kept[self._dense_wiring.layers[name].axes["out"]]
        spread = np.zeros(len(kept))
        spread[kept] = values
        return spread


def _size(plan: Plan) -> int:
    return plan.cost["macs"] or plan.cost["params"] or 1
