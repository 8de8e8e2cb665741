"""Which channels go together, which must stay, and what the report says of them."""

import keras
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.errors import ModelError
from tests.pruning.law import check_law


def two_branches():
    inputs = keras.Input((8, 8, 3), name="image")
    left = layers.Conv2D(4, 3, padding="same", name="left")(inputs)
    right = layers.Conv2D(4, 3, padding="same", name="right")(inputs)
    alone = layers.Conv2D(2, 3, padding="same", name="alone")(inputs)
    x = layers.Concatenate(name="concat")([layers.Add(name="add")([left, right]), alone])
    return keras.Model(inputs, layers.Conv2D(3, 1, name="classifier")(x), name="two_branches")


def test_added_channels_go_together_and_concatenated_ones_alone():
    groups = pruning.find_groups(two_branches())
    assert len(groups) == 6
    assert {tuple(groups.members(group).items()) for group in range(6)} == {
        *((("left", (i,)), ("right", (i,))) for i in range(4)),
        *((("alone", (i,)),) for i in range(2)),
    }


def test_families_hold_groups_with_the_same_share_of_every_layer():
    families = pruning.find_groups(two_branches()).families
    assert sorted((len(family), tuple(family.members)) for family in families) == [
        (2, ("alone",)),
        (4, ("left", "right")),
    ]


def test_a_layer_of_one_channel_is_a_family_of_one():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(1, 1, name="narrow")(inputs)

    (family,) = pruning.find_groups(keras.Model(inputs, layers.Conv2D(2, 1)(x))).families

    assert (len(family), family.members) == (1, {"narrow": 1})


def test_inputs_and_outputs_stay():
    assert pruning.find_groups(two_branches()).frozen == {
        "image": "is an input of the model",
        "classifier": "is an output of the model",
    }


def test_printing_lists_families_costs_and_reasons():
    # A group of `left + right`: two filters of 3·3·3 weights and a bias, and 3 weights of the classifier.
    assert str(pruning.find_groups(two_branches())).splitlines() == [
        "two_branches: 6 groups in 2 families",
        "     4 groups of left + right: 59 params, 3,648 MACs each",
        "     2 groups of alone: 31 params, 1,920 MACs each",
        "frozen `image`: is an input of the model",
        "frozen `classifier`: is an output of the model",
    ]


def test_the_same_model_gives_the_same_groups():
    model = two_branches()
    first, second = pruning.find_groups(model), pruning.find_groups(model)
    assert [first.members(group) for group in range(6)] == [second.members(group) for group in range(6)]


def test_softmax_and_layer_norm_freeze_with_their_reason():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="before_norm")(x)
    x = layers.LayerNormalization(scale=False, name="norm")(x)
    x = layers.Conv2D(4, 3, activation="softmax", name="softmax")(x)
    frozen = pruning.find_groups(keras.Model(inputs, layers.Conv2D(2, 1)(x))).frozen
    assert frozen["before_norm"] == "`norm` normalizes over the channels, so each depends on all"
    assert frozen["softmax"] == "applies `softmax`, which may mix channels"


def test_layers_without_a_rule_are_named():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="before")(x)
    x = layers.Lambda(lambda t: t[..., ::-1], name="swap", output_shape=(6, 6, 4))(x)
    frozen = pruning.find_groups(keras.Model(inputs, layers.Conv2D(2, 1)(x))).frozen
    assert frozen["before"] == "`swap_get_item` is a GetItem, which has no rule"
    assert frozen["swap_get_item"] == "is a GetItem, which has no rule"


def test_partly_frozen_layers_say_how_much():
    inputs = keras.Input((8, 8, 3))
    left = layers.Conv2D(4, 3, name="left")(inputs)
    right = layers.Conv2D(4, 3, name="right")(inputs)
    both = layers.Conv2D(8, 3, name="both")(inputs)
    x = layers.Add()([layers.Concatenate()([left, right]), both])
    model = keras.Model(inputs, [left, layers.Conv2D(2, 1)(x)])
    assert pruning.find_groups(model).frozen["both"] == "4 of 8 channels: `left` is an output of the model"


def test_slices_of_what_was_split_freeze_and_do_not_crash():
    x = inputs = keras.Input((8, 8, 3))
    first, second = keras.ops.split(layers.Conv2D(4, 3, name="before")(x), 2, axis=-1)
    model = keras.Model(inputs, layers.Conv2D(2, 1)(first + second[..., :1]))
    assert "a GetItem, which has no rule" in pruning.find_groups(model).frozen["before"]


def test_a_layer_without_a_rule_that_returns_two_tensors_keeps_what_goes_in_and_comes_out():
    x = inputs = keras.Input((8, 3))
    x = layers.Conv1D(4, 3, name="before")(layers.Conv1D(6, 3, name="first")(x))
    each, last = layers.GRU(5, return_sequences=True, return_state=True, name="gru")(x)
    model = keras.Model(inputs, [layers.Dense(2, name="of_each")(each), layers.Dense(2, name="of_last")(last)])
    groups = pruning.find_groups(model)
    assert (
        groups.frozen["before"]
        == groups.frozen["gru"].replace("is", "`gru` is", 1)
        == "`gru` is a GRU, which has no rule"
    )
    assert [family.members for family in groups.families] == [{"first": 1}]
    assert check_law(model).holds


def test_channels_first_is_frozen():
    x = inputs = keras.Input((3, 8, 8))
    x = layers.ZeroPadding2D(1, data_format="channels_first", name="pad")(x)
    frozen = pruning.find_groups(keras.Model(inputs, x)).frozen
    assert frozen["pad"] == "has the channels first"


def test_subclassed_models_are_a_clear_error():
    class Net(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ModelError, match=r"\(Net\) is not a functional model") as caught:
        pruning.find_groups(Net(name="net"))
    assert "keras.Model(inputs, outputs)" in caught.value.hint


def test_unbuilt_sequential_models_are_a_clear_error():
    with pytest.raises(ModelError, match="is not built"):
        pruning.find_groups(keras.Sequential([layers.Dense(3)]))


def test_layers_of_one_name_in_two_models_are_told_apart():
    def part(name):
        return keras.Sequential([keras.Input((4,)), layers.Dense(4, name="same")], name=name)

    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(3, name="head")(part("b")(part("a")(inputs))))
    groups = pruning.find_groups(model)

    assert {name for group in range(len(groups)) for name in groups.members(group)} == {"same", "b_same"}
    assert model.get_layer("b").get_layer("same").name == "same", "the model stays as it was"
    assert check_law(model).holds
