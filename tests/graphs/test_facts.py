"""The table of facts about layers against what Keras, tf_keras and the layers themselves do."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers

from rsseg_tf.graphs import FACTS, activation_name, facts, is_elementwise, keeps_values, private
from rsseg_tf.graphs.facts import ACTIVATIONS
from rsseg_tf.pruning.scoring.taps import TapFinder
from rsseg_tf.pruning.wiring import trace
from rsseg_tf.quantization.convert import convert
from rsseg_tf.tflite.flatbuffer import parse_model

OPTIONS = {
    **{name: {"rate": 0.5} for name in ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")},
    **{name: {"rate": 0.5} for name in ("GaussianDropout", "AlphaDropout")},
    **{name: {"pool_size": 2} for name in ("AveragePooling1D", "AveragePooling2D", "AveragePooling3D")},
    **{name: {"filters": 2, "kernel_size": 3} for name in ("Conv2D", "Conv2DTranspose", "SeparableConv2D")},
    "DepthwiseConv2D": {"kernel_size": 3},
    "Dense": {"units": 2},
    "Activation": {"activation": "relu"},
    "GaussianNoise": {"stddev": 1.0},
    "CenterCrop": {"height": 4, "width": 4},
    "Reshape": {"target_shape": (-1, 4)},
    "Permute": {"dims": (2, 1, 3)},
    "RepeatVector": {"n": 3},
    "Rescaling": {"scale": 2.0},
}
PUBLIC = [kind for kind in FACTS if isinstance(kind, type)]


def each(wanted):
    """One case a type of layer of which `wanted` is true."""
    kinds = [kind for kind in PUBLIC if wanted(FACTS[kind])]
    return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.__name__)


def made(kind):
    """A layer of a type, and pixels that it takes: (1, …, 4) at 6 positions an axis."""
    layer = kind(**OPTIONS.get(kind.__name__, {}))
    rank = 1 if kind is layers.RepeatVector else 1 + int(next((d for d in "123" if f"{d}D" in kind.__name__), "2"))
    values = np.random.default_rng(0).normal(size=(1, *(6,) * (rank - 1), 4)).astype(np.float32)
    return layer, values


@each(lambda row: row.keeps_channels)
def test_a_layer_that_keeps_channels_leaves_a_constant_channel_constant_and_others_alone(kind):
    layer, values = made(kind)
    values[..., 1] = 2.5
    out = np.asarray(layer(values))
    assert out.shape[-1] == 4
    assert np.allclose(out[..., 1], 2.5)
    others = values.copy()
    others[..., 2:] += 1
    assert np.array_equal(np.asarray(layer(others))[..., :2], out[..., :2])


@each(lambda row: row.keeps_values)
def test_a_layer_that_keeps_values_makes_no_new_ones(kind):
    layer, values = made(kind)
    assert set(np.asarray(layer(values)).ravel()) <= {*values.ravel(), 0.0}


@each(lambda row: row.is_elementwise)
def test_an_elementwise_layer_acts_on_each_element_alone(kind):
    layer, values = made(kind)
    whole = np.asarray(layer(values))
    flipped = np.asarray(layer(values[:, ::-1, :, ::-1].copy()))
    assert np.array_equal(flipped, whole[:, ::-1, :, ::-1])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_elementwise_activation_acts_on_each_element_alone(name):
    function = keras.activations.get(name)
    values = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    assert is_elementwise(function)
    assert np.allclose(np.asarray(function(values[::-1, ::-1].copy())), np.asarray(function(values))[::-1, ::-1])


def test_what_mixes_channels_is_not_elementwise():
    assert not is_elementwise(keras.activations.softmax)
    assert not is_elementwise(layers.Softmax())
    assert not is_elementwise(layers.Activation("softmax"))
    assert is_elementwise(layers.LeakyReLU())
    assert is_elementwise(layers.Activation(layers.Activation("tanh")))
    assert is_elementwise(keras.ops.silu)
    assert is_elementwise(None)


@each(lambda row: row.settings is not None)
def test_both_kerases_have_the_settings(kind):
    twin = getattr(tf_keras.layers, kind.__name__)
    taken = {name for parent in twin.__mro__[:-1] for name in inspect.signature(parent.__init__).parameters}
    wanted = {
        "alpha" if (kind, name) == (layers.LeakyReLU, "negative_slope") else name for name in FACTS[kind].settings
    }
    assert set(FACTS[kind].settings) <= set(kind(**OPTIONS.get(kind.__name__, {})).get_config())
    assert wanted <= taken


@each(lambda row: row.kernel)
def test_the_axes_of_weights_are_those_that_the_layer_builds(kind):
    rank = int(next((d for d in "123" if f"{d}D" in kind.__name__), "0"))
    options = {"units": 5} if rank == 0 else {"kernel_size": 2}
    options |= {"filters": 5} if rank and "Depthwise" not in kind.__name__ else {}
    options |= {"depth_multiplier": 2} if "Depthwise" in kind.__name__ or "Separable" in kind.__name__ else {}
    layer = kind(**options)
    layer.build((None, *(6,) * rank, 3))
    widths = {"in": 6 if "Separable" in kind.__name__ else 3, "through": 3, None: 2}
    widths["out"] = 6 if "Depthwise" in kind.__name__ else 5
    for name, labels in FACTS[kind].weights.items():
        shape = getattr(layer, name).shape
        assert tuple(shape[-len(labels) :]) == tuple(widths[label] for label in labels)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (layers.ReLU(), "relu"),
        (layers.ReLU(max_value=6), "relu6"),
        (layers.ReLU(max_value=4), "bent_relu"),
        (layers.ReLU(threshold=1), "bent_relu"),
        (layers.ReLU(negative_slope=0.1), "leaky_relu"),
        (layers.LeakyReLU(), "leaky_relu"),
        (layers.Activation("relu6"), "relu6"),
        (layers.Activation(layers.ReLU(max_value=6)), "relu6"),
        (layers.Activation("tanh"), "tanh"),
        (layers.Dense(2, activation="relu"), ""),
    ],
)
def test_activations_are_named_by_what_they_compute(layer, name):
    assert activation_name(layer) == name


def test_a_subclass_has_the_facts_of_what_it_is_made_of():
    class Mine(layers.MaxPooling2D):
        """The same."""

    assert facts(Mine()) is FACTS[layers.MaxPooling2D]
    assert facts(layers.LSTM(2)).settings is None


def test_only_an_upsampling_to_the_nearest_pixel_keeps_values():
    assert keeps_values(layers.UpSampling2D(2))
    assert not keeps_values(layers.UpSampling2D(2, interpolation="bilinear"))


def fused(kind):
    """Whether a layer of a type and the ReLU behind it become one operator of a float file."""
    pixels = keras.Input((6, 6, 4), batch_size=1)
    merging = kind.__name__ in ("Add", "Subtract", "Multiply", "Concatenate")
    layer = kind(**OPTIONS.get(kind.__name__, {}))
    # Between two convolutions, so that nothing can be moved into what comes before.
    x = layers.Conv2D(4, 1, activation="tanh", name="before")(pixels)
    y = layers.Conv2D(4, 1, activation="tanh", name="beside")(pixels)
    x = layers.ReLU()(layer([x, y]) if merging else layer(x))
    model = keras.Model(pixels, layers.Conv2D(2, 1, activation="tanh")(x))
    operators = {op.name for op in parse_model(convert(model, number_format="float32"), name="model").ops}
    return "RELU" not in operators


@each(lambda row: row.fuses_relu)
def test_the_operator_of_a_layer_that_fuses_a_relu_computes_it(kind):
    assert fused(kind)


@pytest.mark.parametrize("kind", [layers.UpSampling2D, layers.ZeroPadding2D, layers.Concatenate])
def test_the_operator_of_a_layer_that_does_not_leaves_it(kind):
    assert not FACTS[kind].fuses_relu
    assert not fused(kind)


@each(lambda row: row.is_activation)
def test_scores_by_activation_are_taken_behind_what_is_only_an_activation(kind):
    x = image = keras.Input((6, 6, 3))
    x = kind(**{**OPTIONS.get(kind.__name__, {}), "name": "behind"})(layers.Conv2D(4, 1, name="before")(x))
    model = keras.Model(image, layers.Conv2D(2, 1)(x))
    (before, _) = TapFinder(model, trace(model)).activations()
    assert [private.maker(tensor).name for tensor in before.tensors] == ["behind"]
