"""What holds of every layer of a type: the one table that pruning, quantization and training ask.

A layer that is not in the table is not known: pruning freezes it, quantization-aware training refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras
from keras import layers

from rsseg_tf.graphs import foreign, private

Labels = tuple[str | None, ...]


@dataclass(frozen=True)
class Facts:
    """What holds of every layer of one type.

    Attributes:
        keeps_channels: under every setting each channel goes out as it came in, but for its positions: a constant one
            stays that constant.
        keeps_values: what goes out is values that came in, and zeros: rounded numbers stay as they are.
        is_elementwise: acts on each element alone.
        is_activation: is what stands behind a layer with weights, and nothing else.
        fuses_relu: the layer's TFLite operator computes a ReLU behind it as well.
        weights: variable → what its last axes hold: `in` and `out` for the channels that are summed over and that go
            out, `through` for those of a depthwise convolution, None for something else.
        settings: what makes the layer up in both Keras 3 and `tf_keras`, named as in Keras 3; None if `tf_keras` has
            no such layer.
    """

    keeps_channels: bool = False
    keeps_values: bool = False
    is_elementwise: bool = False
    is_activation: bool = False
    fuses_relu: bool = False
    weights: Mapping[str, Labels] = field(default_factory=dict)
    settings: tuple[str, ...] | None = None

    @property
    def kernel(self) -> str | None:
        """The variable that holds the filters: of a separable convolution, the pointwise half."""
        return next((name for name in reversed(list(self.weights)) if name.endswith("kernel")), None)


_BIAS: Mapping[str, Labels] = {"bias": ("out",)}
_DENSE: Mapping[str, Labels] = {"kernel": ("in", "out"), **_BIAS}
_TRANSPOSED: Mapping[str, Labels] = {"kernel": ("out", "in"), **_BIAS}
_DEPTHWISE: Mapping[str, Labels] = {"kernel": ("through", None), **_BIAS}
_SEPARABLE: Mapping[str, Labels] = {"depthwise_kernel": ("through", None), "pointwise_kernel": ("in", "out"), **_BIAS}
_NORM: Mapping[str, Labels] = {name: ("out",) for name in ("gamma", "beta", "moving_mean", "moving_variance")}

_FUSED = ("activation", "use_bias")
_WINDOWS = ("kernel_size", "strides", "padding", "data_format", "dilation_rate")
_POOL = ("pool_size", "strides", "padding", "data_format")
_GLOBAL = ("data_format", "keepdims")

_DROPOUT = Facts(keeps_channels=True, keeps_values=True)
_MOVING = Facts(keeps_channels=True, keeps_values=True)
_AVERAGE = Facts(keeps_channels=True)
_MERGE = Facts(settings=())
_FUSING_MERGE = Facts(fuses_relu=True, settings=())

FACTS: Mapping[type | str, Facts] = {
    layers.Conv2D: Facts(fuses_relu=True, weights=_DENSE, settings=("filters", "groups", *_WINDOWS, *_FUSED)),
    **dict.fromkeys((layers.Conv1D, layers.Conv3D), Facts(weights=_DENSE)),
    layers.Conv2DTranspose: Facts(weights=_TRANSPOSED, settings=("filters", "output_padding", *_WINDOWS, *_FUSED)),
    **dict.fromkeys((layers.Conv1DTranspose, layers.Conv3DTranspose), Facts(weights=_TRANSPOSED)),
    layers.DepthwiseConv2D: Facts(
        fuses_relu=True, weights=_DEPTHWISE, settings=("depth_multiplier", *_WINDOWS, *_FUSED)
    ),
    layers.DepthwiseConv1D: Facts(weights=_DEPTHWISE),
    layers.SeparableConv2D: Facts(
        fuses_relu=True, weights=_SEPARABLE, settings=("filters", "depth_multiplier", *_WINDOWS, *_FUSED)
    ),
    layers.SeparableConv1D: Facts(weights=_SEPARABLE),
    layers.Dense: Facts(fuses_relu=True, weights=_DENSE, settings=("units", *_FUSED)),
    layers.BatchNormalization: Facts(
        fuses_relu=True, weights=_NORM, settings=("axis", "momentum", "epsilon", "center", "scale")
    ),
    layers.GroupNormalization: Facts(weights={"gamma": ("out",), "beta": ("out",)}),
    layers.Rescaling: Facts(fuses_relu=True, settings=("scale", "offset")),
    layers.ReLU: Facts(is_elementwise=True, is_activation=True, settings=("max_value", "negative_slope", "threshold")),
    layers.LeakyReLU: Facts(is_elementwise=True, is_activation=True, settings=("negative_slope",)),
    layers.ELU: Facts(is_elementwise=True, is_activation=True, settings=("alpha",)),
    layers.PReLU: Facts(is_activation=True, weights={"alpha": ("out",)}, settings=("shared_axes",)),
    layers.Activation: Facts(is_activation=True, settings=("activation",)),
    layers.Softmax: Facts(settings=("axis",)),
    layers.Concatenate: Facts(settings=("axis",)),
    **dict.fromkeys((layers.Add, layers.Subtract, layers.Multiply), _FUSING_MERGE),
    **dict.fromkeys((layers.Average, layers.Maximum, layers.Minimum), _MERGE),
    layers.Identity: Facts(keeps_channels=True, keeps_values=True, settings=()),
    layers.Dropout: Facts(keeps_channels=True, keeps_values=True, settings=("rate",)),
    layers.SpatialDropout2D: Facts(keeps_channels=True, keeps_values=True, settings=("rate", "data_format")),
    **dict.fromkeys((layers.SpatialDropout1D, layers.SpatialDropout3D), _DROPOUT),
    **dict.fromkeys((layers.GaussianDropout, layers.GaussianNoise), _DROPOUT),
    **dict.fromkeys((layers.AlphaDropout, layers.ActivityRegularization), _AVERAGE),
    layers.ZeroPadding2D: Facts(keeps_values=True, settings=("padding", "data_format")),
    **dict.fromkeys((layers.ZeroPadding1D, layers.ZeroPadding3D), Facts(keeps_values=True)),
    layers.Cropping2D: Facts(keeps_channels=True, keeps_values=True, settings=("cropping", "data_format")),
    **dict.fromkeys((layers.Cropping1D, layers.Cropping3D), _MOVING),
    layers.CenterCrop: _AVERAGE,  # it resizes what is too small
    layers.UpSampling2D: Facts(keeps_channels=True, settings=("size", "data_format", "interpolation")),
    **dict.fromkeys((layers.UpSampling1D, layers.UpSampling3D), _MOVING),
    layers.MaxPooling2D: Facts(keeps_channels=True, keeps_values=True, fuses_relu=True, settings=_POOL),
    **dict.fromkeys((layers.MaxPooling1D, layers.MaxPooling3D), _MOVING),
    layers.GlobalMaxPooling2D: Facts(keeps_channels=True, keeps_values=True, settings=_GLOBAL),
    **dict.fromkeys((layers.GlobalMaxPooling1D, layers.GlobalMaxPooling3D), _MOVING),
    layers.AveragePooling2D: Facts(keeps_channels=True, settings=_POOL),
    layers.GlobalAveragePooling2D: Facts(keeps_channels=True, settings=_GLOBAL),
    **dict.fromkeys((layers.AveragePooling1D, layers.AveragePooling3D), _AVERAGE),
    **dict.fromkeys((layers.GlobalAveragePooling1D, layers.GlobalAveragePooling3D), _AVERAGE),
    layers.Flatten: Facts(keeps_values=True, settings=("data_format",)),
    layers.Reshape: Facts(keeps_values=True, settings=("target_shape",)),
    layers.Permute: Facts(keeps_values=True, settings=("dims",)),
    layers.RepeatVector: Facts(keeps_values=True),
    private.STOCHASTIC_DEPTH: _AVERAGE,
    **dict.fromkeys(foreign.DROP_PATHS, _DROPOUT),
    private.LAYER_SCALE: Facts(weights={"gamma": ("out",)}),
    **dict.fromkeys((*private.ADDITIONS, *private.PRODUCTS), Facts(fuses_relu=True)),
    **dict.fromkeys(private.ELEMENTWISE, Facts(is_elementwise=True)),
    **dict.fromkeys(private.POOLS, _AVERAGE),
}
"""Type of layer, or module and name where it has no public one → what holds of it and of subclasses like it."""

ACTIVATIONS: Mapping[str, str | None] = {
    **{name: name for name in ("linear", "relu", "relu6", "elu", "selu", "gelu", "sigmoid", "tanh", "softplus")},
    "silu": "swish",
    **dict.fromkeys(("leaky_relu", "celu", "mish", "hard_sigmoid", "hard_silu", "hard_tanh", "log_sigmoid")),
    **dict.fromkeys(("softsign", "exponential")),
}
"""Keras activations that act on each element alone → their name in `tf_keras`, None where it has none like it."""

STATISTICS = frozenset({"moving_mean", "moving_variance", "mean", "variance", "count", "seed_generator_state"})
"""Names of variables that are measured, not trained."""

OFFSETS = frozenset({"bias", "beta"})
"""Names of variables that are added to each output channel."""

_NOTHING = Facts()


def facts(operation: keras.Operation) -> Facts:
    """Return what is known of a layer or operation: the row of its type, or of the nearest type that it is made of."""
    return next((FACTS[key] for kind in type(operation).__mro__ for key in keys(kind) if key in FACTS), _NOTHING)


def keys(kind: type) -> tuple[type, str]:
    """Return what a type may stand under in a table: itself, or its module and name."""
    return kind, f"{kind.__module__}.{kind.__qualname__}"


def is_elementwise(function: Callable[..., object] | None) -> bool:
    """Return whether an activation, a function or a layer, acts on each element alone."""
    if isinstance(function, layers.Activation) and type(function).call is layers.Activation.call:
        return is_elementwise(function.activation)
    if function is None or (isinstance(function, keras.Operation) and facts(function).is_elementwise):
        return True
    known = ((keras.activations.get(name), getattr(keras.ops, name, None)) for name in ACTIVATIONS)
    return any(function in functions for functions in known)


def activation_name(operation: keras.Operation) -> str:
    """Return what a layer that is only an activation computes: `relu`, `relu6`, `tanh` …; empty for other layers.

    A ReLU with a slope is `leaky_relu`; one with a threshold or a ceiling other than 6 is `bent_relu`.
    """
    if isinstance(operation, layers.LeakyReLU):
        return "leaky_relu"
    if isinstance(operation, layers.ReLU):
        if operation.threshold or operation.max_value not in (None, 6):
            return "bent_relu"
        if operation.negative_slope:
            return "leaky_relu"
        return "relu" if operation.max_value is None else "relu6"
    if isinstance(operation, layers.Activation):
        inner = operation.activation
        return activation_name(inner) if isinstance(inner, keras.Operation) else getattr(inner, "__name__", "")
    return ""


def keeps_values(operation: keras.Operation) -> bool:
    """Return whether what goes out is values that came in, and zeros."""
    nearest = isinstance(operation, layers.UpSampling2D) and operation.interpolation == "nearest"
    return nearest or facts(operation).keeps_values


def is_known(operation: keras.Operation) -> bool:
    """Return whether the table has a row for a layer or operation, or for a type that it is made of."""
    return facts(operation) is not _NOTHING
