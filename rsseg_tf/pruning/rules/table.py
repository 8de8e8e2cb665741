"""The rule table: what each type of layer does to the channels that flow through it.

A `Rule` says which channel ids come out (`flow`), by which ids each variable is indexed (`axes`), which
config entries hold a number of channels (`config`), and where a variable multiplies (`macs`). To let a
layer of your own be pruned, add a row. For a layer that scales each channel by its weight `gain`, (C,):

    from rsseg_tf import pruning
    pruning.RULES[Gain] = pruning.Rule(pruning.flows.scaled, axes={"gain": ("out",)})

`flows.scaled` says: the channels that come in go out, indexed by the label `out`, and emit 0 once masked. A layer
that acts on each element alone and has no weights takes `Rule(pruning.flows.elementwise)`.
Rows of Keras' layers stand for the sub-classes too, unless these override what it computes with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FunctionType

import keras
from keras import layers

from rsseg_tf.pruning.rules import flows
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
    """

    flow: Callable[[Site], Signal]
    axes: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    macs: Mapping[str, str] = field(default_factory=dict)


_WEIGHTS = {"kernel": ("in", "out"), "bias": ("out",)}
_CONVOLUTION = Rule(flows.convolution, axes=_WEIGHTS, config={"filters": "out"}, macs={"kernel": "out"})
_TRANSPOSED = Rule(
    flows.transposed,
    axes={"kernel": ("out", "in"), "bias": ("out",)},
    config={"filters": "out"},
    macs={"kernel": "in"},
)
_DEPTHWISE = Rule(flows.depthwise, axes={"kernel": ("through", None), "bias": ("out",)}, macs={"kernel": "out"})
_SEPARABLE = Rule(
    flows.separable,
    axes={"depthwise_kernel": ("through", None), "pointwise_kernel": ("in", "out"), "bias": ("out",)},
    config={"filters": "out"},
    macs={"depthwise_kernel": "out", "pointwise_kernel": "out"},
)
_BATCH_NORM = Rule(
    flows.batch_norm,
    axes={name: ("out",) for name in ("gamma", "beta", "moving_mean", "moving_variance")},
)
_PASSING = Rule(flows.passing)
_ELEMENTWISE = Rule(flows.elementwise)
_MERGED = Rule(flows.merged)
_PRODUCT = Rule(flows.product)
_PADDED = Rule(flows.padded)
_REDUCED = Rule(flows.reduced)

RULES: dict[type | str, Rule] = {
    layers.Conv1D: _CONVOLUTION,
    layers.Conv2D: _CONVOLUTION,
    layers.Conv3D: _CONVOLUTION,
    layers.Conv1DTranspose: _TRANSPOSED,
    layers.Conv2DTranspose: _TRANSPOSED,
    layers.Conv3DTranspose: _TRANSPOSED,
    layers.DepthwiseConv1D: _DEPTHWISE,
    layers.DepthwiseConv2D: _DEPTHWISE,
    layers.SeparableConv1D: _SEPARABLE,
    layers.SeparableConv2D: _SEPARABLE,
    layers.Dense: Rule(flows.dense, axes=_WEIGHTS, config={"units": "out"}, macs={"kernel": "out"}),
    layers.BatchNormalization: _BATCH_NORM,
    layers.GroupNormalization: Rule(flows.group_norm, axes={"gamma": ("out",), "beta": ("out",)}),
    layers.PReLU: Rule(flows.prelu, axes={"alpha": ("out",)}),
    layers.Activation: Rule(flows.activation),
    layers.Concatenate: Rule(flows.concatenated),
    layers.Flatten: Rule(flows.reshaped),
    layers.Reshape: Rule(flows.reshaped, config={"target_shape": "out"}),
    layers.Rescaling: Rule(flows.rescaled),
    layers.Multiply: _PRODUCT,
    **dict.fromkeys((layers.Add, layers.Subtract, layers.Average, layers.Maximum, layers.Minimum), _MERGED),
    **dict.fromkeys((layers.ReLU, layers.LeakyReLU, layers.ELU), _ELEMENTWISE),
    **dict.fromkeys((layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D, layers.Resizing), _PADDED),
    **dict.fromkeys(
        (
            *(layers.Identity, layers.Dropout, layers.GaussianDropout, layers.GaussianNoise, layers.AlphaDropout),
            *(layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D),
            *(layers.ActivityRegularization, layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D),
            *(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D, layers.CenterCrop),
            *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
            *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
            *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
            *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
        ),
        _PASSING,
    ),
    # Layers and operations that Keras gives no public name.
    "keras.src.applications.convnext.LayerScale": Rule(
        flows.scaled, axes={"gamma": ("out",)}, config={"projection_dim": "out"}
    ),
    "keras.src.applications.convnext.StochasticDepth": _PASSING,
    "keras.src.applications.inception_resnet_v2.CustomScaleLayer": _MERGED,
    "keras.src.ops.numpy.Multiply": _PRODUCT,
    "keras.src.ops.numpy.Reshape": Rule(flows.reshaped, config={"newshape": "out"}),
    "keras.src.ops.numpy.Concatenate": Rule(flows.concatenated),
    **{
        f"keras.src.ops.numpy.{name}": _MERGED
        for name in ("Add", "Subtract", "Divide", "TrueDivide", "Maximum", "Minimum", "Power")
    },
    **{
        f"keras.src.ops.numpy.{name}": _ELEMENTWISE
        for name in ("Absolute", "Abs", "Clip", "Exp", "Negative", "Sqrt", "Square", "Tanh")
    },
    **{
        f"keras.src.ops.nn.{name}": _ELEMENTWISE
        for name in (
            *("Relu", "Relu6", "Sigmoid", "Softplus", "Softsign", "Silu", "LogSigmoid", "LeakyRelu", "HardSigmoid"),
            *("HardSilu", "Elu", "Selu", "Gelu", "Celu", "HardTanh"),
        )
    },
    **{f"keras.src.ops.numpy.{name}": _REDUCED for name in ("Mean", "Max", "Amax", "Min", "Amin")},
    "keras.src.ops.core.Cast": _ELEMENTWISE,
    **dict.fromkeys(("keras.src.ops.nn.MaxPool", "keras.src.ops.nn.AveragePool"), _PASSING),
    **dict.fromkeys(("keras.src.ops.numpy.ExpandDims", "keras.src.ops.numpy.Squeeze"), Rule(flows.reshaped)),
}
"""Type of layer, or module and name where Keras has no public one → its rule. Add rows for layers of your own."""

_REASONS = {
    layers.InputLayer: "is an input of the model",
    layers.LayerNormalization: "normalizes over the channels, so each depends on all",
    layers.RMSNormalization: "normalizes over the channels, so each depends on all",
    layers.UnitNormalization: "normalizes over the channels, so each depends on all",
    layers.Softmax: "is a softmax over the channels, so each depends on all",
    layers.Normalization: "holds constants for each channel",
}


def rule_for(operation: keras.Operation) -> Rule | None:
    """The row for a layer or operation, None where there is none."""
    for kind in type(operation).__mro__:
        row = RULES.get(kind) or RULES.get(f"{kind.__module__}.{kind.__qualname__}")
        if row is not None:
            return row if _computes_like(operation, kind) else None
    return None


def why_frozen(operation: keras.Operation) -> str:
    """Why channels that meet a layer without a rule must stay; goes on from the layer's name."""
    for kind, reason in _REASONS.items():
        if isinstance(operation, kind):
            return reason
    return f"is a {type(operation).__name__}, which has no rule"


def _computes_like(operation: keras.Operation, kind: type) -> bool:
    """Whether a sub-class overrides nothing that the row's type computes with, such as `call` or `convolution_op`."""
    classes = type(operation).__mro__
    added = [item for cls in classes[: classes.index(kind)] for item in vars(cls).items()]
    methods = (FunctionType, classmethod, staticmethod, property)
    overridden = {name for name, value in added if isinstance(value, methods) and hasattr(kind, name)}
    return overridden <= {"__init__", "get_config", "from_config"}
