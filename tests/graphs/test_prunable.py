"""Networks in the form that pruning takes: with the same outputs, and channels that can go."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.graphs import channelwise, prunable
from rsseg_tf.graphs.foreign import AFFINE
from tests.quantization.networks import randomize


class Affine(layers.Layer):
    """What KerasHub's HGNetV2 has behind its activations, under its name."""

    def build(self, _shape):
        self.scale, self.bias = (self.add_weight(name=name, shape=()) for name in ("scale", "bias"))

    def call(self, x):
        return self.scale * x + self.bias


Affine.__module__, _, Affine.__qualname__ = AFFINE.rpartition(".")


def network(*, nested: bool = False) -> keras.Model:
    image = keras.Input((16, 24, 3), name="image")
    x = layers.Conv2D(12, 3, padding="same", name="stem")(image)
    x = Affine(name="affine")(layers.ReLU()(x))
    x = layers.Conv2D(16, 3, strides=2, name="body")(layers.ZeroPadding2D(1)(x))
    x = Affine(name="last")(layers.ReLU()(x))
    if nested:
        x = keras.Model(image, x, name="backbone")(image)
    model = keras.Model(image, layers.Conv2D(4, 1, name="classifier")(x))
    randomize(model)
    inner = model.get_layer("backbone") if nested else model
    for number, name in enumerate(("affine", "last")):
        inner.get_layer(name).set_weights([np.float32(0.8 + number), np.float32(0.5 - number)])
    return model


def pixels() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, 16, 24, 3)).astype(np.float32)


def total(_y, scores):
    return keras.ops.mean(scores)


@pytest.mark.parametrize("nested", [False, True])
def test_every_channel_has_its_own_scale_and_offset_and_outputs_stay(nested):
    model = network(nested=nested)
    found = channelwise(model)
    np.testing.assert_allclose(found(pixels()), model(pixels()), rtol=1e-4, atol=1e-3)
    assert found.count_params() == model.count_params() - 4 + 2 * (12 + 16)
    scale, offset = found.get_layer("affine").get_weights()
    np.testing.assert_array_equal(scale.ravel(), np.full(12, 0.8, np.float32))
    np.testing.assert_array_equal(offset, np.full(12, 0.5, np.float32))


def test_channels_before_one_offset_and_padding_can_go_then_and_the_law_holds():
    model = network()
    frozen = pruning.find_groups(model)
    assert "stem" in frozen.frozen
    groups = pruning.find_groups(prunable(model))
    assert {"stem", "body"} & set(groups.frozen) == set()
    found = pruning.verify(prunable(model), pruning.largest_cut(groups, round_to=4, min_channels=4), pixels())
    assert found.holds, found


def test_the_loop_prunes_it_and_the_slim_model_needs_no_code_of_others(tmp_path):
    model, target = network(), pruning.Target(params=0.6)
    loop = pruning.Loop(criterion="l2", loops=3, round_to=4, min_channels=4)
    slim, _ = pruning.prune_loop(model, batches=lambda _: [(pixels(), None)], loss=total, target=target, loop=loop)
    assert slim.count_params() <= 0.6 * prunable(model).count_params()
    slim.save(tmp_path / "slim.keras")
    again = keras.models.load_model(tmp_path / "slim.keras")
    np.testing.assert_array_equal(again(pixels()), slim(pixels()))
    assert not any(isinstance(layer, Affine) for layer in again.layers)


def test_a_network_without_such_layers_comes_back_itself():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Conv2D(2, 1)(image))
    assert channelwise(model) is model
    flat = keras.Input((8,))
    vector = keras.Model(flat, Affine(name="affine")(flat))
    assert channelwise(vector) is vector
    open_ = keras.Sequential([layers.Dense(2)])
    assert channelwise(open_) is open_
