"""The rule table is open: a row for a layer of one's own makes it prunable."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.errors import ModelError
from tests.pruning.law import check_law


class Gain(layers.Layer):
    """Multiplies each channel by a weight."""

    def build(self, shape):
        self.gain = self.add_weight(shape=(shape[-1],), initializer="ones", name="gain")

    def call(self, x):
        return x * self.gain + 0.0

    def compute_output_shape(self, shape):
        return shape


class Doubling(layers.Conv2D):
    """A convolution that does something else as well."""

    def call(self, x):
        return 2 * super().call(x)


class Standardized(layers.Conv2D):
    """A convolution whose kernel has mean 0 over what it sums over."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel - keras.ops.mean(kernel, axis=(0, 1, 2), keepdims=True))


class Named(layers.Conv2D):
    """A convolution under another name, with a default of its own."""

    def __init__(self, filters, kernel_size, activation="relu", **options):
        super().__init__(filters, kernel_size, activation=activation, **options)


def with_layer(layer):
    x = inputs = keras.Input((8, 8, 3))
    x = layer(layers.Conv2D(6, 3, name="before")(x))
    return keras.Model(inputs, layers.Conv2D(2, 3, padding="same")(x))


@pytest.fixture
def gain_rule(monkeypatch):
    monkeypatch.setitem(pruning.RULES, Gain, pruning.Rule(pruning.flows.scaled, axes={"gain": ("out",)}))


def test_without_a_row_it_is_frozen():
    assert pruning.find_groups(with_layer(Gain())).frozen["before"].endswith("is a Gain, which has no rule")


@pytest.mark.usefixtures("gain_rule")
def test_with_a_row_it_is_pruned_exactly():
    model = with_layer(Gain(name="gain"))
    law = check_law(model)
    assert law.holds, law
    plan = pruning.random_plan(pruning.find_groups(model), seed=0)
    assert pruning.rebuild(model, plan).get_layer("gain").gain.shape == (3,)


def test_a_row_that_forgets_a_weight_freezes(monkeypatch):
    monkeypatch.setitem(pruning.RULES, Gain, pruning.Rule(pruning.flows.passing))
    frozen = pruning.find_groups(with_layer(Gain(name="gain"))).frozen
    assert frozen["before"] == "`gain` holds `gain`, of which its rule says nothing"


def test_a_row_with_a_wrong_axis_is_a_clear_error(monkeypatch):
    monkeypatch.setitem(pruning.RULES, Gain, pruning.Rule(pruning.flows.scaled, axes={"gain": (None,)}))
    model = with_layer(Gain(name="gain"))
    with pytest.raises(ModelError, match=r"`gain` \(Gain\) has `gain` of shape \(3,\) once it is slim") as caught:
        pruning.rebuild(model, pruning.random_plan(pruning.find_groups(model), seed=0))
    assert "which axes channels index" in caught.value.hint


def test_a_layer_that_cannot_be_copied_is_a_clear_error():
    class Scale(layers.Layer):
        def __init__(self, factor):
            super().__init__(name="scale")
            self.factor = factor

        def call(self, x):
            return self.factor * x

    model = with_layer(Scale(2.0))
    with pytest.raises(ModelError, match=r"`scale` \(Scale\) cannot be copied") as caught:
        pruning.rebuild(model, pruning.random_plan(pruning.find_groups(model), 0.0, seed=0))
    assert "get_config" in caught.value.hint


@pytest.mark.parametrize("kind", [Doubling, Standardized])
def test_a_subclass_that_computes_something_else_has_no_rule(kind):
    frozen = pruning.find_groups(with_layer(kind(4, 3, name="other"))).frozen
    assert frozen["other"] == f"is a {kind.__name__}, which has no rule"


def test_a_subclass_that_does_not_is_pruned():
    law = check_law(with_layer(Named(4, 3)))
    assert law.holds, law


def test_every_row_has_a_flow_that_can_be_read():
    assert all(rule.flow.__doc__ for rule in pruning.RULES.values())
    assert np.all([set(rule.macs) <= set(rule.axes) for rule in pruning.RULES.values()])
