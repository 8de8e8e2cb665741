"""Choosing which groups go: the least important ones, until the target is met."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config.pruning import LATENCY, Limits, Ranking, Target
from rsseg_tf.config.setting import check
from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.pruning.cost import CostTerms
from rsseg_tf.pruning.groups import Family, Groups
from rsseg_tf.pruning.latency import LatencyProfile, latency_terms
from rsseg_tf.pruning.plan import Plan
from rsseg_tf.pruning.scoring.ranking import group_scores
from rsseg_tf.pruning.scoring.scores import Scores

_RANKING = Ranking()

_USUAL_TILE = 16
"""Channels that most boards compute together: arm64 with dot products, Cortex-A53, AVX512-VNNI."""


def choose(  # noqa: PLR0913 - the door's arguments are settled
    groups: Groups,
    scores: Scores,
    target: Target,
    *,
    round_to: int = Limits.round_to,
    min_channels: int = Limits.min_channels,
    skip: Sequence[str] = (),
    ranking: Ranking = _RANKING,
    start: Plan | None = None,
    profile: LatencyProfile | None = None,
) -> Plan:
    """Return the plan that meets a target by removing the groups that matter least.

    Groups are ranked over the whole model, in blocks that keep every layer's width a multiple of
    `round_to`. The cost is followed exactly, since it falls with the product of two widths.

    Args:
        groups: of the dense model.
        scores: of its channels.
        target: what may be left of the dense model's cost at most; all must be met.
        round_to: kept counts are multiples of this, or the dense count; the default is that of `Limits`, 8. 0 is the
            tile that the profile found, 16 where there is none.
        min_channels: no layer keeps fewer, unless it has fewer; 8 as well. Give 1 too where `round_to` is below 8 and
            layers may become that narrow.
        skip: patterns (as in a shell) of names of layers whose channels all stay.
        ranking: how members' scores become a group's, how layers are made comparable, and what they are divided by.
        start: a plan whose removed groups stay removed.
        profile: latencies measured on the dense model; the plan's cost then has an estimate of `latency_ms`.

    Raises:
        ConfigError: if a target or limit is out of its range, or latency is a target or the ranking's cost and there is
            no profile, or one of another model; or if the target cannot be met: the message names the largest cut.
        ModelError: if the model's multiply-accumulates are needed and its input size is open.
    """
    check(target)
    limits = _limits(round_to, min_channels, skip, profile)
    values = group_scores(groups, scores, ranking)
    gone = groups.removed(start) if start else np.zeros(len(groups), bool)
    queues = [_Queue.of(family, values, gone, limits) for family in groups.families]
    terms = _terms(groups, {*target.given, ranking.cost}, profile)
    removed = _Greedy(groups, queues, target, terms, ranking.cost).run(gone)
    plan = groups.plan(
        removed,
        target=target.given,
        limits=asdict(limits),
        ranking=asdict(ranking),
        scores=_summary(scores, values, removed),
    )
    if profile is None:
        return plan
    left, dense = (terms.total(LATENCY, counts) for counts in (groups.counts_kept(removed), groups.counts))
    return replace(plan, cost={**plan.cost, LATENCY: left}, dense_cost={**plan.dense_cost, LATENCY: dense})


def _limits(round_to: int, min_channels: int, skip: Sequence[str], profile: LatencyProfile | None = None) -> Limits:
    limits = Limits(round_to, min_channels, tuple(skip))
    check(limits)
    if round_to:
        return limits
    return replace(limits, round_to=profile.tile if profile and profile.tile > 1 else _USUAL_TILE)


def _terms(groups: Groups, metrics: Set[str], profile: LatencyProfile | None) -> CostTerms:
    """Return the cost as a function of how many groups stay, with latency where there is a profile."""
    if "macs" in metrics and groups.cost().macs is None:
        raise ModelError(
            f"the input size of `{groups.model}` is open, so its multiply-accumulates are not known",
            hint="build it with a fixed input size, or set a target for params",
        )
    if profile is not None:
        return groups.terms_with(latency_terms(profile, groups.wiring))
    if LATENCY in metrics:
        raise ConfigError(
            f"`{LATENCY}` needs a latency profile of the dense model",
            hint="measure one on the device with `rsseg-tf benchmark MODEL.tflite --profile FILE.json`",
        )
    return groups.terms


def random_plan(groups: Groups, fraction: float = 0.5, *, seed: int) -> Plan:
    """Return the plan that removes a random `fraction` of the groups of every family, and leaves at least one.

    Raises:
        ConfigError: if `fraction` is not between 0 and 1.
    """
    if not 0 <= fraction <= 1:
        raise ConfigError(f"`fraction` must be between 0 and 1, got {fraction}")
    rng = np.random.default_rng(seed)
    removed = np.zeros(len(groups), bool)
    for family in groups.families:
        number = min(round(fraction * len(family)), len(family) - 1)
        removed[rng.permutation(family.groups)[:number]] = True
    return groups.plan(removed, random={"fraction": fraction, "seed": seed})


def largest_cut(
    groups: Groups,
    *,
    round_to: int = Limits.round_to,
    min_channels: int = Limits.min_channels,
    skip: Sequence[str] = (),
) -> Plan:
    """Return the plan that removes as many groups as the limits of `choose` allow: no target can ask for more.

    Which groups of a family stay does not matter to its cost; here it is the last ones.

    Examples:
        >>> import keras
        >>> from rsseg_tf import pruning
        >>> x = keras.Input((8, 8, 3))
        >>> y = keras.layers.Conv2D(32, 3, name="stem")(x)
        >>> model = keras.Model(x, keras.layers.Conv2D(2, 1)(y))
        >>> len(largest_cut(pruning.find_groups(model), round_to=8).keep["stem"])
        8
    """
    limits = _limits(round_to, min_channels, skip)
    removed = np.zeros(len(groups), bool)
    for family in groups.families:
        removed[family.groups[: len(family) - _allowed(family, limits)[-1]]] = True
    return groups.plan(removed, limits=asdict(limits))


@dataclass(frozen=True)
class _Queue:
    """A family's groups, least important first, and the numbers of them that may stay, largest first."""

    order: NDArray[np.int64]
    stops: tuple[int, ...]
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, family: Family, values: NDArray[np.float64], gone: NDArray[np.bool_], limits: Limits) -> _Queue:
        order = family.groups[np.lexsort((family.groups, values[family.groups], ~gone[family.groups]))]
        present = len(family) - int(gone[family.groups].sum())
        stops = [count for count in _allowed(family, limits) if count < present]
        return cls(order, (present, *stops), values[order])

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


def _allowed(family: Family, limits: Limits) -> list[int]:
    """Return how many groups of a family may stay, largest first."""
    size = len(family)
    if any(fnmatch.fnmatchcase(name, pattern) for name in family.members for pattern in limits.skip):
        return [size]
    least = max(1, *(math.ceil(limits.min_channels / count) for count in family.members.values()))
    step = math.lcm(*(limits.round_to // math.gcd(limits.round_to, count) for count in family.members.values()))
    return [size, *(count for count in range(size - 1, 0, -1) if count % step == 0 and count >= least)]


_TURNS = 8
"""Times that the weights of several targets are corrected."""

_HASTE = 8
"""Power of a target's shortfall that its weight is corrected by."""


class _Greedy:
    """Takes the block with the lowest score until every target is met."""

    def __init__(
        self, groups: Groups, queues: list[_Queue], target: Target, terms: CostTerms, cost_metric: str
    ) -> None:
        self._groups = groups
        self._queues = queues
        self._metric = cost_metric
        self._terms = terms
        self._dense = {
            metric: terms.total(metric, groups.counts) for metric in {*target.given, cost_metric} - {"none", "target"}
        }
        self._goals = target.goals(self._dense.__getitem__)

    def run(self, gone: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return what is removed, bool (groups,)."""
        self._check_reachable()
        removed = gone.copy()
        for queue, count in zip(self._queues, self._best_counts().astype(int), strict=True):
            removed[queue.order[: len(queue.order) - count]] = True
        return removed

    def _best_counts(self) -> NDArray[np.float64]:
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

    def _balanced(self) -> NDArray[np.float64]:
        weights = dict.fromkeys(self._goals, 1.0)
        best = counts = self._counts(weights)
        for _ in range(_TURNS):
            used = self._used(counts)
            weights = {metric: weight * used[metric] ** _HASTE for metric, weight in weights.items()}
            counts = self._counts(weights)
            best = max(best, counts, key=lambda each: sum(self._used(each).values()))
        return best

    def _lost(self, counts: NDArray[np.float64]) -> float:
        """Return the sum of the scores of the groups that go."""
        return sum(queue.lost(int(count)) for queue, count in zip(self._queues, counts, strict=True))

    def _used(self, counts: NDArray[np.float64]) -> dict[str, float]:
        """Return metric → share of what its target allows that is left, 1 where it is just met."""
        return {metric: self._terms.total(metric, counts) / goal for metric, goal in self._goals.items()}

    def _counts(self, mix: Mapping[str, float], *, until: str = "") -> NDArray[np.float64]:
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

    def _ranked(
        self, scores: NDArray[np.float64], counts: NDArray[np.float64], mix: Mapping[str, float]
    ) -> NDArray[np.float64]:
        if not mix:
            return scores
        slopes = sum(weight * self._terms.slope(metric, counts) / self._dense[metric] for metric, weight in mix.items())
        return np.asarray(scores / np.maximum(slopes, 1e-15))

    def _unmet(self, counts: NDArray[np.float64]) -> list[str]:
        """Return the metrics of which more is left than the target allows."""
        return [metric for metric, goal in self._goals.items() if self._terms.total(metric, counts) > goal * (1 + 1e-9)]

    def _check_reachable(self) -> None:
        least = np.asarray([queue.stops[-1] for queue in self._queues], np.float64)
        if not self._unmet(least):
            return
        left = {metric: self._terms.total(metric, least) / self._dense[metric] for metric in self._goals}
        cuts = [f"{1 - share:.1%} of the {metric}" for metric, share in left.items()]
        raise ConfigError(
            f"the target cannot be met: at most {' and '.join(cuts)} of `{self._groups.model}` can be removed",
            hint="ask for less, or lower round_to or min_channels, or skip fewer layers",
        )


def _summary(scores: Scores, values: NDArray[np.float64], removed: NDArray[np.bool_]) -> dict[str, object]:
    return {
        "criterion": scores.criterion,
        "groups": len(values),
        "removed": int(removed.sum()),
        "mean_removed": float(values[removed].mean()) if removed.any() else None,
        "mean_kept": float(values[~removed].mean()) if (~removed).any() else None,
    }
