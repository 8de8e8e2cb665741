"""The law on graphs that nobody thought of."""

import keras
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

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


BLOCKS = [conv, norm, add, concat, depthwise, down_and_up, squeeze_and_excite]


def graph(draw):
    inputs = keras.Input((SIZE, SIZE, 3))
    pool = [layers.Conv2D(6, 3, padding="same")(inputs)]
    for block in draw(st.lists(st.sampled_from(BLOCKS), min_size=2, max_size=6)):
        pool.append(block(draw, pool))
    joined = layers.Concatenate()(pool)
    head = layers.Flatten if draw(st.booleans()) else layers.GlobalMaxPooling2D
    return keras.Model(inputs, layers.Dense(4)(head()(joined)))


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_masked_equals_rebuilt(data):
    law = check_law(graph(data.draw), seed=data.draw(st.integers(0, 99)))
    assert law.is_exact, law
