"""The law: a `tf_keras` twin computes what its Keras 3 model computes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.errors import ModelError
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.quantization.qat.bridge import to_tf_keras

SHAPE = (64, 48, 3)


def scattered(model: keras.Model, seed: int = 0) -> keras.Model:
    """`model` with its vectors moved a little, so that no batch norm is the identity and no bias is 0."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            weight * rng.uniform(0.8, 1.2) + (rng.uniform(-0.02, 0.02, weight.shape) if weight.ndim == 1 else 0)
            for weight in model.get_weights()
        ]
    )
    return model


def pixels(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, *shape)).astype(np.float32)


def relative_difference(expected: np.ndarray, got: np.ndarray) -> float:
    return float(np.abs(expected - got).max() / np.abs(expected).max())


def mixed() -> keras.Model:
    """A small network of most types of layer, one of them shared."""
    image = layers.Input(SHAPE)
    x = layers.Rescaling(1 / 127.5, -1, name="scaled")(image)
    x = layers.ZeroPadding2D(((0, 1), (1, 0)))(x)
    x = layers.Conv2D(8, 3, strides=2, activation="silu", name="strided")(x)
    x = layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", depth_multiplier=2)(x)
    x = layers.BatchNormalization(momentum=0.8)(x)
    x = layers.LeakyReLU(negative_slope=0.2)(x)
    shared = layers.SeparableConv2D(16, 3, padding="same", name="shared")
    y = layers.Average()([shared(x), shared(layers.Dropout(0.5)(x))])
    y = layers.PReLU(shared_axes=[1, 2])(layers.Maximum()([x, y]))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Activation("sigmoid")(layers.Dense(16)(gate))
    y = layers.Multiply()([y, gate])
    y = layers.Concatenate()([layers.MaxPooling2D(2)(y), layers.AveragePooling2D(2, padding="same")(y)])
    y = layers.Cropping2D(((0, 1), (1, 0)))(layers.UpSampling2D(2)(y))
    y = layers.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu")(y)
    return keras.Model(image, layers.Softmax()(y), name="mixed")


def pruned() -> keras.Model:
    dense = deeplab_v3_plus("resnet18", 4, SHAPE)
    return pruning.rebuild(dense, pruning.random_plan(pruning.find_groups(dense), fraction=0.5, seed=0))


MODELS = {
    "resnet18": lambda: deeplab_v3_plus("resnet18", 4, SHAPE),
    "pruned": pruned,
    "transposed": lambda: deeplab_v3_plus("resnet18", 4, (72, 50, 3), upsampling="transposed"),
    "image pooling": lambda: deeplab_v3_plus("resnet18", 4, SHAPE, image_pooling=True, output_stride=8),
    "mixed": mixed,
    "sequential": lambda: keras.Sequential([layers.Input(SHAPE), layers.Conv2D(4, 3), layers.ReLU(max_value=6)]),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_twin_has_the_same_layers_and_computes_the_same(kind):
    model = scattered(MODELS[kind]())
    image = pixels(model.input_shape[1:])

    twin = to_tf_keras(model)

    expected = np.asarray(model(image, training=False))
    assert relative_difference(expected, twin(image, training=False).numpy()) <= 1e-5
    theirs = {layer.name for layer in twin.layers}
    assert {layer.name for layer in model.layers} <= theirs


def test_a_frozen_call_stays_frozen():
    image = layers.Input((4, 4, 3))
    model = keras.Model(image, layers.Dropout(0.9)(image, training=False))
    picture = pixels((4, 4, 3))

    assert np.array_equal(to_tf_keras(model)(picture, training=True).numpy(), picture)


def test_an_unknown_layer_is_named_with_its_type():
    image = layers.Input((8, 8, 3))
    model = keras.Model(image, layers.GroupNormalization(3, name="grouped")(image))

    with pytest.raises(ModelError, match="`grouped` is a GroupNormalization"):
        to_tf_keras(model)


def test_an_operation_that_is_no_layer_is_named():
    image = layers.Input((8, 8, 3))
    model = keras.Model(image, keras.ops.sort(image))

    with pytest.raises(ModelError, match="is a Sort"):
        to_tf_keras(model)


def test_an_unknown_activation_is_named():
    image = layers.Input((8, 8, 3))
    model = keras.Model(image, layers.Conv2D(2, 1, activation="hard_silu", name="odd")(image))

    with pytest.raises(ModelError, match=r"`odd` \(Conv2D\) has the activation 'hard_silu'"):
        to_tf_keras(model)


def test_a_subclassed_model_is_an_error():
    class Opaque(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ModelError, match="not a functional model"):
        to_tf_keras(Opaque(name="opaque"))
