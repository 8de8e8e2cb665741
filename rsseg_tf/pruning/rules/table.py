"""The rule table: what each type of layer does to the channels that flow through it.

A `Rule` says which channel ids come out (`flow`), by which ids each variable is indexed (`axes`), which
config entries hold a number of channels (`config`), and where a variable multiplies (`macs`). To let a
layer of your own be pruned, give a row for it. For a layer that scales each channel by its weight `gain`, (C,):

    from rsseg_tf import pruning
    rules = {Gain: pruning.Rule(pruning.flows.scaled, axes={"gain": ("out",)})}
    groups = pruning.find_groups(model, rules=rules)

`flows.scaled` says: the channels that come in go out, indexed by the label `out`, and emit 0 once masked. A layer
that acts on each element alone and has no weights takes `Rule(pruning.flows.elementwise)`.
Rows of Keras' layers stand for the subclasses too, unless these override what it computes with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FunctionType

import keras
from keras import layers

from rsseg_tf.errors import ConfigError
from rsseg_tf.graphs import FACTS, foreign, private, why_whole
from rsseg_tf.graphs.facts import Labels, keys
from rsseg_tf.pruning.rules import attention, flows, norms
from rsseg_tf.pruning.rules.site import Signal, Site


@dataclass(frozen=True)
class Rule:
    """How channels flow through one type of layer.

    Attributes:
        flow: from the call to what flows out; may join, freeze and create channel ids.
        axes: variable (attribute of the layer) → labels of its last axes. `mask` zeroes what belongs
            to removed channels along every label but `in`; None for an axis that holds no channels.
        config: config key → label of the axis whose width it holds.
        macs: variable → where each of its elements multiplies once: at every position of `in` or `out`.
        bias: attribute of the layer that holds what is added to each output channel, if it has one.
        activation: attribute of the layer that holds what is applied to the sums, if it has one.
        spread: whether it follows channels that are spread over axes, such as heads and the width of each.
        splits: whether several tensors come out; `flow` returns as many.
        merges: whether neighboring axes of a variable count as one where channels are spread over them.
        enlarges: whether each output channel may be one input channel at a larger size, as in a transposed
            convolution that enlarges the classes of a model.
    """

    flow: Callable[[Site], Signal | tuple[Signal, ...]]
    axes: Mapping[str, Labels] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    macs: Mapping[str, str] = field(default_factory=dict)
    bias: str = "bias"
    activation: str = "activation"
    enlarges: bool = False
    spread: bool = False
    splits: bool = False
    merges: bool = False

    def __post_init__(self) -> None:
        known = {"in", "out", "through", *(label for labels in self.axes.values() for label in labels)}
        faults = [
            *(f"`macs` names `{name}`, which `axes` does not mention" for name in self.macs if name not in self.axes),
            *(f"`macs` has `{label}`, not `in` or `out`" for label in self.macs.values() if label not in ("in", "out")),
            *(
                f"`config` has `{label}`, which is not a label of `axes`"
                for label in self.config.values()
                if label not in known
            ),
        ]
        if faults:
            raise ConfigError(f"a rule cannot hold: {faults[0]}", hint="see `help(rsseg_tf.pruning.Rule)`")


Rules = Mapping[type | str, Rule]
"""Type of layer, or module and name → its rule."""

_FILTERS = {"filters": "out"}
_CONVOLUTION = Rule(flows.convolution, FACTS[layers.Conv2D].weights, _FILTERS, macs={"kernel": "out"})
_TRANSPOSED = Rule(
    flows.transposed, FACTS[layers.Conv2DTranspose].weights, _FILTERS, macs={"kernel": "in"}, enlarges=True
)
_DEPTHWISE = Rule(flows.depthwise, FACTS[layers.DepthwiseConv2D].weights, macs={"kernel": "out"})
_SEPARABLE = Rule(
    flows.separable,
    FACTS[layers.SeparableConv2D].weights,
    _FILTERS,
    macs={"depthwise_kernel": "out", "pointwise_kernel": "out"},
)
_PASSING = Rule(flows.passing)
_DROPPING = Rule(flows.dropped, spread=True)
_ELEMENTWISE = Rule(flows.elementwise, spread=True)
_MERGED = Rule(flows.merged, spread=True)
_PRODUCT = Rule(flows.product, spread=True)
_PADDED = Rule(flows.padded)

RULES: dict[type | str, Rule] = {
    **{kind: _PASSING for kind, row in FACTS.items() if row.keeps_channels},
    **dict.fromkeys((layers.Identity, layers.Dropout, *foreign.DROP_PATHS), _DROPPING),
    **{kind: _ELEMENTWISE for kind, row in FACTS.items() if row.is_elementwise},
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D), _CONVOLUTION),
    **dict.fromkeys((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _TRANSPOSED),
    **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _DEPTHWISE),
    **dict.fromkeys((layers.SeparableConv1D, layers.SeparableConv2D), _SEPARABLE),
    layers.Dense: Rule(flows.dense, FACTS[layers.Dense].weights, {"units": "out"}, macs={"kernel": "out"}),
    layers.BatchNormalization: Rule(norms.batch_norm, FACTS[layers.BatchNormalization].weights),
    layers.LayerNormalization: Rule(norms.layer_norm, {"gamma": ("out",), "beta": ("out",)}),
    layers.RMSNormalization: Rule(norms.layer_norm, {"scale": ("out",)}),
    layers.GroupNormalization: Rule(norms.group_norm, FACTS[layers.GroupNormalization].weights),
    layers.PReLU: Rule(flows.prelu, FACTS[layers.PReLU].weights),
    layers.Activation: Rule(flows.activation, spread=True),
    layers.Rescaling: Rule(flows.rescaled),
    **dict.fromkeys((layers.Softmax, private.SOFTMAX), Rule(flows.softmax, spread=True)),
    **dict.fromkeys((layers.Multiply, *private.PRODUCTS), _PRODUCT),
    **dict.fromkeys((layers.Add, layers.Subtract, layers.Average, layers.Maximum, layers.Minimum), _MERGED),
    **dict.fromkeys((*private.ADDITIONS, *private.OTHER_MERGES, private.SCALED_SUM), _MERGED),
    **dict.fromkeys((layers.Concatenate, private.CONCATENATE), Rule(flows.concatenated)),
    **dict.fromkeys((layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D, layers.Resizing), _PADDED),
    private.PAD: Rule(flows.padded_by),
    foreign.AFFINE: _ELEMENTWISE,
    **dict.fromkeys((layers.Flatten, *private.AXIS_CHANGES), Rule(flows.reshaped)),
    layers.Reshape: Rule(flows.reshaped, config={"target_shape": "out"}, spread=True),
    private.RESHAPE: Rule(flows.reshaped, config={"newshape": "out"}, spread=True),
    **dict.fromkeys((layers.Permute, private.TRANSPOSE), Rule(attention.transposed_axes, spread=True)),
    layers.EinsumDense: Rule(
        *(attention.einsum_dense, {"kernel": ("in", "out"), "bias": ("out",)}),
        macs={"kernel": "out"},
        spread=True,
        merges=True,
    ),
    private.SPLIT: Rule(attention.split, splits=True),
    private.MATMUL: Rule(attention.matmul, spread=True),
    private.EINSUM: Rule(attention.einsum, spread=True),
    private.ATTENTION: Rule(attention.dot_product_attention, spread=True),
    **dict.fromkeys(private.REDUCTIONS, Rule(flows.reduced)),
    private.LAYER_SCALE: Rule(flows.scaled, FACTS[private.LAYER_SCALE].weights, {"projection_dim": "out"}),
}
"""Type of layer, or module and name where it has no public one → its rule, for every call that is not given others."""

_REASONS = {
    layers.InputLayer: "is an input of the model",
    layers.UnitNormalization: "normalizes over the channels, so each depends on all",
    layers.Normalization: "holds constants for each channel",
}


def rule_for(operation: keras.Operation, rules: Rules | None = None) -> Rule | None:
    """Return the row for a layer or operation, None if there is none.

    Args:
        operation: the layer.
        rules: rows that come before those of `RULES`.
    """
    for kind in type(operation).__mro__:
        for key in keys(kind):
            row = (rules or {}).get(key) or RULES.get(key)
            if row is not None:
                return row if _computes_like(operation, kind) else None
    return None


def check_rules(rules: Rules | None) -> None:
    """Check that rules are given as a mapping from types, or module and name, to rules.

    Raises:
        ConfigError: if they are not.
    """
    if rules is None:
        return
    fits = isinstance(rules, Mapping) and all(
        isinstance(key, type | str) and isinstance(rule, Rule) for key, rule in rules.items()
    )
    if not fits:
        raise ConfigError("`rules` maps types of layers to rules", hint="for example {Gain: Rule(flows.scaled, …)}")


def why_frozen(operation: keras.Operation, rules: Rules | None = None) -> str:
    """Return why channels that meet a layer without a rule must stay, in words that follow the layer's name."""
    for kind, reason in _REASONS.items():
        if isinstance(operation, kind):
            return reason
    name = type(operation).__name__
    for kind in type(operation).__mro__[1:]:
        if any(key in table for table in (rules or {}, RULES) for key in keys(kind)):
            changed = ", ".join(f"`{method}`" for method in sorted(_overridden(operation, kind)))
            return f"is a {name}, which has no rule: it overrides {changed} of {kind.__name__}, which has one"
    whole = why_whole(operation)
    return f"is a {name}, which has no rule" + (f" and cannot be opened: it {whole}" if whole else "")


def _computes_like(operation: keras.Operation, kind: type) -> bool:
    """Return whether a subclass overrides nothing that the row's type computes with, such as `call`."""
    return not _overridden(operation, kind)


def _overridden(operation: keras.Operation, kind: type) -> set[str]:
    classes = type(operation).__mro__
    added = [item for cls in classes[: classes.index(kind)] for item in vars(cls).items()]
    methods = (FunctionType, classmethod, staticmethod, property)
    overridden = {name for name, value in added if isinstance(value, methods) and hasattr(kind, name)}
    return overridden - {"__init__", "get_config", "from_config"}
