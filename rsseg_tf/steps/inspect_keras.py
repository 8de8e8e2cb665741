"""What a `.keras` model is made of: layer by layer, and by what pruning can take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsseg_tf import pruning
from rsseg_tf.graphs import calls
from rsseg_tf.models.weights.pretrained import load_keras_model
from rsseg_tf.pruning.cost import not_counted
from rsseg_tf.tflite.inspection import format_layers

_METRICS = {"params": "params", "macs": "MACs", "int8_bytes": "int8 bytes"}


def inspect_keras(path: Path) -> Mapping[str, Any]:
    """Return parameters, multiply-accumulates and bytes of the model in `path` and of each of its layers.

    Layers of nested models are listed as if they were inlined; multiply-accumulates are null where the input
    size is open, and those of the layers in `uncounted` are not known and not among them. `dead_params`, and of
    the whole `dead_macs`, are those of kernels' taps that never meet the picture.

    Raises:
        ModelError: if the file is not a Keras model, or its graph cannot be read.
    """
    model = load_keras_model(path)
    flat = pruning.flatten(model)
    cost, live = pruning.cost(flat), pruning.cost(pruning.live_taps(flat))
    live_params = {layer.name: layer.params for layer in live.layers}
    first_calls = {call.operation.name: call for call in reversed(list(calls(flat)))}
    layers = [
        {
            "name": layer.name,
            "type": type(first_calls[layer.name].operation).__name__,
            "output_shape": list(first_calls[layer.name].outputs[0].shape),
            "params": layer.params,
            "macs": layer.macs,
            "bytes": layer.bytes,
            "dead_params": layer.params - live_params[layer.name],
        }
        for layer in cost.layers
    ]
    return {
        "model": model.name,
        "params": cost.params,
        "macs": cost.macs,
        "bytes": cost.bytes,
        "dead_params": cost.params - live.params,
        "dead_macs": None if cost.macs is None or live.macs is None else cost.macs - live.macs,
        "uncounted": list(cost.uncounted),
        "layers": layers,
    }


def format_cost(path: Path, cost: Mapping[str, Any]) -> str:
    """Return what `inspect_keras` found as text: the totals, what of them is dead, and a line a layer."""
    text = f"{path}: {cost['params']:,} parameters, {_count(cost['macs'])} multiply-accumulates"
    if dead := cost["dead_params"]:
        text += (
            f"\nof these {dead:,} parameters ({dead / cost['params']:.1%}) and {_count(cost['dead_macs'])} "
            "multiply-accumulates are of taps that never meet the picture, only its padding: "
            "prune and export-tflite leave them out"
        )
    if cost["uncounted"]:
        text += f"\n{not_counted(cost['uncounted'])}"
    return f"{text}\n\n{format_layers(cost['layers'])}"


def _count(number: int | None) -> str:
    return "an unknown number of" if number is None else f"{number:,}"


def inspect_groups(path: Path) -> tuple[Mapping[str, Any], str]:
    """Return the channel groups of the model in `path` and how far it can be cut, as JSON values and as text.

    As `prune` sees them: without the taps of kernels that never meet the picture.
    Multiply-accumulates are null where the input size is open. The limits of the cut are the default settings.

    Returns:
        `model`, its `params`, `macs` and `int8_bytes`, the number of `groups`, `families` (of each the number of
        `groups`, its `members` as layer → channels a group, and `params`, `macs` and `int8_bytes` of one
        group), `frozen` (layer → reason) and `largest_cut`: `round_to`, `min_channels`, and the shares of
        `params`, `macs` and `int8_bytes` that it leaves. Then the same to read.

    Raises:
        ModelError: if the file is not a Keras model, or its graph cannot be read.
    """
    groups = pruning.find_groups(pruning.prunable(load_keras_model(path)))
    cost = groups.cost()
    plan, limits = pruning.largest_cut(groups), pruning.Limits()
    shares = {metric: plan.share(metric) for metric in _METRICS}
    cut = {"round_to": limits.round_to, "min_channels": limits.min_channels, **shares}
    each = {metric: groups.each(metric).tolist() for metric in _METRICS}
    families = [
        {"groups": len(family), "members": dict(family.members), **{metric: each[metric][i] for metric in _METRICS}}
        for i, family in enumerate(groups.families)
    ]
    facts = {
        "model": groups.model,
        **{metric: getattr(cost, metric) for metric in _METRICS},
        "groups": len(groups),
        "families": families,
        "frozen": dict(groups.frozen),
        "largest_cut": cut,
    }
    return facts, f"{groups}\n{_cut_text(cut)}"


def _cut_text(cut: Mapping[str, float]) -> str:
    left = [f"{cut[metric]:.1%} of the {name}" for metric, name in _METRICS.items() if not math.isnan(cut[metric])]
    limits = f"kept counts multiples of {cut['round_to']} and at least {cut['min_channels']}"
    return f"the largest cut ({limits}) leaves {', '.join(left)}"
