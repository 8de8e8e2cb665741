"""Latency as a part of the cost: what a measured profile says about a model with fewer channels.

An operator that was measured at fewer channels too (`OpLatency.steps`) takes α + β·in + γ·out + δ·in·out, none of them
negative, that explain its times best, where the channels that it computes count in tiles (`LatencyProfile.tile`): one
past a full tile costs as much as a whole one. Of an operator that takes each channel for itself it is α + γ·out.
Where nothing was measured, an operator with a kernel takes time in proportion to the product of its input and output
widths, as its multiply-accumulates do; any other in proportion to the width that it returns. Operators that are run one
by one take longer than together, each by its call: where they add up to more than `LatencyProfile.total_ms`, each is
taken to be as much shorter. What is left is scaled to add up to the whole.

That is an estimate. Measure the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import nnls

from rsseg_tf.benchmark.profile import LatencyProfile, OpLatency, load_profile
from rsseg_tf.benchmark.staircase import in_tiles
from rsseg_tf.config.pruning import LATENCY
from rsseg_tf.errors import ConfigError
from rsseg_tf.pruning.cost import Term, wired_cost
from rsseg_tf.pruning.rules.site import Ids
from rsseg_tf.pruning.wiring import CONTRACTED, LayerWiring, Variable, Wiring
from rsseg_tf.text import listed
from rsseg_tf.tflite.layer_names import layers_of_ops

__all__ = ["LATENCY", "LatencyProfile", "latency_terms", "load_profile"]

_NAMED = 5

_LEAST_OWN = 0.25
"""Share of an operator's time that is no call, whatever the profile says."""


def latency_terms(profile: LatencyProfile, wiring: Wiring) -> list[Term]:
    """Return the terms of the metric `latency_ms`, up to four an operator of the profile.

    Args:
        profile: of the same model, at the same input size, in any number format.
        wiring: of the dense model.

    Raises:
        ConfigError: if the profile is of another model: kernels are missing, or of another size.
    """
    reads = {name: layer.reads for name, layer in wiring.layers.items()}
    names = layers_of_ops([op.tensors for op in profile.layers], reads)
    sources = [[wiring.layers[name] for name in each] for each in names]
    _check_complete(profile, wiring, sources)
    profile = _without_calls(profile)
    scale = profile.total_ms / profile.sum_ms
    pairs = zip(profile.layers, sources, strict=True)
    return [term for op, layers in pairs for term in _terms_of(op, layers, scale, profile.tile)]


def _without_calls(profile: LatencyProfile) -> LatencyProfile:
    """Return a profile without what calling an operator by itself takes."""
    call_ms = max(0.0, profile.sum_ms - profile.total_ms) / len(profile.layers)

    def own(ms: float) -> float:
        return max(ms - call_ms, _LEAST_OWN * ms)

    def shorter(op: OpLatency) -> OpLatency:
        return replace(op, ms=own(op.ms), steps=tuple(replace(step, ms=own(step.ms)) for step in op.steps))

    return replace(profile, layers=tuple(map(shorter, profile.layers)))


def _terms_of(op: OpLatency, layers: Sequence[LayerWiring], scale: float, tile: int) -> list[Term]:
    inputs, outputs = channel_ids(op.macs, layers)
    dense = [len(ids) for ids in (inputs, outputs) if ids is not None]
    if not op.steps or outputs is None or op.steps[0].outputs != len(outputs):
        widths = tuple(ids for ids in (inputs, outputs) if ids is not None)
        return [Term(widths, {LATENCY: op.ms * scale / float(np.prod(dense, dtype=np.float64))})]
    if inputs is not None and op.steps[0].inputs != len(inputs):
        inputs = None
    forms = [((), ()), ((outputs,), (tile,))]
    if inputs is not None:
        forms += [((inputs,), (1,)), ((inputs, outputs), (1, tile))]
    paid = in_tiles(np.asarray([step.outputs for step in op.steps], np.float64), tile)
    read = np.asarray([step.inputs for step in op.steps], np.float64)
    columns = np.stack([np.ones_like(paid), paid, read, read * paid], axis=1)[:, : len(forms)]
    times = np.asarray([step.ms for step in op.steps])
    size = columns.max(axis=0)
    found, _ = nnls(columns / size / times[:, None], np.ones_like(times))  # errors in shares of each time
    found *= op.ms / float(columns[0] / size @ found)  # the dense operator takes what it took
    return [
        Term(widths, {LATENCY: float(factor) * scale}, tiles)
        for (widths, tiles), factor in zip(forms, found / size, strict=True)
        if factor > 0
    ]


def channel_ids(macs: int, layers: Sequence[LayerWiring]) -> tuple[Ids | None, Ids | None]:
    """Return the channel ids that an operator reads, where it sums over them, and those that it computes.

    Args:
        macs: multiply-accumulates of the operator.
        layers: that it came from.
    """
    layer = kernel_layer(macs, layers)
    if layer is not None:
        kernel = min(_kernels(layer), key=lambda variable: abs(_macs(variable) - macs))
        named = {label: layer.axes[label] for label in kernel.labels.values()}
        summed = named.pop(CONTRACTED, None)
        return summed, next(iter(named.values()), None)
    emitted = layers[-1].emitted if layers else None
    return None, emitted if emitted is not None and len(emitted) else None


def kernel_layer(macs: int, layers: Sequence[LayerWiring]) -> LayerWiring | None:
    """Return the layer whose kernel an operator multiplies with, None where it has no multiply-accumulates."""
    return next((layer for layer in layers if layer.multiplies), None) if macs else None


def _kernels(layer: LayerWiring) -> list[Variable]:
    return [variable for variable in layer.variables if variable.positions != 0]


def _macs(kernel: Variable) -> int:
    return (kernel.positions or 0) * int(np.prod(kernel.shape, dtype=np.int64))


def _check_complete(profile: LatencyProfile, wiring: Wiring, sources: Sequence[Sequence[LayerWiring]]) -> None:
    measured: dict[str, int] = {}
    for op, layers in zip(profile.layers, sources, strict=True):
        layer = kernel_layer(op.macs, layers)
        if layer is not None:
            measured[layer.name] = measured.get(layer.name, 0) + op.macs
    here = {layer.name: layer.macs for layer in wired_cost(wiring, np.ones(len(wiring.group_of), bool)).layers}
    kernels = [layer.name for layer in wiring.layers.values() if layer.multiplies]
    _refuse(profile, [name for name in kernels if name not in measured], "has no operators of")
    resized = [name for name in kernels if here[name] is not None and here[name] != measured[name]]
    _refuse(profile, resized, "was measured at another size of")


def _refuse(profile: LatencyProfile, names: Sequence[str], what: str) -> None:
    if names:
        layers = listed([f"`{name}`" for name in names], most=_NAMED)
        raise ConfigError(
            f"the latency profile of `{profile.model}` {what} {layers}",
            hint="measure the dense model that is to be pruned, exported at the same input size by this version; its "
            "kernels are those of pruning.live_taps(model)",
        )
