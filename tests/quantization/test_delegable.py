"""Networks that XNNPACK's int8 cannot take as they are: the same outputs, one partition."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.graphs import private
from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.convert import convert
from rsseg_tf.quantization.delegable import delegable
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.networks import randomize, small_network


def dense_block(x):
    for number in range(6):
        yield layers.Conv2D(2, 1, name=f"branch_{number}")(x)


NETWORKS = {
    "average pool": lambda x: layers.AveragePooling2D(2)(x),
    "average pool of odd windows": lambda x: layers.AveragePooling2D((3, 2), strides=1)(x),
    "average pool over the border": lambda x: layers.AveragePooling2D(3, strides=1, padding="same")(x),
    "average pool with strides over the border": lambda x: layers.AveragePooling2D(3, strides=2, padding="same")(x),
    "pool of single pixels": lambda x: layers.MaxPooling2D(1, strides=2)(x),
    "ReLU of a tensor that others read": lambda x: layers.Add()([layers.ReLU()(x), layers.Conv2D(4, 1)(x)]),
    "ReLU6 of a padded tensor": lambda x: layers.ReLU(6)(layers.ZeroPadding2D(1)(x)),
    "activation of joined tensors": lambda x: layers.Activation("relu")(layers.Concatenate()([x, layers.ReLU()(x)])),
    "seven tensors joined": lambda x: layers.Concatenate()([x, *dense_block(x)]),
    "dilated depthwise convolutions of one tensor": lambda x: layers.Add()(
        [layers.DepthwiseConv2D(3, padding="same", dilation_rate=2, activation=name)(x) for name in ("relu", None)]
    ),
    "dilated separable convolutions of one tensor": lambda x: layers.Add()(
        [layers.SeparableConv2D(4, 3, padding="same", dilation_rate=2)(x) for _ in range(2)]
    ),
}


def bordered(x, pool, *widths):
    return pool(keras.ops.pad(x, [(0, 0), *widths, (0, 0)], constant_values=float("-inf")))


NETWORKS |= {
    "max pool with a border of minus infinity": lambda x: bordered(x, layers.MaxPooling2D(3, 2), (1, 1), (1, 1)),
    "max pool with a border of another width on each side": lambda x: bordered(
        x, layers.MaxPooling2D((4, 3), 1), (3, 0), (0, 2)
    ),
}

HARD_SWISHES = {
    "a layer": lambda x: layers.Activation("hard_swish")(x),
    "inside a convolution": lambda x: layers.Conv2D(4, 1, activation="hard_silu")(x),
    "an operation": lambda x: keras.ops.hard_silu(x),
    "by hand": lambda x: x * (layers.ReLU(6.0)(x + 3.0) * (1 / 6)),
    "by hand, of operations": lambda x: keras.ops.relu6(3.0 + x) * x / 6.0,
    "inside a dilated convolution": lambda x: layers.Add()(
        [
            layers.SeparableConv2D(4, 3, padding="same", dilation_rate=2, activation=name)(x)
            for name in ("hard_silu", None)
        ]
    ),
}
NETWORKS |= {f"hard swish, {name}": middle for name, middle in HARD_SWISHES.items()}


def network(middle):
    x = inputs = keras.Input((12, 10, 3), name="image")
    x = layers.Rescaling(1 / 64, offset=-1, name="normalise")(x)
    x = layers.Conv2D(4, 3, padding="same", name="stem")(x)
    return randomize(keras.Model(inputs, layers.Conv2D(3, 1, name="classifier")(middle(x))))


def images(count=4):
    return np.random.default_rng(5).integers(0, 256, (count, 12, 10, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_names_are_those_of_the_model(name):
    model = network(NETWORKS[name])
    changed = delegable(model)
    assert changed is not model
    assert [layer.name for layer in changed.layers] == [layer.name for layer in model.layers]
    np.testing.assert_allclose(changed(images()), model(images()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", HARD_SWISHES)
def test_a_hard_swish_is_exact_to_a_millionth(name):
    x = keras.Input((12, 10, 4))
    model = randomize(keras.Model(x, HARD_SWISHES[name](x)))
    values = np.random.default_rng(0).normal(scale=4, size=(2, 12, 10, 4)).astype(np.float32)
    exact = np.asarray(model(values))
    np.testing.assert_allclose(delegable(model)(values), exact, rtol=0, atol=1e-6 * np.abs(exact).max())


@pytest.mark.parametrize(
    ("padding", "reader"),
    [
        ({"constant_values": 0.0}, layers.MaxPooling2D(3, 2)),
        ({"mode": "reflect"}, layers.MaxPooling2D(3, 2)),
        ({"constant_values": float("-inf")}, layers.MaxPooling2D(3, 2, padding="same")),
        ({"constant_values": float("-inf")}, layers.UpSampling2D(2)),
    ],
)
def test_another_border_stays_as_it_is(padding, reader):
    x = keras.Input((12, 10, 4))
    model = keras.Model(x, reader(keras.ops.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], **padding)))
    assert delegable(model) is model


def test_an_addition_of_3_that_makes_no_hard_swish_stays_as_it_is():
    x = keras.Input((12, 10, 4))
    model = keras.Model(x, layers.Conv2D(4, 1, activation="gelu")(x + 3.0))
    assert delegable(model) is model


@pytest.mark.parametrize("name", NETWORKS)
def test_the_int8_file_runs_in_one_partition(name, tmp_path):
    model = network(NETWORKS[name])
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(model, calibration=list(images())))
    facts = proof.prove(path, layer_names=[layer.name for layer in model.layers])
    assert facts.faults("int8") == []


def test_a_network_that_fits_is_taken_as_it_is():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3)(x)))
    model = keras.Model(inputs, layers.Concatenate()([layers.MaxPooling2D(2)(x)] * 5))
    assert delegable(model) is model


def seen(*normalizing):
    x = inputs = keras.Input((12, 10, 3), name="image")
    for layer in normalizing:
        x = layer(x)
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="stem")(x)
    return randomize(keras.Model(inputs, layers.Conv2D(3, 1, name="classifier")(x)))


COLORS = {"mean": [123.0, 116.0, 103.0], "variance": [3400.0, 3300.0, 3200.0]}
NORMALIZATIONS = {
    "a rescaling": lambda: [layers.Rescaling(1 / 127.5, -1)],
    "a rescaling of each band": lambda: [layers.Rescaling([0.017, 0.018, 0.019], [-2.1, -2.0, -1.8])],
    "a normalization of each band": lambda: [layers.Normalization(**COLORS)],
    "the inverse of one": lambda: [layers.Rescaling(1 / 64), layers.Normalization(invert=True, **COLORS)],
    "EfficientNet's": lambda: [layers.Rescaling(1 / 255), layers.Normalization(**COLORS), layers.Rescaling(0.5)],
}


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_the_normalization_of_an_image_is_one_depthwise_convolution(name):
    model = seen(*NORMALIZATIONS[name]())
    np.testing.assert_allclose(delegable(model)(images()), model(images()), rtol=1e-4, atol=1e-4)
    file = parse_model(convert(model, calibration=list(images())), name=name)
    assert file.op_counts == {"CONV_2D": 2, "QUANTIZE": 1, "DEPTHWISE_CONV_2D": 1}


def test_an_adapted_normalization_keeps_what_it_learned():
    learned = layers.Normalization()
    model = seen(learned)
    learned.adapt(images())
    np.testing.assert_allclose(delegable(model)(images()), model(images()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Rescaling(np.linspace(0.1, 1, 10)[:, None]),
        layers.Normalization(axis=2, mean=[0.0] * 10, variance=[1.0] * 10),
    ],
)
def test_a_factor_for_each_column_stays_as_it_is(layer):
    model = seen(layer)
    assert delegable(model) is model


def test_a_rescaling_behind_other_layers_stays_as_it_is():
    model = seen(layers.MaxPooling2D(2), layers.Rescaling(0.5, 1))
    assert delegable(model) is model


def test_a_lambda_beside_what_changes_is_shared():
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layers.AveragePooling2D(2)(layers.Lambda(lambda x: x / 2)(x)))
    changed, values = delegable(model), np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    assert changed is not model
    assert np.allclose(changed(values), model(values), atol=1e-6)


def test_a_sequential_model_is_changed_as_its_graph():
    model = keras.Sequential([keras.Input((12, 10, 3)), layers.AveragePooling2D(2), layers.Conv2D(3, 1)])
    changed = delegable(model)
    assert [layer.name for layer in changed.layers][1:] == [layer.name for layer in model.layers]
    np.testing.assert_allclose(changed(images()), model(images()), rtol=1e-4, atol=1e-4)
    assert convert(model, calibration=list(images()))


def test_the_model_is_left_as_it_was():
    model = small_network()
    before = [len(private.nodes(model)), model.get_config(), [value.tolist() for value in model.get_weights()]]
    assert delegable(model) is not model
    assert [len(private.nodes(model)), model.get_config(), [value.tolist() for value in model.get_weights()]] == before


class Pooled(layers.Layer):
    """A block of somebody else, made of layers."""

    def __init__(self, **options):
        super().__init__(**options)
        self.pool = layers.AveragePooling2D(2, name="inner_pool")
        self.filters = layers.Conv2D(4, 1, name="inner_filters")

    def call(self, inputs):
        return self.filters(self.pool(inputs))


@pytest.mark.parametrize("inner", [Pooled(name="block"), keras.Sequential([keras.Input((12, 10, 4)), Pooled()])])
def test_what_is_inside_blocks_and_models_is_changed_too(inner, tmp_path):
    model = network(inner)
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(model, calibration=list(images())))
    assert proof.prove(path).partitions == 1
    np.testing.assert_allclose(delegable(model)(images()), model(images()), rtol=1e-4, atol=1e-4)
