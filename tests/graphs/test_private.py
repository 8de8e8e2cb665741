"""Keras still has every private name that `rsseg_tf.graphs.private` uses: a move would silently freeze layers.

The versions 3.10, 3.12, 3.13, 3.14 and 3.15 of Keras have them all (looked up in each on 2026-11-28).
"""

from __future__ import annotations

import importlib

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.graphs import foreign, private
from rsseg_tf.pruning import RULES


@pytest.fixture
def nested():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="hidden"), layers.Dropout(0.5)], name="inner")
    x = keras.Input((4,), name="x")
    return keras.Model(x, layers.Dense(2, name="last")(inner(x)))


@pytest.mark.parametrize("name", private.CLASSES)
def test_keras_has_the_class(name):
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert issubclass(found, keras.Operation)
    assert f"{found.__module__}.{found.__qualname__}" == name


@pytest.mark.parametrize("name", foreign.CLASSES)
def test_another_library_has_the_class_where_it_is_installed(name):
    module, _, attribute = name.rpartition(".")
    pytest.importorskip(module.partition(".")[0], reason="no extra brings this library")
    assert issubclass(getattr(importlib.import_module(module), attribute), keras.Layer)


def test_every_name_in_the_rule_table_is_one_of_them():
    named = {key for key in RULES if isinstance(key, str)}
    assert named <= {*private.CLASSES, *foreign.CLASSES}
    assert len(named) > 40


def test_an_operation_of_keras_is_found_by_its_name():
    x = keras.Input((4,))
    made = [keras.ops.relu(x), keras.ops.add(x, 1.0), keras.ops.mean(x, axis=0), keras.ops.cast(x, "float16")]
    for tensor in made:
        kind = type(private.maker(tensor))
        assert f"{kind.__module__}.{kind.__qualname__}" in private.CLASSES


def test_nodes_come_after_those_that_they_depend_on(nested):
    names = [node.operation.name for node in private.nodes(nested)]
    assert names == ["x", "inner", "last"]
    assert [node.is_input for node in private.nodes(nested)] == [True, False, False]


def test_a_sequential_model_has_a_functional_one_behind_it_once_it_is_built(nested):
    assert isinstance(private.functional_of(nested.get_layer("inner")), keras.Function)
    assert private.functional_of(keras.Sequential([layers.Dense(1)])) is None


def test_running_a_graph_asks_for_every_call(nested):
    asked = []

    def call(operation, *args, **kwargs):
        asked.append(operation.name)
        return operation(*args, **kwargs)

    out = private.run_graph(nested, np.ones((1, 4), np.float32), call)
    assert asked == ["inner", "last"]
    assert np.allclose(out, nested(np.ones((1, 4), np.float32)))


def test_training_is_handed_on_where_a_layer_takes_it():
    x = np.ones((1, 100), np.float32)
    dropout = layers.Dropout(0.5, seed=1)
    assert np.any(np.asarray(private.with_training(dropout, True)(x)) == 0)
    assert np.all(np.asarray(private.with_training(dropout, False)(x)) == 1)


def test_the_kinds_of_models_are_told_apart(nested):
    class Own(keras.Model):
        def call(self, inputs):
            return 2 * super().call(inputs)

    own = Own(nested.input, nested.output)
    assert private.is_plain(nested)
    assert not private.is_plain(own)
    assert private.has_own_call(own)
    assert not private.has_own_call(nested)


def test_layers_inside_a_layer_are_seen():
    class Pair(layers.Layer):
        def __init__(self):
            super().__init__()
            self.first = layers.Dense(1)

    assert [type(layer) for layer in private.sublayers(Pair())] == [layers.Dense]
    assert private.sublayers(layers.Dense(1)) == []


def test_a_lambda_is_made_again_from_its_arguments():
    doubling = layers.Lambda(lambda x, by: by * x, output_shape=(4,), arguments={"by": 3})
    again = layers.Lambda(**private.lambda_arguments(doubling))
    assert np.all(np.asarray(again(np.ones((1, 4), np.float32))) == 3)
