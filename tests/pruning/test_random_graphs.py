"""The law on graphs that nobody thought of."""

import os

import keras
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops

from tests.pruning.law import check_law

SIZE = 8
WIDTHS = st.sampled_from([3, 4, 6])


def conv(draw, pool):
    x = draw(st.sampled_from(pool))
    activation = draw(st.sampled_from(["relu", "sigmoid", None]))
    padding = draw(st.sampled_from(["same", "valid"]))
    kernel = draw(st.sampled_from([1, 3])) if padding == "same" else 1
    use_bias = draw(st.booleans())
    return layers.Conv2D(draw(WIDTHS), kernel, padding=padding, activation=activation, use_bias=use_bias)(x)


def norm(draw, pool):
    x = layers.BatchNormalization(scale=draw(st.booleans()))(draw(st.sampled_from(pool)))
    return layers.Activation(draw(st.sampled_from(["relu", "elu", "softplus"])))(x)


def add(draw, pool):
    x = draw(st.sampled_from(pool))
    others = [y for y in pool if y.shape == x.shape]
    merge = draw(st.sampled_from([layers.Add, layers.Multiply, layers.Maximum, layers.Subtract]))
    return merge()([x, draw(st.sampled_from(others))])


def concat(draw, pool):
    return layers.Concatenate()([draw(st.sampled_from(pool)), draw(st.sampled_from(pool))])


def depthwise(draw, pool):
    x = draw(st.sampled_from(pool))
    return layers.DepthwiseConv2D(3, padding="same", depth_multiplier=draw(st.sampled_from([1, 2])))(x)


def down_and_up(draw, pool):
    x = layers.Conv2D(draw(WIDTHS), 3, strides=2, padding="same")(draw(st.sampled_from(pool)))
    return layers.Conv2DTranspose(draw(WIDTHS), 4, strides=2, padding="same")(layers.ReLU()(x))


def squeeze_and_excite(draw, pool):
    x = draw(st.sampled_from(pool))
    gate = layers.Dense(draw(WIDTHS), activation="relu")(layers.GlobalAveragePooling2D()(x))
    gate = layers.Dense(x.shape[-1], activation="hard_sigmoid")(gate)
    return layers.Multiply()([x, layers.Reshape((1, 1, x.shape[-1]))(gate)])


def grouped(draw, pool):
    x = draw(st.sampled_from(pool))
    blocks = draw(st.sampled_from([n for n in (1, 2, 3) if x.shape[-1] % n == 0]))
    return layers.Conv2D(blocks * draw(st.sampled_from([1, 2])), 3, groups=blocks, padding="same")(x)


def separable(draw, pool):
    layer = layers.SeparableConv2D(draw(WIDTHS), 3, padding="same", depth_multiplier=draw(st.sampled_from([1, 2])))
    return layer(draw(st.sampled_from(pool)))


def shared(draw, pool):
    x = draw(st.sampled_from(pool))
    others = [y for y in pool if y.shape == x.shape]
    layer = layers.Conv2D(draw(WIDTHS), 1)
    return layers.Add()([layer(x), layer(layers.Activation("sigmoid")(draw(st.sampled_from(others))))])


def slope(draw, pool):
    axes = draw(st.sampled_from([(1, 2), (3,), None]))
    x = layers.PReLU(shared_axes=axes)(draw(st.sampled_from(pool)))
    return layers.GroupNormalization(-1, scale=draw(st.booleans()))(x)


def nested(draw, pool):
    x = draw(st.sampled_from(pool))
    inner = keras.Input(x.shape[1:])
    return keras.Model(inner, norm(draw, [conv(draw, [inner]), inner]))(x)


def arithmetic(draw, pool):
    x = draw(st.sampled_from(pool))
    y = draw(st.sampled_from([y for y in pool if y.shape == x.shape]))
    return draw(st.sampled_from([x + y, x * y, 1 - x, x * 2.0, ops.maximum(x, 0.1), ops.exp(ops.minimum(x, 1.0)) - y]))


def moved(draw, pool):
    x = layers.ZeroPadding2D(1)(draw(st.sampled_from(pool)))
    move = draw(st.sampled_from([layers.AveragePooling2D(3, 1), layers.MaxPooling2D(3, 1), layers.Cropping2D(1)]))
    return layers.Dropout(0.5)(move(x))


def relaid(draw, pool):
    x = draw(st.sampled_from(pool))
    return layers.Reshape((SIZE, SIZE, -1))(layers.Reshape((SIZE // 2, 2 * SIZE, x.shape[-1]))(x))


BLOCKS = [
    *(conv, norm, add, concat, depthwise, down_and_up, squeeze_and_excite),
    *(grouped, separable, shared, slope, nested, arithmetic, moved, relaid),
]


def graph(draw):
    inputs = keras.Input((SIZE, SIZE, 3))
    pool = [layers.Conv2D(6, 3, padding="same")(inputs)]
    for block in draw(st.lists(st.sampled_from(BLOCKS), min_size=2, max_size=6)):
        pool.append(block(draw, pool))
    joined = layers.Concatenate()(pool)
    head = layers.Flatten if draw(st.booleans()) else layers.GlobalMaxPooling2D
    outputs = [layers.Dense(4)(head()(joined))]
    if draw(st.booleans()):
        outputs.append(draw(st.sampled_from(pool)))
    return keras.Model(inputs, outputs)


EXAMPLES = int(os.environ.get("RSSEG_GRAPHS", "12"))
"""How many graphs are drawn; set RSSEG_GRAPHS to look further."""


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_masked_equals_rebuilt(data):
    law = check_law(graph(data.draw), seed=data.draw(st.integers(0, 99)))
    assert law.is_exact, law
