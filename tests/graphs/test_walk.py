"""Walking, flattening and copying graphs leave what they compute as it was."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs import (
    all_layers,
    all_operations,
    calls,
    copy_graph,
    copy_of,
    flatten,
    makers,
    new_inputs,
    readers,
    run_through,
    times_read,
)


@pytest.fixture
def nested():
    """Two levels of models, a shared layer, a constant and a wrapper."""
    innermost = keras.Sequential([keras.Input((6, 4)), layers.Dense(4, name="deep")], name="innermost")
    inside = keras.Input((6, 4))
    inner = keras.Model(inside, innermost(layers.ReLU(name="relu")(inside)), name="inner")
    x = inputs = keras.Input((6, 4), name="x")
    shared = layers.Dense(4, name="shared")
    x = layers.Add(name="add")([shared(inner(x)), shared(x)]) * 2.0
    return keras.Model(inputs, layers.TimeDistributed(layers.Dense(2, name="wrapped"), name="each")(x))


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)


def test_flattening_changes_neither_layers_nor_outputs(nested, values):
    flat = flatten(nested)
    names = {operation.name for operation in flat.operations}
    assert {"deep", "relu", "shared", "add", "each"} <= names
    assert not {"inner", "innermost"} & names
    assert flat.get_layer("deep") is nested.get_layer("inner").get_layer("innermost").get_layer("deep")
    assert np.allclose(flat(values), nested(values), atol=1e-6)


def test_layers_of_one_name_hold_the_same_variables_under_a_name_of_their_own(values):
    def part(name):
        return keras.Sequential([keras.Input((6, 4)), keras.layers.Dense(4, name="same")], name=name)

    inputs = keras.Input((6, 4))
    first, second = part("first"), part("second")
    model = keras.Model(inputs, second(first(second(inputs))))
    flat = flatten(model)

    assert [call.operation.name for call in calls(flat)] == ["same", "first_same", "same"]
    assert flat.get_layer("first_same").kernel is first.get_layer("same").kernel
    assert flat.get_layer("same") is second.get_layer("same")
    assert np.allclose(flat(values), model(values), atol=1e-6)


def test_a_flat_model_comes_back_as_it_is(nested):
    flat = flatten(nested)
    assert flatten(flat) is flat


def test_a_call_comes_after_those_that_it_depends_on(nested):
    flat = flatten(nested)
    known = {id(tensor) for tensor in flat.inputs}
    for call in calls(flat):
        assert {id(tensor) for tensor in call.inputs} <= known
        known |= {id(tensor) for tensor in call.outputs}
    assert {id(tensor) for tensor in flat.outputs} <= known


def test_inputs_are_among_the_calls_only_if_asked_for(nested):
    flat = flatten(nested)
    with_inputs = calls(flat, with_inputs=True)
    assert [call.operation.name for call in with_inputs if call.is_input] == ["x"]
    assert len(calls(flat)) == len(with_inputs) - 1


def test_calls_run_one_by_one_compute_what_the_model_does(nested, values):
    flat = flatten(nested)
    known = {id(flat.inputs[0]): values}
    for call in calls(flat):
        known[id(call.outputs[0])] = call.run(known)
    assert np.allclose(known[id(flat.outputs[0])], nested(values), atol=1e-6)


def test_a_nested_model_is_refused_with_what_to_do(nested):
    with pytest.raises(ModelError, match="the model `inner` is nested") as caught:
        calls(nested)
    assert "flatten" in caught.value.hint


def test_readers_are_counted_call_by_call_and_outputs_once_more(nested):
    flat = flatten(nested)
    every = calls(flat)
    times, behind = times_read(flat, every), readers(every)
    assert times[id(flat.inputs[0])] == len(behind[id(flat.inputs[0])]) == 2
    assert times[id(flat.outputs[0])] == 1
    assert id(flat.outputs[0]) not in behind
    assert sum(times.values()) == sum(len(call.inputs) for call in every) + 1


def test_a_tensor_that_one_call_reads_twice_counts_twice():
    x = keras.Input((4,))
    model = keras.Model(x, layers.Add()([x, x]))
    assert times_read(model, calls(model))[id(x)] == 2


def test_makers_are_the_layers_that_return_a_tensor(nested):
    flat = flatten(nested)
    assert makers(calls(flat))[id(flat.outputs[0])] is flat.get_layer("each")


def test_all_operations_are_those_of_the_flat_model_but_its_inputs(nested):
    flat = [operation for operation in flatten(nested).operations if not isinstance(operation, layers.InputLayer)]
    assert sorted(map(id, all_operations(nested))) == sorted(map(id, flat))


def test_all_layers_are_found_in_models_and_wrappers(nested):
    names = {layer.name for layer in all_layers(nested)}
    assert {"deep", "relu", "shared", "each", "wrapped", "inner", "innermost"} <= names


def test_running_through_asks_for_each_layer_inside_and_returns_the_output(nested, values):
    asked = []

    def call(operation, *args, **kwargs):
        asked.append(operation.name)
        return operation(*args, **kwargs)

    assert np.allclose(run_through(nested, values, call), nested(values), atol=1e-6)
    assert asked.count("shared") == 2
    assert {"deep", "relu", "each"} <= set(asked)
    assert not {"inner", "innermost"} & set(asked)


def test_a_copy_has_new_layers_of_the_same_names_and_computes_the_same_with_the_weights(nested, values):
    flat = flatten(nested)
    copy = copy_graph(flat)
    assert [layer.name for layer in copy.layers] == [layer.name for layer in flat.layers]
    assert not {id(layer) for layer in copy.layers} & {id(layer) for layer in flat.layers}
    copy.set_weights(flat.get_weights())
    assert np.allclose(copy(values), flat(values), atol=1e-6)


def test_a_copy_may_have_other_layers_and_other_calls(values):
    x = keras.Input((6, 4))
    model = keras.Model(x, layers.Dropout(0.5, name="out")(layers.ReLU(name="relu")(x)))
    copy = copy_graph(
        model,
        make=lambda layer: layers.Activation("tanh", name="relu") if layer.name == "relu" else copy_of(layer),
        call=lambda layer, *args, **kwargs: args[0] if layer.name == "out" else layer(*args, **kwargs),
    )
    assert [layer.name for layer in copy.layers][1:] == ["relu"]
    assert np.allclose(copy(values), np.tanh(values), atol=1e-6)


def test_a_copied_layer_takes_other_settings():
    copy = copy_of(layers.Dense(4, activation="relu", name="first"), units=7)
    assert (copy.units, copy.activation, copy.name) == (7, keras.activations.relu, "first")


def test_new_inputs_have_the_structure_and_the_names():
    a, b = keras.Input((4,), name="a"), keras.Input((2, 3), dtype="int32", name="b")
    model = keras.Model({"a": a, "b": b}, layers.Dense(1)(a))
    found = new_inputs(model)
    assert {key: (x.shape, x.dtype, x.name) for key, x in found.items()} == {
        "a": ((None, 4), "float32", "a"),
        "b": ((None, 2, 3), "int32", "b"),
    }
