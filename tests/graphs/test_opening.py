"""Layers that are made of layers become the graph of what they call; where that would change something, they stay."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.graphs import calls, copy_graph, flatten, why_whole


class Block(layers.Layer):
    """Two convolutions, of which Keras named one, with operations between."""

    def __init__(self, width=4, **options):
        super().__init__(**options)
        self.first = layers.Conv2D(width, 3, padding="same", name="first")
        self.second = layers.Dense(width)

    def call(self, x):
        return keras.ops.relu(self.first(x)) + self.second(x)


class Pair(layers.Layer):
    """A block twice, one shared, within a block."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = Block()
        self.dropout = layers.Dropout(0.5)

    def call(self, x, training=None):
        return self.dropout(self.inner(self.inner(x)), training=training)


class ByShape(layers.Layer):
    """Reshapes by the sizes that it finds, that of the batch too."""

    def call(self, x):
        batch, height, width, channels = keras.ops.shape(x)
        x = keras.ops.reshape(x, (batch, height * width, channels))
        return keras.ops.reshape(x, (batch, -1, width, channels))


class Residual(layers.Layer):
    def call(self, x):
        return x


def model_of(*made, size=(6, 6, 4)):
    x = inputs = keras.Input(size, name="image")
    for layer in made:
        x = layer(x)
    return keras.Model(inputs, x)


def names(model):
    return [call.operation.name for call in calls(model)]


def check_equal(model, flat, size=(6, 6, 4), batch=3):
    x = np.random.default_rng(0).normal(size=(batch, *size)).astype(np.float32)
    np.testing.assert_allclose(flat(x), model(x), atol=1e-6)


def test_a_block_becomes_its_layers_with_the_same_variables():
    block = Block(name="block")
    model = model_of(block)
    flat = flatten(model)
    assert names(flat) == ["first", "block_relu", "block_dense", "block_add"]
    assert flat.get_layer("first") is block.first
    assert flat.get_layer("block_dense").kernel is block.second.kernel
    check_equal(model, flat)


def test_names_do_not_depend_on_what_was_built_before():
    first = names(flatten(model_of(Pair(name="pair"), Pair(name="other"))))
    model_of(Block(), Block())
    assert names(flatten(model_of(Pair(name="pair"), Pair(name="other")))) == first
    assert len(set(first)) == len(first) - 8  # each inner block is called twice


def test_flattening_again_gives_the_same_layers():
    model = model_of(Block(name="a"), Pair(name="b"), ByShape(name="c"))
    first, again = flatten(model), flatten(model)
    assert names(first) == names(again)
    assert flatten(first) is first


def test_blocks_within_blocks_and_models_are_opened_and_dropout_still_drops():
    inner = model_of(Pair(name="pair"))
    model = model_of(inner)
    flat = flatten(model)
    assert not {"pair", inner.name} & set(names(flat))
    check_equal(model, flat)
    x = np.ones((2, 6, 6, 4), np.float32)
    assert (np.asarray(flat(x, training=True)) == 0).mean() > 0.2


def test_a_layer_that_only_returns_its_input_goes():
    model = model_of(Residual(), layers.ReLU(name="relu"))
    assert names(flatten(model)) == ["relu"]


@pytest.mark.parametrize("batch", [1, 5])
def test_the_size_of_the_batch_stays_open(batch):
    model = model_of(ByShape(name="shapes"))
    flat = flatten(model)
    assert flat.output_shape == (None, 6, 6, 4)
    check_equal(model, flat, batch=batch)


def test_what_was_opened_can_be_saved_and_loaded(tmp_path):
    flat = flatten(model_of(Pair(name="pair"), ByShape(name="shapes"), Residual()))
    flat.save(tmp_path / "flat.keras")
    check_equal(flat, keras.saving.load_model(tmp_path / "flat.keras"))


def test_what_keras_has_no_config_of_is_copied_all_the_same(tmp_path):
    policy = keras.DTypePolicy("float32")
    model = model_of(layers.Identity(dtype=policy, name="identity"), layers.ELU(0.3, dtype=policy, name="elu"))
    copy_graph(model).save(tmp_path / "copy.keras")
    check_equal(model, keras.saving.load_model(tmp_path / "copy.keras"))


def test_half_precision_is_computed_in_half_precision():
    model = model_of(Block(name="block", dtype="float16"))
    flat = flatten(model)
    assert flat.outputs[0].dtype == model.outputs[0].dtype
    check_equal(model, flat)


def test_what_the_caller_wants_whole_stays_whole():
    model = model_of(Block(name="block"), Pair(name="pair"))
    assert "block" in names(flatten(model, whole=lambda layer: layer.name == "block"))


class OwnVariable(Block):
    def build(self, shape):
        self.gain = self.add_weight(name="gain", shape=(shape[-1],))

    def call(self, x):
        return super().call(x) * self.gain


class OtherInTraining(Block):
    def call(self, x, training=None):
        return super().call(x) * 2 if training else super().call(x)


class ScaledInTraining(Block):
    def call(self, x, training=None):
        return super().call(x) * (2.0 if training else 1.0)


class Penalized(Block):
    def __init__(self, **options):
        super().__init__(activity_regularizer="l2", **options)


class TiedWeights(Block):
    def call(self, x):
        return keras.ops.matmul(super().call(x), self.second.kernel)


class ValuesOfWeights(Block):
    def call(self, x):
        self.second(x)
        return self.first(x) * keras.ops.sum(self.second.kernel, axis=0)


class BatchByNumber(layers.Layer):
    def call(self, x):
        most = keras.ops.max(x, axis=0, keepdims=True)
        return x + keras.ops.broadcast_to(most, (keras.ops.shape(x)[0], 6, 6, 4))


WHOLE = {
    OwnVariable: "holds `gain`, a variable of its own",
    OtherInTraining: "computes otherwise in training",
    ScaledInTraining: "computes otherwise in training",
    Penalized: "adds to the loss what it returns",
    TiedWeights: "computes with the variables of its layers",
    ValuesOfWeights: "computes with the values of variables",
    BatchByNumber: "uses the size of the batch in `BroadcastTo`",
}


@pytest.mark.parametrize(("kind", "why"), WHOLE.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_what_would_not_be_the_same_stays_whole_and_says_why(kind, why):
    layer = kind(name="odd")
    model = model_of(layer, layers.ReLU(name="relu"))
    assert names(flatten(model)) == ["odd", "relu"]
    assert why_whole(layer) == why


@pytest.mark.parametrize("make", [lambda: layers.LSTM(3), lambda: layers.TimeDistributed(layers.Dense(3))])
def test_layers_of_keras_stay_whole_and_nothing_is_said(make):
    layer = make()
    model = model_of(layer, size=(5, 4))
    assert flatten(model) is model
    assert why_whole(layer) == ""


def test_a_lambda_of_what_is_random_stays_whole():
    drawn = layers.Lambda(lambda x: x + keras.random.normal((4,)), name="drawn")
    model = model_of(drawn)
    assert names(flatten(model)) == ["drawn"]
    assert why_whole(drawn)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_attention_is_opened_and_names_its_layers_after_itself(dropout):
    inputs = keras.Input((5, 4), name="tokens")
    first, second = (layers.MultiHeadAttention(2, 3, dropout=dropout, name=name) for name in ("first", "second"))
    model = keras.Model(inputs, second(first(inputs, inputs), inputs))
    flat = flatten(model)
    assert {"first_query", "second_query", "second_attention_output"} <= set(names(flat))
    check_equal(model, flat, size=(5, 4))
