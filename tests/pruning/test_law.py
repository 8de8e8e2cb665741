"""Masked equals rebuilt, on graphs small enough to see why."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from rsseg_tf import pruning
from rsseg_tf.config.training import Heads
from rsseg_tf.models.deeplab import deeplab_v3_plus
from tests.pruning.law import check_law, randomize


def image(channels=3, size=8):
    return keras.Input((size, size, channels))


def conv_bn(x, filters, kernel=3, **options):
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, **options)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def residual_with_projection():
    x = inputs = image()
    for stride in (1, 2):
        y = conv_bn(conv_bn(x, 8, strides=stride), 12)
        x = layers.Add()([y, layers.Conv2D(12, 1, strides=stride)(x)])
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def pre_activation():
    x = inputs = image()
    x = layers.Conv2D(8, 3, padding="same")(x)
    for _ in range(2):
        y = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Add()([x, layers.Conv2D(8, 3, padding="same")(y)])
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Conv2D(4, 1)(x))


def dense_block():
    x = inputs = image()
    x = layers.Conv2D(6, 3, padding="same", use_bias=False)(x)
    for _ in range(3):
        y = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Concatenate()([x, layers.Conv2D(4, 3, padding="same")(y)])
    return keras.Model(inputs, layers.Conv2D(4, 1)(layers.BatchNormalization(scale=False)(x)))


def aspp():
    x = inputs = image()
    x = conv_bn(x, 10)
    branches = [conv_bn(x, 6, 1), *(conv_bn(x, 6, dilation_rate=rate) for rate in (2, 3, 4))]
    pooled = conv_bn(layers.GlobalAveragePooling2D(keepdims=True)(x), 6, 1)
    branches.append(layers.Resizing(8, 8)(pooled))
    return keras.Model(inputs, layers.Conv2D(4, 1)(conv_bn(layers.Concatenate()(branches), 8, 1)))


def transposed():
    x = inputs = image()
    x = layers.Conv2DTranspose(6, 4, strides=2, padding="same")(conv_bn(x, 8))
    x = layers.Cropping2D(1)(layers.Conv2DTranspose(7, 3, strides=2, output_padding=1)(x))
    return keras.Model(inputs, layers.Conv2D(4, 1)(x))


def grouped():
    x = inputs = image()
    x = conv_bn(conv_bn(x, 12), 8, groups=4)
    x = layers.Conv2D(16, 3, groups=8, padding="same")(x)
    return keras.Model(inputs, layers.Conv2D(4, 1)(x))


def depthwise_and_separable():
    x = inputs = image()
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(conv_bn(x, 6))
    x = layers.SeparableConv2D(8, 3, depth_multiplier=2, strides=2, activation="relu")(x)
    return keras.Model(inputs, layers.Conv2D(4, 1)(layers.SeparableConv2D(6, 1)(x)))


def squeeze_and_excite():
    x = inputs = image()
    x = conv_bn(x, 12)
    gate = layers.Reshape((1, 1, 12))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(4, 1, activation="swish")(gate)
    gate = layers.Conv2D(12, 1, activation="sigmoid")(gate)
    x = layers.Multiply()([x, gate])
    return keras.Model(inputs, layers.Conv2D(4, 3)(x))


def flatten_to_dense():
    x = inputs = image()
    x = layers.MaxPooling2D(2)(conv_bn(x, 6))
    return keras.Model(inputs, layers.Dense(4)(layers.Dense(9, activation="relu")(layers.Flatten()(x))))


def sigmoid_into_pointwise():
    x = inputs = image()
    x = layers.Activation("sigmoid")(layers.Conv2D(6, 3)(x))
    x = layers.Conv2D(7, 1, padding="same", activation="softplus")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Conv2D(5, 3)(x)))


def rescaled_into_batch_norm():
    x = inputs = image()
    x = layers.BatchNormalization()(layers.Rescaling(2.0, offset=1.0)(layers.Conv2D(6, 3)(x)))
    return keras.Model(inputs, layers.Conv2D(4, 3, padding="same", use_bias=False)(x))


def prelu_and_group_norm():
    x = inputs = image()
    x = layers.PReLU()(layers.Conv2D(6, 3)(x))
    x = layers.GroupNormalization(groups=-1)(layers.Conv2D(6, 3)(x))
    x = layers.PReLU(shared_axes=(1, 2))(x)
    return keras.Model(inputs, layers.Conv2D(4, 1)(x))


def shared_layer():
    x = inputs = image()
    shared = layers.Conv2D(6, 3, padding="same")
    x = layers.Concatenate()([shared(conv_bn(x, 5)), shared(conv_bn(x, 5))])
    return keras.Model(inputs, layers.Conv2D(4, 1)(x))


def nested():
    inner_in = keras.Input((8, 8, 6))
    inner = keras.Model(inner_in, conv_bn(inner_in, 9), name="inner")
    stem = keras.Sequential([image(), layers.Conv2D(6, 3, padding="same"), layers.ReLU()], name="stem")
    inputs = image()
    x = layers.Add()([inner(stem(inputs), training=False), inner(conv_bn(inputs, 6))])
    return keras.Model(inputs, layers.Conv2D(4, 1)(x))


def multi_input_and_output():
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((4, 4, 2), name="b")
    x = layers.UpSampling2D(2)(conv_bn(b, 6))
    x = layers.Concatenate()([conv_bn(a, 8), x])
    y = conv_bn(x, 10)
    outputs = {"mask": layers.Conv2D(2, 1)(y), "label": layers.Dense(3)(layers.GlobalMaxPooling2D()(y))}
    return keras.Model({"a": a, "b": b}, outputs)


def raw_operations():
    x = inputs = image()
    x = ops.relu(layers.Conv2D(8, 3, padding="same")(x)) * 0.5
    gate = ops.sigmoid(layers.Conv2D(8, 1)(ops.mean(x, axis=(1, 2), keepdims=True)))
    x = ops.concatenate([x * gate, ops.maximum(x, 0.1)], axis=-1)
    x = layers.Conv2D(6, 1)(x)
    return keras.Model(inputs, layers.Dense(4)(ops.reshape(x, (-1, 64, 6))))


def spread_over_channels():
    x = inputs = image()
    x = conv_bn(x, 8)
    attention = layers.Conv2D(1, 1, activation="sigmoid")(conv_bn(x, 4))
    return keras.Model(inputs, layers.Conv2D(4, 1)(layers.Multiply()([x, attention])))


def one_dimensional():
    x = inputs = keras.Input((16, 3))
    x = layers.Conv1D(8, 3, padding="causal", activation="relu")(x)
    return keras.Model(inputs, layers.Dense(4)(layers.Conv1DTranspose(6, 3)(x)))


def adapted_normalization():
    x = inputs = image()
    norm = layers.Normalization()
    norm.adapt(np.random.default_rng(0).normal(100, 40, (8, 8, 8, 3)))
    return keras.Model(inputs, layers.Conv2D(4, 1)(conv_bn(norm(x), 6)))


GRAPHS = [
    adapted_normalization,
    residual_with_projection,
    pre_activation,
    dense_block,
    aspp,
    transposed,
    grouped,
    depthwise_and_separable,
    squeeze_and_excite,
    flatten_to_dense,
    sigmoid_into_pointwise,
    rescaled_into_batch_norm,
    prelu_and_group_norm,
    shared_layer,
    nested,
    multi_input_and_output,
    raw_operations,
    spread_over_channels,
    one_dimensional,
]


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.__name__)
@pytest.mark.parametrize("fraction", [0.5, 1.0])
def test_masked_equals_rebuilt(graph, fraction):
    law = check_law(graph(), fraction=fraction)
    assert law.holds, law


@pytest.mark.parametrize(
    ("backbone", "upsampling"),
    [
        ("resnet18", "transposed"),
        pytest.param("resnet18", "bilinear", marks=pytest.mark.slow),
        pytest.param("resnet50", "bilinear", marks=pytest.mark.slow),
        pytest.param("resnet50", "transposed", marks=pytest.mark.slow),
    ],
)
def test_deeplab_is_exact(backbone, upsampling):
    model = deeplab_v3_plus(backbone, 5, (64, 64, 3), upsampling=upsampling, image_pooling=True)
    law = check_law(model)
    assert law.holds, law
    assert law.removed_params > 0.7
    assert "classifier" in pruning.find_groups(model).frozen


@pytest.mark.parametrize(
    ("aspp", "decoder"), [("separable", "separable"), pytest.param("full", "none", marks=pytest.mark.slow)]
)
def test_deeplab_with_light_heads_is_exact(aspp, decoder):
    heads = Heads(aspp, decoder, aspp_width=96, low_level_width=24, decoder_width=64)
    model = deeplab_v3_plus("resnet18", 5, (64, 64, 3), heads=heads)
    law = check_law(model)
    assert law.holds, law
    assert law.removed_params > 0.7


def test_a_constant_is_never_sent_into_zero_padding():
    x = inputs = image()
    x = layers.Conv2D(6, 3, name="sends", activation="sigmoid")(x)
    x = layers.Conv2D(5, 3, padding="same", name="pads")(x)
    model = keras.Model(inputs, layers.Conv2D(4, 1)(x))
    reason = pruning.find_groups(model).frozen["sends"]
    assert reason == "`pads` would keep receiving a constant that no bias can absorb"


def test_a_constant_is_never_sent_through_explicit_padding():
    x = inputs = image()
    x = layers.Conv2D(6, 3, name="sends", activation="sigmoid")(x)
    x = layers.Conv2D(5, 3, name="sums")(layers.ZeroPadding2D(1)(x))
    assert "sums" in pruning.find_groups(keras.Model(inputs, layers.Conv2D(4, 1)(x))).frozen["sends"]


def test_a_folded_constant_changes_the_bias_only():
    model = sigmoid_into_pointwise()
    randomize(model)
    plan = pruning.random_plan(pruning.find_groups(model), seed=3)
    first, second = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)][:2]
    slim = pruning.rebuild(model, plan)
    gone = np.setdiff1d(np.arange(6), plan.keep[first.name])
    kept = list(plan.keep[second.name])
    expected = second.get_weights()[1] + 0.5 * second.get_weights()[0][0, 0, gone].sum(axis=0)
    np.testing.assert_allclose(slim.get_layer(second.name).get_weights()[1], expected[kept], rtol=1e-5)
    assert len(gone) == 3
