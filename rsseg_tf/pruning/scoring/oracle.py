"""The oracle: what removing each group alone really does to the loss, and how well criteria predict it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree
from numpy.typing import NDArray
from scipy.stats import spearmanr

from rsseg_tf.config.pruning import Ranking
from rsseg_tf.errors import ConfigError
from rsseg_tf.progress import Progress
from rsseg_tf.pruning.groups import Groups
from rsseg_tf.pruning.rebuild import mask_wired
from rsseg_tf.pruning.scoring.contributions import Loss
from rsseg_tf.pruning.scoring.ranking import group_scores
from rsseg_tf.pruning.scoring.scores import Scores
from rsseg_tf.tracing.dilation import native_dilation
from rsseg_tf.tracing.kept import count_kept

_LEAST_GROUPS = 4
"""A rank correlation of fewer groups says nothing."""


@dataclass(frozen=True)
class Truth:
    """Measured loss changes.

    Attributes:
        loss: of the whole model.
        groups: numbers of the groups that were removed, int64 (n,).
        changes: loss without each of them, less `loss`, float64 (n,).
    """

    loss: float
    groups: NDArray[np.int64]
    changes: NDArray[np.float64]


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of scores with the absolute loss changes.

    Attributes:
        overall: over all measured groups.
        families: layers of a family, joined by ` + ` → within it; families of few groups are left out.
    """

    overall: float
    families: Mapping[str, float]

    @property
    def mean_of_families(self) -> float:
        """Mean of the correlations within families, NaN where there are none."""
        known = [value for value in self.families.values() if np.isfinite(value)]
        return float(np.mean(known)) if known else float("nan")


def oracle(
    model: keras.Model,
    groups: Groups,
    batches: Sequence[tuple[Any, Any]],
    *,
    loss: Loss,
    only: NDArray[np.int64] | None = None,
    progress: Progress | None = None,
) -> Truth:
    """Return the true change of the loss when each group alone is removed, on the same batches.

    Each group is masked, the loss measured with moving statistics, and the weights put back: the model ends as
    it came.

    Args:
        model: a functional model.
        groups: of that model.
        batches: pairs (x, y), as in `score`.
        loss: of (y, prediction), a scalar.
        only: numbers of the groups to measure, such as `spread_groups` draws; None for all.
        progress: called after each group with how many are done and how many there are.

    Raises:
        ConfigError: if there are no batches.
    """
    if not batches:
        raise ConfigError("the oracle needs at least one batch")
    flat = groups.wiring.flat(model)
    count_kept(flat.operations)
    chosen = np.arange(len(groups)) if only is None else only
    measure = _measure(flat, batches, loss)
    whole = measure()
    changes = np.zeros(len(chosen))
    for place, group in enumerate(chosen.tolist()):
        with _without(flat, groups, group):
            changes[place] = measure() - whole
        if progress is not None:
            progress(place + 1, len(chosen))
    return Truth(whole, chosen, changes)


def spread_groups(groups: Groups, count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Return the sorted numbers of `count` groups, drawn evenly over the families; all if there are fewer."""
    rng = np.random.default_rng(seed)
    shuffled = [rng.permutation(family.groups) for family in groups.families]
    longest = max((len(family) for family in shuffled), default=0)
    dealt = [int(family[turn]) for turn in range(longest) for family in shuffled if turn < len(family)]
    return np.sort(np.asarray(dealt[:count], np.int64))


def rank_correlation(groups: Groups, scores: Scores, truth: Truth, ranking: Ranking | None = None) -> RankCorrelation:
    """Return how well scores order the groups by what their removal does to the loss.

    Args:
        groups: of the model.
        scores: by any criterion.
        truth: from `oracle` on the same model.
        ranking: how members' scores become a group's; by default as in `choose`.
    """
    values = group_scores(groups, scores, ranking or Ranking())[truth.groups]
    changes = np.abs(truth.changes)
    by_family = {}
    family_of = groups.family_of[truth.groups]
    for number, family in enumerate(groups.families):
        inside = family_of == number
        if inside.sum() >= _LEAST_GROUPS:
            by_family[" + ".join(family.members)] = _spearman(values[inside], changes[inside])
    return RankCorrelation(_spearman(values, changes), by_family)


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return Spearman's correlation; 0 where one side is constant and so says nothing."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second).statistic)


def _measure(flat: keras.Model, batches: Sequence[tuple[Any, Any]], loss: Loss) -> Any:
    """Return a function that computes the mean loss over the batches, traced once."""
    tensors = [tree.map_structure(tf.convert_to_tensor, batch) for batch in batches]
    step = tf.function(lambda x, y: loss(y, flat(x, training=False)), reduce_retracing=True)

    def measure() -> float:
        with native_dilation(flat):
            return float(np.mean([float(step(x, y)) for x, y in tensors]))

    return measure


@contextmanager
def _without(flat: keras.Model, groups: Groups, group: int) -> Iterator[None]:
    """Mask one group within the block."""
    kept = groups.wiring.kept(np.arange(len(groups)) == group)
    touched = [
        operation.weights[variable.index]
        for operation in flat.operations
        for variable in groups.wiring.layers[operation.name].variables
        if any(not kept[groups.wiring.layers[operation.name].axes[label]].all() for label in variable.labels.values())
    ]
    before = [keras.ops.convert_to_numpy(weight) for weight in touched]
    try:
        mask_wired(flat, groups.wiring, kept)
        yield
    finally:
        for weight, value in zip(touched, before, strict=True):
            weight.assign(value)
