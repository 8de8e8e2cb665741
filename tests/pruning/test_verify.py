"""Verification sees what is wrong, and leaves the model as it was."""

import importlib

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.errors import ModelError
from tests.pruning.law import random_inputs, run

verifying = importlib.import_module("rsseg_tf.pruning.verify")  # the package shows a function of the same name


@pytest.fixture
def model():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, use_bias=False, name="stem")(x))
    x = layers.Conv2D(8, 1, name="takes_constants")(layers.Activation("sigmoid")(x))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    pruning.randomize(model)
    return model


@pytest.fixture
def plan(model):
    return pruning.random_plan(pruning.find_groups(model), seed=0)


def test_what_is_exact_holds_and_says_so(model, plan):
    found = pruning.verify(model, plan)
    assert found.holds
    assert found.params_built == found.params_predicted == plan.cost["params"]
    assert found.reload_error == 0
    assert str(found).startswith("exact: masked and rebuilt differ by ")


def test_the_model_stays_as_it_is(model, plan):
    x = random_inputs(model)
    before, outputs = model.get_weights(), run(model, x)
    pruning.verify(model, plan)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert (run(model, x)[0] == outputs[0]).all()


@keras.saving.register_keras_serializable("tests")
class Shifted(layers.Layer):
    """Adds 0.7, which a rule may forget; `forgets` leaves its factor out of the config, as careless layers do."""

    def __init__(self, factor=1.0, *, forgets=False, **options):
        super().__init__(**options)
        self.factor = factor
        self.forgets = forgets

    def call(self, x):
        return self.factor * x + 0.7

    def get_config(self):
        return super().get_config() if self.forgets else {**super().get_config(), "factor": self.factor}


class Unregistered(Shifted):
    """Can be made again, but not by one who loads the file."""


def with_shift(kind=Shifted, **options):
    x = inputs = keras.Input((8, 8, 3))
    x = kind(**options)(layers.Conv2D(6, 3)(x))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    pruning.randomize(model)
    return model


def verified(model, flow):
    rules = {Shifted: pruning.Rule(flow)}
    plan = pruning.random_plan(pruning.find_groups(model, rules=rules), seed=0)
    return pruning.verify(model, plan, rules=rules)


def test_a_rule_that_tells_the_truth_holds():
    found = verified(with_shift(), pruning.flows.elementwise)
    assert found.holds, found


def test_a_rule_that_forgets_a_constant_is_seen():
    found = verified(with_shift(), pruning.flows.passing)
    assert not found.holds
    assert found.masked_error > 0.01
    assert str(found).startswith("NOT exact")


def test_a_rule_that_mixes_channels_up_is_seen():
    def reversed_channels(site):
        (x,) = site.inputs
        return site.output(x.ids[::-1], np.nan_to_num(x.dead))

    found = verified(with_shift(), reversed_channels)
    assert not found.holds
    assert found.masked_error > 0.01


def test_a_layer_that_comes_back_otherwise_is_seen():
    found = verified(with_shift(factor=3.0, forgets=True), pruning.flows.elementwise)
    assert not found.holds
    assert found.identity_error > 0.01


def test_a_file_that_does_not_load_does_not_hold_and_says_why():
    model = with_shift(Unregistered)
    rules = {Unregistered: pruning.Rule(pruning.flows.elementwise)}
    plan = pruning.random_plan(pruning.find_groups(model, rules=rules), seed=0)
    found = pruning.verify(model, plan, rules=rules)
    assert found.reload_error is None
    assert not found.holds
    assert "not loadable (`Unregistered` is not registered with Keras)" in str(found)


@keras.saving.register_keras_serializable("tests")
class Unmade(layers.Layer):
    """Writes more into its config than it takes."""

    def __init__(self, size, **options):
        super().__init__(**options)
        self.offset = self.add_weight(shape=(size,), name="offset")

    def call(self, x):
        return x + self.offset

    def get_config(self):
        return {**super().get_config(), "size": 2, "places": 3}


def test_a_class_that_cannot_be_made_again_is_named():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, Unmade(2)(layers.Conv2D(2, 1)(layers.Conv2D(6, 3)(inputs))))
    found = pruning.verify(model, pruning.random_plan(pruning.find_groups(model), seed=0))
    assert not found.holds
    assert "`Unmade` cannot be made again from its get_config: Unrecognized keyword" in str(found)


def test_a_cost_that_was_not_foretold_is_seen(model, plan, monkeypatch):
    monkeypatch.setattr(verifying, "cost", lambda _slim, **_: pruning.cost(model))
    found = pruning.verify(model, plan)
    assert not found.holds
    assert found.params_built > found.params_predicted


def test_an_output_that_is_not_a_number_does_not_hold():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3)(keras.ops.log(layers.Conv2D(6, 1)(inputs)))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    found = pruning.verify(model, pruning.random_plan(pruning.find_groups(model), seed=0))
    assert np.isnan(found.largest_error)
    assert not found.holds


def test_the_weights_that_randomize_gives_let_the_input_through():
    """Forty layers deep, where a fixed spread of weights would leave a constant."""
    x = inputs = keras.Input((8, 8, 3))
    for _ in range(20):
        x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", activation="relu")(x))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    plan = pruning.random_plan(pruning.find_groups(model), seed=0)
    pruning.randomize(model)
    assert pruning.verify(model, plan).signal > 0.1
    statistics = [layer.moving_mean.numpy() for layer in model.layers if "batch_norm" in layer.name]
    assert all(np.unique(values).size == 4 for values in statistics)


def test_the_same_seed_gives_the_same_weights(model):
    first = model.get_weights()
    pruning.randomize(model)
    again = model.get_weights()
    pruning.randomize(model, seed=1)
    biases = [[w for w in weights if w.ndim == 1] for weights in (first, again, model.get_weights())]
    assert all((a == b).all() for a, b in zip(biases[0][:2], biases[1][:2], strict=True))
    assert all((a != b).all() for a, b in zip(biases[0][:2], biases[2][:2], strict=True))


def test_a_plan_for_another_model_is_refused(model):
    inputs = keras.Input((8, 8, 3))
    other = keras.Model(inputs, layers.Conv2D(2, 1)(layers.Conv2D(5, 1, name="elsewhere")(inputs)))
    with pytest.raises(ModelError, match="does not fit this model"):
        pruning.verify(model, pruning.random_plan(pruning.find_groups(other), seed=0))
