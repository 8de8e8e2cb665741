"""The search for the groups that go: block by block, of those with the lowest score for what they save."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config.pruning import ARENA, Target
from rsseg_tf.errors import ConfigError
from rsseg_tf.pruning.arena import Arena
from rsseg_tf.pruning.cost import CostTerms
from rsseg_tf.pruning.groups import Family, Groups
from rsseg_tf.pruning.rules.site import Values

_NOTHING = 1e-3


@dataclass(frozen=True)
class Queue:
    """A family's groups, least important first, and the numbers of them that may stay, largest first."""

    order: NDArray[np.int64]
    stops: tuple[int, ...]
    scores: Values

    @classmethod
    def of(cls, family: Family, values: Values, gone: NDArray[np.bool_], *, stops: Sequence[int]) -> Queue:
        """Return the queue of a family.

        Args:
            family: whose groups they are.
            values: scores of all groups, (groups,).
            gone: what is removed already, bool (groups,).
            stops: how many of the family's groups may stay, largest first.
        """
        order = family.groups[np.lexsort((family.groups, values[family.groups], ~gone[family.groups]))]
        present = len(family) - int(gone[family.groups].sum())
        return cls(order, (present, *(count for count in stops if count < present)), values[order])

    def lost(self, count: int) -> float:
        """Return the sum of the scores of what goes if the `count` most important groups stay."""
        size = len(self.order)
        return float(self.scores[size - self.stops[0] : size - count].sum())

    def block_score(self, step: int) -> float:
        """Return the mean score of the groups that go from stop `step` to the next; infinite after the last."""
        if step + 1 >= len(self.stops):
            return math.inf
        size = len(self.order)
        return float(self.scores[size - self.stops[step] : size - self.stops[step + 1]].mean())


@dataclass(frozen=True)
class Costs:
    """What every metric is when some groups of each family stay.

    Attributes:
        terms: of those that are sums.
        arena: of `arena_bytes`, where a file tells it.
    """

    terms: CostTerms
    arena: Arena | None = None

    def total(self, metric: str, counts: Values) -> float:
        """Return the metric when `counts`, (families,), groups of each family stay."""
        if metric == ARENA and self.arena is not None:
            return self.arena.total(counts)
        return self.terms.total(metric, counts)

    def slope(self, metric: str, counts: Values, goal: float) -> Values:
        """Return what one group of each family adds to the metric, (families,), on the way down to `goal`."""
        if metric == ARENA and self.arena is not None:
            return self.arena.slope(counts, goal)
        return self.terms.slope(metric, counts)


_TURNS = 8
"""Times that the weights of several targets are corrected."""

_HASTE = 8
"""Power of a target's shortfall that its weight is corrected by."""


class Greedy:
    """Takes the block with the lowest score until every target is met."""

    def __init__(self, groups: Groups, queues: Sequence[Queue], target: Target, costs: Costs, cost_metric: str) -> None:
        self._groups = groups
        self._queues = queues
        self._metric = cost_metric
        self._costs = costs
        self._dense = {
            metric: costs.total(metric, groups.counts) for metric in {*target.given, cost_metric} - {"none", "target"}
        }
        self._goals = target.goals(self._dense.__getitem__)

    def run(self, gone: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return what is removed, bool (groups,)."""
        self._check_reachable()
        removed = gone.copy()
        for queue, count in zip(self._queues, self._best_counts().astype(int), strict=True):
            removed[queue.order[: len(queue.order) - count]] = True
        return removed

    def _best_counts(self) -> Values:
        """Return how many groups of each family stay, (families,).

        Of several targets often one decides: what is ranked by what it saves of that one meets the others on the way.
        Where none does, the weights of the targets are searched that meet them together, so that none is overshot
        while another is not met yet (Lagrange's multipliers of the constraints).
        """
        if self._metric != "target":
            return self._counts({} if self._metric == "none" else {self._metric: 1.0})
        alone = [self._counts({metric: 1.0}, until=metric) for metric in self._goals]
        enough = [counts for counts in alone if not self._unmet(counts)]
        return min(enough, key=self._lost) if enough else self._balanced()

    def _balanced(self) -> Values:
        weights = dict.fromkeys(self._goals, 1.0)
        best = counts = self._counts(weights)
        for _ in range(_TURNS):
            used = self._used(counts)
            weights = {metric: weight * used[metric] ** _HASTE for metric, weight in weights.items()}
            counts = self._counts(weights)
            best = max(best, counts, key=lambda each: sum(self._used(each).values()))
        return best

    def _lost(self, counts: Values) -> float:
        """Return the sum of the scores of the groups that go."""
        return sum(queue.lost(int(count)) for queue, count in zip(self._queues, counts, strict=True))

    def _used(self, counts: Values) -> dict[str, float]:
        """Return metric → share of what its target allows that is left, 1 where it is just met."""
        return {metric: self._costs.total(metric, counts) / goal for metric, goal in self._goals.items()}

    def _counts(self, mix: Mapping[str, float], *, until: str = "") -> Values:
        """Return how many groups of each family stay, (families,), once every target is met, or that of `until`."""
        steps = np.zeros(len(self._queues), np.int64)
        counts = np.asarray([queue.stops[0] for queue in self._queues], np.float64)
        scores = np.asarray([queue.block_score(0) for queue in self._queues])
        wanted = {until} if until else set(self._goals)
        while wanted & set(self._unmet(counts)):
            best = int(np.argmin(self._ranked(scores, counts, mix)))
            steps[best] += 1
            counts[best] = self._queues[best].stops[steps[best]]
            scores[best] = self._queues[best].block_score(int(steps[best]))
        return counts

    def _ranked(self, scores: Values, counts: Values, mix: Mapping[str, float]) -> Values:
        if not mix:
            return scores
        slopes = sum(weight * self._share_of_one(metric, counts) for metric, weight in mix.items())
        return np.asarray(scores / np.maximum(slopes, 1e-15))

    def _share_of_one(self, metric: str, counts: Values) -> Values:
        """Return the share of the dense metric that one group of each family adds, (families,)."""
        dense = self._dense[metric]
        return self._costs.slope(metric, counts, self._goals.get(metric, 0.0)) / dense

    def _unmet(self, counts: Values) -> list[str]:
        """Return the metrics of which more is left than the target allows."""
        return [metric for metric, goal in self._goals.items() if self._costs.total(metric, counts) > goal * (1 + 1e-9)]

    def _check_reachable(self) -> None:
        least = np.asarray([queue.stops[-1] for queue in self._queues], np.float64)
        if not self._unmet(least):
            return
        cuts = [f"{1 - share:.1%} of the {metric}" for metric, share in self._shares(least).items()]
        hint = "ask for less, or lower round_to or min_channels, or skip fewer layers"
        without_limits = self._shares(np.ones(len(self._queues)))
        if fixed := [metric for metric, share in without_limits.items() if share > 1 - _NOTHING]:
            hint = f"no channel lowers the {fixed[0]}: the image itself or layers that keep theirs take it"
        raise ConfigError(
            f"the target cannot be met: at most {' and '.join(cuts)} of `{self._groups.model}` can be removed",
            hint=hint,
        )

    def _shares(self, counts: Values) -> dict[str, float]:
        """Return metric → share of the dense model's that is left when `counts`, (families,), groups stay."""
        return {metric: self._costs.total(metric, counts) / self._dense[metric] for metric in self._goals}
