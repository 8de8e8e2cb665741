"""From scores of channels to scores of groups that can be compared over the whole model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config.pruning import Ranking
from rsseg_tf.errors import ModelError
from rsseg_tf.pruning.groups import Groups
from rsseg_tf.pruning.scoring.scores import Scores


def group_scores(groups: Groups, scores: Scores, ranking: Ranking) -> NDArray[np.float64]:
    """The score of each group, float64 (groups,), before any division by cost.

    Of squared scores the root is taken, after the members of a group were aggregated: what is divided by a cost has to
    be in proportion to the change of the loss.

    Raises:
        ModelError: the scores are of another model.
    """
    total, most, number = (np.zeros(len(groups)) for _ in range(3))
    for name, values in scores.layers.items():
        group_of = _groups_of(groups, name, len(values))
        free = group_of >= 0
        normalized = _normalized(values, ranking.normalize)[free]
        np.add.at(total, group_of[free], normalized)
        np.maximum.at(most, group_of[free], normalized)
        np.add.at(number, group_of[free], 1)
    combined = {"sum": total, "mean": total / np.maximum(number, 1), "max": most}[ranking.aggregate]
    return np.asarray(combined ** (1 / scores.power))


def _groups_of(groups: Groups, name: str, width: int) -> NDArray[np.int64]:
    layer = groups.wiring.layers.get(name)
    if layer is None or len(layer.axes.get("out", ())) != width:
        raise ModelError(f"the scores are of another model: `{name}` does not have {width} channels here")
    return groups.wiring.group_of[layer.axes["out"]]


def _normalized(values: NDArray[np.float64], how: str) -> NDArray[np.float64]:
    if how == "none":
        return values
    size = values.mean() if how == "mean" else np.sqrt((values**2).sum())
    return values / max(float(size), np.finfo(np.float64).tiny)
