"""From scores of channels to scores of groups that can be compared over the whole model."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config.pruning import Ranking
from rsseg_tf.errors import ModelError
from rsseg_tf.pruning.groups import Groups
from rsseg_tf.pruning.scoring.scores import Scores


def group_scores(groups: Groups, scores: Scores, ranking: Ranking) -> NDArray[np.float64]:
    """Return the score of each group, float64 (groups,), before any division by cost.

    Squared scores get their root taken after the members of a group were aggregated: what is divided by a cost has to
    be in proportion to the change of the loss.

    Raises:
        ModelError: if the scores are of another model, or do not cover some group.
    """
    total, most, number = (np.zeros(len(groups)) for _ in range(3))
    for name, values in scores.layers.items():
        normalized = _normalized(values, ranking.normalize)
        for group_of in _groups_of(groups, name, len(values)):
            free = group_of >= 0
            np.add.at(total, group_of[free], normalized[free])
            np.maximum.at(most, group_of[free], normalized[free])
            np.add.at(number, group_of[free], 1)
    if scores.layers and not number.all():
        _refuse_unscored(groups, int(np.flatnonzero(number == 0)[0]))
    combined = {"sum": total, "mean": total / np.maximum(number, 1), "max": most}[ranking.aggregate]
    return np.asarray(combined ** (1 / scores.power))


def _refuse_unscored(groups: Groups, group: int) -> NoReturn:
    names = ", ".join(f"`{name}`" for name in groups.members(group))
    raise ModelError(
        f"the scores do not cover {names}",
        hint="give `score` the `rules` that `find_groups` had; a rule's `macs` names the variable that is scored",
    )


def _groups_of(groups: Groups, name: str, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    layer = groups.wiring.layers.get(name)
    if layer is None or len(layer.axes.get("out", ())) != width:
        raise ModelError(f"the scores are of another model: `{name}` does not have {width} channels here")
    return groups.wiring.groups_of(layer.axes["out"])


def _normalized(values: NDArray[np.float64], how: str) -> NDArray[np.float64]:
    if how == "none":
        return values
    size = values.mean() if how == "mean" else np.sqrt((values**2).sum())
    return values / max(float(size), np.finfo(np.float64).tiny)
