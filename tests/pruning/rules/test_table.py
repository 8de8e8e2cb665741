"""The rule table is open: a row for a layer of one's own makes it prunable."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.errors import ConfigError, ModelError
from tests.pruning.law import check_law


@keras.saving.register_keras_serializable("tests")
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


@keras.saving.register_keras_serializable("tests")
class Named(layers.Conv2D):
    """A convolution under another name, with a default of its own."""

    def __init__(self, filters, kernel_size, activation="relu", **options):
        super().__init__(filters, kernel_size, activation=activation, **options)


def with_layer(layer):
    x = inputs = keras.Input((8, 8, 3))
    x = layer(layers.Conv2D(6, 3, name="before")(x))
    return keras.Model(inputs, layers.Conv2D(2, 3, padding="same", name="after")(x))


@keras.saving.register_keras_serializable("tests")
class Mixing(layers.Layer):
    """A dense layer with names of its own, and neither `activation` nor `use_bias`."""

    def __init__(self, width, shape_function=None, **options):
        super().__init__(**options)
        self.width = width
        self.shape_function = keras.activations.get(shape_function)

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], self.width), name="w")
        self.offset = self.add_weight(shape=(self.width,), name="offset")

    def call(self, x):
        return self.shape_function(keras.ops.matmul(x, self.w) + self.offset)

    def get_config(self):
        function = keras.activations.serialize(self.shape_function)
        return {**super().get_config(), "width": self.width, "shape_function": function}


GAIN_RULE = {Gain: pruning.Rule(pruning.flows.scaled, axes={"gain": ("out",)})}
MIXING_RULE = {
    Mixing: pruning.Rule(
        pruning.flows.dense,
        axes={"w": ("in", "out"), "offset": ("out",)},
        config={"width": "out"},
        macs={"w": "out"},
        bias="offset",
        activation="shape_function",
    )
}


def test_without_a_row_it_is_frozen():
    assert pruning.find_groups(with_layer(Gain())).frozen["before"].endswith("is a Gain, which has no rule")


def test_with_a_row_in_the_table_it_is_pruned_exactly(monkeypatch):
    monkeypatch.setitem(pruning.RULES, Gain, GAIN_RULE[Gain])
    model = with_layer(Gain(name="gain"))
    law = check_law(model)
    assert law.holds, law
    plan = pruning.random_plan(pruning.find_groups(model), seed=0)
    assert pruning.rebuild(model, plan).get_layer("gain").gain.shape == (3,)


@pytest.mark.parametrize(
    ("make", "rules"),
    [
        (lambda: Gain(name="own"), GAIN_RULE),
        (lambda: Mixing(7, "relu", name="own"), MIXING_RULE),
        (lambda: Mixing(7, "sigmoid", name="own"), MIXING_RULE),
    ],
    ids=["gain", "mixing-relu", "mixing-sigmoid"],
)
def test_a_row_for_one_call_prunes_exactly_and_leaves_the_table_as_it_was(make, rules):
    before = dict(pruning.RULES)
    model = with_layer(make())
    law = check_law(model, rules=rules)
    assert law.holds, law
    assert before == pruning.RULES
    assert "which has no rule" in pruning.find_groups(model).frozen["before"]


def test_a_constant_is_folded_into_a_bias_of_another_name():
    """A removed channel behind a sigmoid goes on sending 0.5, which `offset` takes over."""
    x = inputs = keras.Input((6,))
    x = layers.Dense(8, activation="sigmoid", name="before")(x)
    model = keras.Model(inputs, layers.Dense(2)(Mixing(7, "linear", name="own")(x)))
    assert "before" not in pruning.find_groups(model, rules=MIXING_RULE).frozen
    law = check_law(model, rules=MIXING_RULE)
    assert law.holds, law


@pytest.mark.parametrize("criterion", pruning.CRITERIA)
@pytest.mark.parametrize("function", ["linear", "relu"])
def test_a_layer_with_a_row_is_scored_by_every_criterion(criterion, function):
    model = with_layer(Mixing(7, function, name="own"))
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(2, 8, 8, 3)).astype(np.float32), rng.integers(0, 2, (2, 6, 6)))]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found = pruning.score(model, batches, criterion=criterion, loss=loss, rules=MIXING_RULE)
    assert found.layers["own"].shape == (7,)
    assert np.any(found.layers["own"] != 0)


@pytest.mark.parametrize("criterion", ["taylor", "taylor-fo", "taylor-bn", "l1"])
@pytest.mark.parametrize("function", ["linear", "relu"])
def test_a_layer_with_a_row_scores_as_the_layer_of_keras_that_computes_the_same(criterion, function):
    ours = with_layer(Mixing(7, function, name="own"))
    keras_own = with_layer(layers.Dense(7, activation=function, name="own"))
    keras_own.set_weights(ours.get_weights())
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(2, 8, 8, 3)).astype(np.float32), rng.integers(0, 2, (2, 6, 6)))]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found = pruning.score(ours, batches, criterion=criterion, loss=loss, rules=MIXING_RULE)
    expected = pruning.score(keras_own, batches, criterion=criterion, loss=loss)
    for name, values in expected.layers.items():
        assert np.allclose(found.layers[name], values, rtol=1e-4), name


def test_the_loop_takes_rows_too():
    model = with_layer(Mixing(7, "relu", name="own"))
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(2, 8, 8, 3)).astype(np.float32), rng.integers(0, 2, (2, 6, 6))
    slim, plan = pruning.prune_loop(
        model,
        batches=lambda _: [batch],
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        target=pruning.Target(params=0.5),
        loop=pruning.Loop(loops=20, round_to=1, min_channels=1),
        rules=MIXING_RULE,
    )
    assert "own" in plan.keep
    assert slim.get_layer("own").w.shape[1] == len(plan.keep["own"]) < 7


def test_a_row_says_what_costs_multiplications():
    model = with_layer(Mixing(7, name="own"))
    own = {layer.name: layer.macs for layer in pruning.cost(model, rules=MIXING_RULE).layers}
    assert own["own"] == 6 * 6 * 6 * 7


def test_classes_that_a_layer_with_a_row_only_enlarges_stay():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 1, name="classes")(x)
    model = keras.Model(inputs, Mixing(2, name="own")(x))
    row = MIXING_RULE[Mixing]
    enlarging = {Mixing: dataclasses.replace(row, enlarges=True)}
    assert len(pruning.find_groups(model, rules=MIXING_RULE)) == 2
    assert len(pruning.find_groups(model, rules=enlarging)) == 0


def test_a_row_that_forgets_a_weight_freezes():
    frozen = pruning.find_groups(
        with_layer(Gain(name="gain")), rules={Gain: pruning.Rule(pruning.flows.passing)}
    ).frozen
    assert frozen["before"] == "`gain` holds `gain`, which its rule does not mention"


def test_a_row_with_a_wrong_axis_is_a_clear_error():
    wrong = {Gain: pruning.Rule(pruning.flows.scaled, axes={"gain": (None,)})}
    model = with_layer(Gain(name="gain"))
    plan = pruning.random_plan(pruning.find_groups(model, rules=wrong), seed=0)
    with pytest.raises(ModelError, match=r"`gain` \(Gain\) has `gain` of shape \(3,\) after slimming") as caught:
        pruning.rebuild(model, plan, rules=wrong)
    assert "which axes channels index" in caught.value.hint


def test_a_layer_that_cannot_be_copied_is_a_clear_error():
    class Scale(layers.Layer):
        def __init__(self, size):
            super().__init__(name="scale")
            self.factor = self.add_weight(shape=(size,))

        def call(self, x):
            return self.factor * x

    model, rules = with_layer(Scale(6)), {Scale: pruning.Rule(pruning.flows.scaled, axes={"factor": ("out",)})}
    plan = pruning.random_plan(pruning.find_groups(model, rules=rules), 0.5, seed=0)
    with pytest.raises(ModelError, match=r"`scale` \(Scale\) cannot be copied") as caught:
        pruning.rebuild(model, plan, rules=rules)
    assert "get_config" in caught.value.hint


def test_a_layer_without_weights_that_cannot_be_copied_is_shared():
    class Scale(layers.Layer):
        def __init__(self, factor):
            super().__init__(name="scale")
            self.factor = factor

        def call(self, x):
            return self.factor * x

    model, rules = with_layer(Scale(2.0)), {Scale: pruning.Rule(pruning.flows.elementwise)}
    plan = pruning.random_plan(pruning.find_groups(model, rules=rules), 0.5, seed=0)
    slim = pruning.rebuild(model, plan, rules=rules)
    assert slim.get_layer("scale") is model.get_layer("scale")
    assert pruning.verify(model, plan, rules=rules).masked_error < 1e-6


def test_a_layer_that_cannot_be_copied_and_loses_nothing_is_shared():
    class Offset(layers.Layer):
        def __init__(self, size):
            super().__init__(name="offset")
            self.offset = self.add_weight(shape=(size,))

        def call(self, x):
            return x + self.offset

    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, Offset(2)(layers.Conv2D(2, 1)(layers.Conv2D(6, 3, name="wide")(inputs))))
    plan = pruning.random_plan(pruning.find_groups(model), seed=0)
    slim = pruning.rebuild(model, plan)
    assert slim.get_layer("offset") is model.get_layer("offset")
    assert slim.get_layer("wide").filters == 3
    assert pruning.verify(model, plan).masked_error < 1e-6


@pytest.mark.parametrize("kind", [Doubling, Standardized])
def test_a_subclass_that_computes_something_else_has_no_rule(kind):
    frozen = pruning.find_groups(with_layer(kind(4, 3, name="other"))).frozen
    method = "call" if kind is Doubling else "convolution_op"
    reason = f"is a {kind.__name__}, which has no rule: it overrides `{method}` of Conv2D, which has one"
    assert frozen["other"] == reason


def test_a_subclass_that_does_not_is_pruned():
    law = check_law(with_layer(Named(4, 3)))
    assert law.holds, law


def test_every_row_has_a_flow_that_can_be_read():
    assert all(rule.flow.__doc__ for rule in pruning.RULES.values())
    assert np.all([set(rule.macs) <= set(rule.axes) for rule in pruning.RULES.values()])


def test_scores_that_forgot_the_rules_are_refused():
    model = with_layer(Mixing(7, "relu", name="own"))
    groups = pruning.find_groups(model, rules=MIXING_RULE)
    scores = pruning.score(model, criterion="l1")
    with pytest.raises(ModelError, match="the scores do not cover `own`") as caught:
        pruning.choose(groups, scores, pruning.Target(macs=0.5), round_to=1, min_channels=1)
    assert "`rules`" in caught.value.hint


def test_a_plan_that_was_made_with_rules_says_that_it_needs_them():
    model = with_layer(Mixing(7, "relu", name="own"))
    plan = pruning.random_plan(pruning.find_groups(model, rules=MIXING_RULE), seed=0)
    with pytest.raises(ModelError, match="removes channels of `own`, which is a Mixing, which has no rule") as caught:
        pruning.rebuild(model, plan)
    assert "`rules`" in caught.value.hint


def test_a_bias_of_another_name_takes_four_bytes_in_int8_too():
    own = {layer.name: layer.int8_bytes for layer in pruning.cost(with_layer(Mixing(7)), rules=MIXING_RULE).layers}
    keras_own = {layer.name: layer.int8_bytes for layer in pruning.cost(with_layer(layers.Dense(7))).layers}
    assert sorted(own.values()) == sorted(keras_own.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"macs": {"v": "out"}}, "`macs` names `v`"),
        ({"macs": {"w": "outt"}}, "`macs` has `outt`"),
        ({"config": {"width": "outt"}}, "`config` has `outt`"),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(MIXING_RULE[Mixing], **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": "offsett"}, "`own` .Mixing. has no `offsett`"),
        ({"activation": "shape"}, "`own` .Mixing. has no `shape`"),
        (
            {"axes": {"w": (None, "in", "out"), "offset": ("out",)}},
            "`w` of `own` .Mixing. has 2 axes",
        ),
        ({"axes": {"v": ("in", "out")}, "macs": {}}, "`own` .Mixing. has no `v`"),
    ],
)
def test_a_rule_that_names_what_the_layer_does_not_have_is_refused(changes, message):
    wrong = {Mixing: dataclasses.replace(MIXING_RULE[Mixing], **changes)}
    with pytest.raises(ModelError, match=message):
        pruning.find_groups(with_layer(Mixing(7, name="own")), rules=wrong)


def test_a_config_key_that_the_layer_does_not_have_is_named():
    wrong = {Mixing: dataclasses.replace(MIXING_RULE[Mixing], config={"units": "out"})}
    model = with_layer(Mixing(7, name="own"))
    plan = pruning.random_plan(pruning.find_groups(model, rules=wrong), seed=0)
    with pytest.raises(ModelError, match=r"the config of `own` .Mixing. has no `units`") as caught:
        pruning.rebuild(model, plan, rules=wrong)
    assert "width" in caught.value.hint


@pytest.mark.parametrize("rules", [[MIXING_RULE], {Mixing: pruning.flows.dense}, {Mixing(7): MIXING_RULE[Mixing]}])
def test_what_are_no_rules_is_refused(rules):
    with pytest.raises(ConfigError, match="`rules` maps types of layers to rules"):
        pruning.find_groups(with_layer(Mixing(7)), rules=rules)


def test_a_loss_is_a_function_and_is_averaged():
    model = with_layer(layers.Conv2D(4, 3))
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(2, 8, 8, 3)).astype(np.float32), rng.integers(0, 2, (2, 4, 4)))]
    with pytest.raises(ConfigError, match="`loss` is a function of"):
        pruning.score(model, batches, loss="mse")
    mean, each = (
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
        for reduction in ("sum_over_batch_size", None)
    )
    expected, found = (pruning.score(model, batches, loss=loss).layers for loss in (mean, each))
    assert all(np.allclose(found[name], values, rtol=1e-4) for name, values in expected.items())


@keras.saving.register_keras_serializable("tests")
class LowRank(layers.Layer):
    """A dense layer of two thin kernels, its activation given by name."""

    def __init__(self, width, **options):
        super().__init__(**options)
        self.width, self.activation = width, "relu"

    def build(self, shape):
        self.u = self.add_weight(shape=(shape[-1], 3), name="u")
        self.v = self.add_weight(shape=(3, self.width), name="v")
        self.bias = self.add_weight(shape=(self.width,), name="bias")

    def call(self, x):
        return keras.activations.get(self.activation)(x @ self.u @ self.v + self.bias)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


LOW_RANK_RULE = {
    LowRank: pruning.Rule(
        pruning.flows.dense,
        axes={"u": ("in", None), "v": (None, "out"), "bias": ("out",)},
        config={"width": "out"},
        macs={"u": "out", "v": "out"},
    )
}


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_a_layer_of_two_kernels_is_pruned_and_constants_before_it_stay(activation):
    """No single variable says what a removed channel would go on adding, so behind a sigmoid the channels stay."""
    x = inputs = keras.Input((6,))
    x = layers.Dense(8, activation=activation, name="before")(x)
    model = keras.Model(inputs, layers.Dense(2)(LowRank(7, name="own")(x)))
    groups = pruning.find_groups(model, rules=LOW_RANK_RULE)
    assert ("before" in groups.frozen) == (activation == "sigmoid")
    law = check_law(model, rules=LOW_RANK_RULE)
    assert law.holds, law
