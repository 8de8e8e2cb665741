"""The rule table is open: a row for a layer of one's own makes it prunable."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
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


class Named(layers.Conv2D):
    """A convolution under another name."""


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


def test_a_subclass_that_changes_the_call_has_no_rule():
    frozen = pruning.find_groups(with_layer(Doubling(4, 3, name="double"))).frozen
    assert frozen["double"] == "is a Doubling, which has no rule"


def test_a_subclass_that_does_not_is_pruned():
    law = check_law(with_layer(Named(4, 3)))
    assert law.holds, law


def test_every_row_has_a_flow_that_can_be_read():
    assert all(rule.flow.__doc__ for rule in pruning.RULES.values())
    assert np.all([set(rule.macs) <= set(rule.axes) for rule in pruning.RULES.values()])
