"""Plans that take the same share of every layer: the usual baselines, by L1 norm or by lot.

A group's value becomes its place within its family, from 0 for the least to 1. Then the package's own choice, which
takes the block with the lowest mean place next until the budget is met, walks the one share up for all families at
once, with the same rounding and limits as for ours.
"""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf import pruning
from rsseg_tf.config import PruneConfig

Values = NDArray[np.float64]


def same_share_plan(groups: pruning.Groups, values: Values, settings: PruneConfig, *, criterion: str) -> pruning.Plan:
    """Return the plan that removes the same share of every family, lowest values first, until the targets are met.

    Args:
        groups: of the dense model.
        values: of each group, (groups,).
        settings: targets, `round_to`, `min_channels` and `skip`.
        criterion: what the plan says it is by.

    Raises:
        RssegError: if the target cannot be met.
    """
    places = _places(groups, values)
    layers = {}
    for layer in groups.wiring.layers.values():
        if layer.creates:
            group_of = groups.wiring.group_of[layer.axes["out"]]
            layers[layer.name] = np.where(group_of < 0, 0.0, places[group_of])
    target = pruning.Target(macs=settings.macs, params=settings.params)
    return pruning.choose(
        groups,
        pruning.Scores(criterion, layers),
        target,
        round_to=settings.round_to,
        min_channels=settings.min_channels,
        skip=settings.skip,
        attention="heads",  # a channel of attention has one place: its head's
        ranking=pruning.Ranking(aggregate="max", cost="none"),
    )


def l1_values(model: keras.Model, groups: pruning.Groups) -> Values:
    """Sum of the L1 norms of the filters that go with each group."""
    return pruning.group_scores(groups, pruning.score(model, criterion="l1"), pruning.Ranking())


def random_values(groups: pruning.Groups, *, seed: int) -> Values:
    """Return uniform in [0, 1)."""
    return np.random.default_rng(seed).random(len(groups))


def _places(groups: pruning.Groups, values: Values) -> Values:
    """Return where each group stands in its family, above 0 and below 1."""
    places = np.zeros(len(groups))
    for family in groups.families:
        ordered = family.groups[np.argsort(values[family.groups], kind="stable")]
        places[ordered] = (np.arange(len(family)) + 0.5) / len(family)
    return places
