"""What another program chose to keep, as a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rsseg_tf import pruning
from rsseg_tf.errors import ModelError


def read_kept(path: Path) -> Mapping[str, Sequence[int]]:
    """Return layer → output channels that stay, from the `keep` of a JSON file.

    Raises:
        ModelError: if the file holds none.
    """
    try:
        keep: Mapping[str, Sequence[int]] = json.loads(path.read_text(encoding="utf-8"))["keep"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"`{path}` does not say what to keep") from error
    return keep


def plan_of_kept(groups: pruning.Groups, keep: Mapping[str, Sequence[int]]) -> pruning.Plan:
    """Return the plan that keeps of each layer named what `keep` says, and all of the others.

    Raises:
        ModelError: if a layer is not the model's, or a channel that goes could only go with one that stays.
    """
    removed = np.zeros(len(groups), bool)
    for name, channels in keep.items():
        layer = groups.wiring.layers.get(name)
        if layer is None or not layer.creates:
            raise ModelError(f"the model has no filters in a layer `{name}`")
        gone = groups.wiring.group_of[np.delete(layer.axes["out"], channels)]
        if np.isin(gone, [-1, *groups.wiring.group_of[layer.axes["out"][list(channels)]]]).any():
            raise ModelError(f"channels of `{name}` that are to go must stay with others")
        removed[gone] = True
    return groups.plan(removed, criterion="kept")
