"""Parameters and multiply-accumulates, counted by hand."""

import keras
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.errors import ModelError


def macs_of(layer, shape=(8, 8, 6)):
    inputs = keras.Input(shape)
    return pruning.cost(keras.Model(inputs, layer(inputs))).macs


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Conv2D(4, 3, padding="same"), 64 * 9 * 6 * 4),
        (layers.Conv2D(4, 3, strides=2, padding="same"), 16 * 9 * 6 * 4),
        (layers.Conv2D(4, 3), 36 * 9 * 6 * 4),
        (layers.Conv2D(4, 3, groups=2, padding="same"), 64 * 9 * 3 * 4),
        (layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), 64 * 9 * 12),
        (layers.SeparableConv2D(4, 3, padding="same"), 64 * (9 * 6 + 6 * 4)),
        (layers.Conv2DTranspose(4, 3, strides=2, padding="same"), 64 * 9 * 6 * 4),
        (layers.Dense(4), 64 * 6 * 4),
        (layers.BatchNormalization(), 0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_macs(layer, expected):
    assert macs_of(layer) == expected


def test_statistics_are_no_parameters():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(x))
    cost = pruning.cost(keras.Model(inputs, x))
    assert (cost.params, cost.statistics, cost.bytes) == (108 + 8, 8, 4 * (108 + 16))
    assert cost.int8_bytes == 108 + 4 * 4


def test_parameters_do_not_depend_on_what_is_trainable():
    model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), alpha=0.35)
    before = pruning.cost(model).params
    assert before == sum(int(v.value.shape.num_elements()) for v in model.trainable_variables)
    model.trainable = False
    assert pruning.cost(model).params == before


def test_calls_of_a_shared_layer_add_up():
    inputs = keras.Input((8, 8, 3))
    shared = layers.Conv2D(3, 1)
    assert pruning.cost(keras.Model(inputs, shared(shared(inputs)))).macs == 2 * 64 * 9


def test_an_open_input_size_leaves_macs_unknown():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, name="stem")(inputs)
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    groups = pruning.find_groups(model)
    scores = pruning.score(model, criterion="l1")
    assert pruning.cost(model).macs is None
    assert pruning.choose(groups, scores, pruning.Target(params=0.6), round_to=1, min_channels=1).keep["stem"]
    with pytest.raises(ModelError, match="input size"):
        pruning.choose(groups, scores, pruning.Target(macs=0.6))


def test_the_table_ends_with_the_total():
    inputs = keras.Input((8, 8, 3))
    cost = pruning.cost(keras.Model(inputs, layers.Conv2D(4, 3, name="stem")(inputs)))
    assert str(cost).splitlines()[-1].split() == ["total", "112", "3,888", "448"]


@keras.saving.register_keras_serializable("test_cost")
class Standardized(layers.Conv2D):
    """Convolves in its own way."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel - keras.ops.mean(kernel))


@pytest.mark.parametrize(
    "layer",
    [
        Standardized(4, 3, name="own"),
        layers.SpectralNormalization(layers.Conv2D(4, 3), name="own"),
        layers.TimeDistributed(layers.Conv1D(4, 3), name="own"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_no_rule_describes_are_named_as_not_counted(layer):
    inputs = keras.Input((8, 8, 6))
    found = pruning.cost(keras.Model(inputs, layers.Conv2D(2, 1)(layer(inputs))))
    assert found.uncounted == ("own",)
    assert "of `own` are not known and not counted" in str(found)


def test_what_only_holds_numbers_is_counted():
    inputs = keras.Input((8, 8, 6))
    x = layers.PReLU(shared_axes=[1])(layers.Normalization(mean=[1.0] * 6, variance=[1.0] * 6)(inputs))
    assert pruning.cost(keras.Model(inputs, layers.Conv2D(2, 1)(x))).uncounted == ()
    words = keras.Input((5,))
    assert pruning.cost(keras.Model(words, layers.Dense(3)(layers.Embedding(7, 4)(words)))).uncounted == ()


def test_a_share_of_operations_that_are_not_all_known_is_warned_of(capsys):
    inputs = keras.Input((8, 8, 6))
    x = layers.Conv2D(16, 3, name="plain")(Standardized(16, 3, name="own")(inputs))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    work = {"batches": lambda _: [], "loss": lambda *_: 0.0, "loop": pruning.Loop(criterion="l2", loops=1)}
    pruning.prune_loop(model, target=pruning.Target(macs=0.9), **work)
    assert "of `own` are not known" in capsys.readouterr().err
    pruning.prune_loop(model, target=pruning.Target(params=0.9), **work)
    assert capsys.readouterr().err == ""
