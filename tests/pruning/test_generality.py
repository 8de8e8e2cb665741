"""What Keras graphs can hold: pruned exactly where a rule says how, frozen and named where none does."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from rsseg_tf import pruning
from rsseg_tf.errors import ModelError
from tests.pruning.law import check_law, random_inputs
from tests.pruning.test_law import conv_bn, image


def headed(inputs, x):
    return keras.Model(inputs, layers.Conv2D(4, 1, name="head")(x))


def sequential():
    return keras.Sequential(
        [image(), *(layers.Conv2D(6, 3), layers.BatchNormalization(), layers.ReLU()), layers.Flatten(), layers.Dense(3)]
    )


def lazy_sequential():
    model = keras.Sequential([layers.Conv2D(6, 3), layers.Flatten(), layers.Dense(3)])
    model(np.zeros((1, 8, 8, 3), np.float32))
    return model


def nested_on_three_levels():
    block_in = keras.Input((8, 8, 6))
    block = keras.Model(block_in, layers.Add()([block_in, conv_bn(block_in, 6)]), name="block")
    middle_in = keras.Input((8, 8, 6))
    middle = keras.Model(middle_in, block(layers.ReLU()(block(middle_in))), name="middle")
    top = keras.Sequential([keras.Input((8, 8, 6)), middle, layers.Conv2D(6, 1)], name="top")
    top.compile("sgd", "mse")
    inputs = image()
    x = layers.Conv2D(6, 3, padding="same")(inputs)
    return headed(inputs, layers.Add()([top(x), middle(x)]))


def nested_with_dictionaries():
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    parts = {"sum": layers.Add()([conv_bn(a, 6), conv_bn(b, 6)]), "alone": conv_bn(a, 5)}
    inner = keras.Model({"a": a, "b": b}, parts, name="inner")
    inputs = image()
    found = inner({"a": inputs, "b": inputs * 2.0})
    return headed(inputs, layers.Concatenate()([found["sum"], found["alone"]]))


def shared_batch_norm():
    x = inputs = image()
    norm, relu = layers.BatchNormalization(), layers.ReLU()
    for _ in range(2):
        x = relu(norm(layers.Conv2D(6, 3, padding="same")(x)))
    return headed(inputs, x)


def shared_layer_that_folds_twice():
    inputs = image()
    shared = layers.Conv2D(6, 1)
    calls = [shared(layers.Activation("sigmoid")(layers.Conv2D(5, 3)(inputs))) for _ in range(2)]
    return headed(inputs, layers.Add()(calls))


def merges():
    inputs = image()
    a, b, c = (layers.Conv2D(6, 3, activation=name)(inputs) for name in ("sigmoid", "relu", None))
    x = layers.Maximum()([layers.Average()([a, b, c]), layers.Subtract()([a, c])])
    return headed(inputs, layers.Minimum()([x, a]))


def arithmetic():
    inputs = image()
    a, b = layers.Conv2D(6, 3)(inputs), layers.Conv2D(6, 3)(inputs)
    x = 1 - ops.exp(a) / 2 + abs(-b) ** 2
    return headed(inputs, ops.average_pool(ops.max_pool(x, 2), 2))


def gates_of_every_shape():
    inputs = image()
    x = conv_bn(inputs, 8)
    gate = layers.Dense(8, activation="sigmoid")(layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    y = x * ops.expand_dims(ops.expand_dims(gate, 1), 1)
    z = layers.Conv2D(8, 1, activation="hard_sigmoid")(layers.GlobalMaxPooling2D(keepdims=True)(x))
    return headed(
        inputs,
        layers.Add()([layers.Multiply()([x, gate]), y, x * z, layers.Reshape((1, 1, 8))(ops.squeeze(z, (1, 2)))]),
    )


def resized_padded_cropped():
    inputs = image()
    x = layers.Conv2D(6, 1)(layers.Resizing(9, 9)(layers.Conv2D(6, 3, activation="sigmoid")(inputs)))
    x = layers.ZeroPadding2D(1)(layers.UpSampling2D(2, interpolation="bilinear")(x))
    return headed(inputs, layers.CenterCrop(10, 10)(layers.Cropping2D(2)(x)))


def dropped_out():
    x = inputs = image()
    x = layers.Conv2D(6, 3)(x)
    kinds = (layers.Dropout, layers.SpatialDropout2D, layers.GaussianDropout, layers.GaussianNoise, layers.AlphaDropout)
    for kind in kinds:
        x = kind(0.3)(x)
    return headed(inputs, x)


def constants_behind_depthwise():
    x = inputs = image()
    x = layers.Conv2D(6, 3, activation="sigmoid")(x)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="sigmoid")(x)
    x = layers.Conv2D(6, 1, activation="softplus")(x)
    return headed(inputs, layers.SeparableConv2D(5, 3, padding="same")(x))


def grouped_over_repeated_channels():
    x = inputs = image()
    x = layers.Conv2D(3, 1)(x)
    x = layers.Conv2D(6, 3, groups=3)(layers.Concatenate()([x, x]))
    return headed(inputs, layers.Conv2D(6, 3, groups=3, activation="sigmoid")(layers.Conv2D(12, 1, groups=6)(x)))


def slopes_shared_every_way():
    x = inputs = image()
    for axes in ((1, 2, 3), (3,), (1, 2), None):
        x = layers.PReLU(shared_axes=axes)(layers.Conv2D(6, 2)(x))
    return headed(inputs, layers.PReLU()(layers.Conv2D(1, 1)(x)))


def instance_norm_without_weights():
    x = inputs = image()
    x = layers.GroupNormalization(-1, scale=False, center=False)(layers.Conv2D(6, 3)(x))
    return headed(inputs, layers.GroupNormalization(6)(layers.Conv2D(6, 3)(x)))


def batch_norm_without_weights():
    x = inputs = image()
    x = layers.BatchNormalization(scale=False, center=False)(layers.Conv2D(6, 3)(x))
    x = layers.BatchNormalization()(layers.Dense(9)(layers.Flatten()(x)), training=True)
    return keras.Model(inputs, layers.Dense(3)(x))


def three_dimensional():
    x = inputs = keras.Input((6, 6, 6, 2))
    x = layers.MaxPooling3D()(layers.Conv3D(6, 3, padding="same", activation="relu")(x))
    return keras.Model(inputs, layers.Conv3D(3, 1)(layers.Conv3DTranspose(5, 2, strides=2)(x)))


def separable_in_one_dimension():
    x = inputs = keras.Input((16, 3))
    x = layers.DepthwiseConv1D(3, depth_multiplier=2)(layers.SeparableConv1D(6, 3)(x))
    x = layers.Conv1D(5, 3, dilation_rate=2, padding="causal")(x)
    return keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))


def layers_as_activations():
    x = inputs = image()
    x = layers.Conv2D(6, 3, activation=layers.LeakyReLU(0.2))(x)
    return headed(inputs, layers.Activation(layers.ReLU(6.0))(layers.Conv2D(6, 3)(x)))


def kernel_with_a_constant_initializer():
    x = inputs = image()
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 6)).astype(np.float32)
    x = layers.Conv2D(6, 3, kernel_initializer=keras.initializers.Constant(kernel))(x)
    return headed(inputs, x)


def truncated():
    x = inputs = image()
    x = ops.cast(layers.Conv2D(6, 3, activation="sigmoid")(x) * 3, "int32")
    return headed(inputs, ops.cast(x, "float32"))


def half_precision():
    inputs = image()
    policy = keras.DTypePolicy("mixed_bfloat16")
    x = layers.Conv2D(8, 3, activation="sigmoid", dtype=policy)(inputs)
    x = layers.BatchNormalization(dtype=policy)(layers.Conv2D(6, 1, dtype=policy)(x))
    return keras.Model(inputs, layers.Conv2D(4, 1, dtype="float32")(x))


def input_that_is_an_output():
    inputs = image()
    head = layers.Conv2D(4, 1)(conv_bn(inputs, 6))
    return keras.Model(inputs, [inputs, head, head])


def softmax_over_positions():
    """Of removed channels each position gets the same share; a convolution takes it up in its bias."""
    inputs = image()
    x = layers.Conv2D(6, 3, name="first")(inputs)
    x = layers.Softmax(axis=[1, 2])(x)
    x = layers.Conv2D(8, 1, name="second")(ops.softmax(x, axis=1))
    return headed(inputs, x)


def padded_with_what_is_there():
    inputs = image()
    x = layers.Conv2D(6, 3, activation="sigmoid", name="first")(inputs)
    x = layers.Resizing(8, 12, pad_to_aspect_ratio=True, fill_value=0.5)(x)
    return headed(inputs, layers.Conv2D(8, 1, name="second")(x))


def padded_by_an_operation():
    inputs = image()
    x = layers.Conv2D(6, 3, activation="sigmoid", name="first")(inputs)
    x = ops.pad(x, ((0, 0), (1, 1), (2, 0), (0, 0)), constant_values=0.5)
    x = ops.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect")
    x = layers.Conv2D(8, 1, name="second")(x)
    return headed(inputs, keras.activations.relu(ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), max_value=6))


class Block(layers.Layer):
    """Layers of somebody else's, with a branch."""

    def __init__(self, **options):
        super().__init__(**options)
        self.filters = layers.Conv2D(6, 3, padding="same")
        self.norm = layers.BatchNormalization()
        self.gate = layers.Conv2D(6, 1, activation="sigmoid")

    def call(self, x, training=None):
        y = ops.relu(self.norm(self.filters(x), training=training))
        return y * self.gate(ops.mean(y, axis=(1, 2), keepdims=True))


def blocks_of_layers():
    x = inputs = image()
    for name in ("one", "two"):
        x = Block(name=name)(layers.Conv2D(6, 3)(x))
    return headed(inputs, x)


def lambdas():
    x = inputs = image()
    x = layers.Lambda(lambda t: keras.activations.swish(t) * 2, name="twice")(layers.Conv2D(6, 3)(x))
    return headed(inputs, layers.Lambda(lambda t, by: t / by, arguments={"by": 3.0})(layers.Conv2D(6, 3)(x)))


PRUNED = [
    lambdas,
    padded_by_an_operation,
    blocks_of_layers,
    softmax_over_positions,
    padded_with_what_is_there,
    *(sequential, lazy_sequential, nested_on_three_levels, nested_with_dictionaries),
    *(shared_batch_norm, shared_layer_that_folds_twice, merges, arithmetic, gates_of_every_shape),
    *(resized_padded_cropped, dropped_out, constants_behind_depthwise, grouped_over_repeated_channels),
    *(slopes_shared_every_way, instance_norm_without_weights, batch_norm_without_weights),
    *(three_dimensional, separable_in_one_dimension, layers_as_activations),
    *(kernel_with_a_constant_initializer, truncated, half_precision, input_that_is_an_output),
]


@pytest.mark.parametrize("graph", PRUNED, ids=lambda graph: graph.__name__)
def test_it_is_pruned_exactly_and_nothing_but_its_ends_is_frozen(graph):
    model = graph()
    frozen = pruning.find_groups(model).frozen
    assert [name for name, reason in frozen.items() if not reason.endswith("put of the model")] == []
    law = check_law(model)
    assert law.holds, law
    assert law.verification.reload_error is not None


def between(*stages, before="relu"):
    """A network with `stages` between two convolutions, of which the first is to be frozen."""
    inputs = image()
    x = layers.Conv2D(6, 3, activation=before, name="first")(inputs)
    for stage in stages:
        x = stage(x)
    return headed(inputs, layers.Conv2D(8, 1, name="second")(x))


def other(**options):
    """A convolution on 6×6 pixels beside the first."""
    return layers.Conv2D(6, 3, name="other", **options)


def recurrent():
    inputs = keras.Input((10,), dtype="int32")
    x = layers.Conv1D(8, 3, name="first")(layers.Embedding(20, 8)(inputs))
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True), name="both_ways")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Dense(5, name="second")(x)))


def dot_product():
    inputs = image()
    x, y = (layers.GlobalMaxPooling2D()(layers.Conv2D(6, 3, name=name)(inputs)) for name in ("first", "other"))
    x = layers.Dot(1, name="dot")([x, y])
    return keras.Model(inputs, layers.Dense(3)(layers.Dense(4, name="second")(x)))


def channels_first():
    inputs = keras.Input((3, 8, 8))
    x = layers.ZeroPadding2D(data_format="channels_first")(inputs)
    x = layers.GlobalMaxPooling2D(data_format="channels_first", name="pool")(x)
    x = layers.Dense(6, name="second")(x)
    return keras.Model(inputs, layers.Dense(4)(x))


def quotient():
    inputs = image()
    x = layers.Conv2D(6, 3, name="first")(inputs) / other()(inputs)
    return headed(inputs, layers.Conv2D(8, 1, name="second")(layers.BatchNormalization()(x)))


def low_rank():
    x = inputs = image()
    layer = layers.Conv2D(6, 3, name="first")
    x = layer(x)
    layer.enable_lora(2)
    return headed(inputs, layers.Conv2D(8, 1, name="second")(x))


def twice_with_other_constants():
    """The same channels, once as they are and once behind a sigmoid, in one axis of the consumer."""
    inputs = image()
    x = layers.Conv2D(6, 3, name="first")(inputs)
    x = layers.Reshape((36, 2, 6))(layers.Concatenate()([x, layers.Activation("sigmoid")(x)]))
    return headed(inputs, layers.Conv2D(8, 1, name="second")(x))


FROZEN = {
    "a Lambda": (
        lambda: between(layers.Lambda(lambda t: tf.nn.relu(t), name="of_tensorflow", output_shape=(6, 6, 6))),
        "`of_tensorflow` is a Lambda, which has no rule and cannot be opened: it cannot be called on symbolic tensors",
    ),
    "layer norm": (lambda: between(layers.LayerNormalization(scale=False, name="norm")), "`norm` normalizes over the"),
    "layer norm of all": (lambda: between(layers.LayerNormalization((1, 2, 3), name="norm")), "`norm` normalizes over"),
    "group norm": (lambda: between(layers.GroupNormalization(2, name="norm")), "`norm` normalizes over groups"),
    "split": (lambda: between(layers.Reshape((6, 12, 3), name="split")), "`split` lays out (6, 6, 6) as"),
    "softmax": (lambda: between(layers.Softmax(name="soft")), "`soft` is a softmax over the channels"),
    "normalized": (
        lambda: between(layers.Normalization(mean=[0.1] * 6, variance=[1.5] * 6, name="norm")),
        "`norm` holds constants for each channel",
    ),
    "rescaled": (lambda: between(layers.Rescaling([1.0, 2, 3, 4, 5, 6], name="scale")), "`scale` holds constants"),
    "constants": (lambda: between(lambda x: x * np.arange(6, dtype=np.float32)), "holds constants for each channel"),
    "variable": (lambda: between(lambda x: x * keras.Variable(np.ones(6, np.float32))), "holds constants for each"),
    "reduced": (lambda: between(lambda x: ops.mean(x, -1, keepdims=True)), "reduces over the channels"),
    "sliced": (lambda: between(lambda x: x[:, ::2]), "is a GetItem, which has no rule"),
    "a floor": (lambda: between(lambda x: ops.max(x, (1, 2), True, initial=5.0)), "starts from a value of its own"),
    "1/x": (lambda: between(lambda x: 1.0 / x, before=None), "has no value, such as 0/0, where channels are removed"),
    "x/y": (quotient, "has no value, such as 0/0"),
    "padded sigmoid": (
        lambda: between(layers.ZeroPadding2D(), before="sigmoid"),
        "`second` would keep receiving a constant",
    ),
    "padded with 1": (
        lambda: between(layers.Resizing(8, 12, pad_to_aspect_ratio=True, fill_value=1.0)),
        "`second` would keep receiving a constant",
    ),
    "softmax of all": (
        lambda: between(layers.Softmax(axis=(1, 3), name="soft")),
        "`soft` is a softmax over the channels",
    ),
    "softmax op": (lambda: between(lambda x: ops.softmax(x, axis=-1)), "is a softmax over the channels"),
    "a constant and 0": (twice_with_other_constants, "`second` would keep receiving a constant"),
    "recurrent": (recurrent, "`both_ways` is a Bidirectional, which has no rule"),
    "dot": (dot_product, "`dot` is a Dot, which has no rule"),
    "LoRA": (low_rank, "holds `kernel`, which its rule does not mention"),
}


@pytest.mark.parametrize("case", FROZEN)
def test_it_is_frozen_with_the_reason_and_the_rest_is_pruned(case):
    build, reason = FROZEN[case]
    model = build()
    groups = pruning.find_groups(model)
    assert reason in groups.frozen.get("first", "")
    assert {"second"} in [set(family.members) for family in groups.families]
    law = check_law(model)
    found = law.verification
    assert found.cost_as_predicted
    assert law.removed_params > 0
    assert max(found.largest_error, law.in_place_error) <= found.tolerance
    assert found.holds == (case != "a Lambda"), found  # whose file Keras loads for those alone who trust it


def test_int8_layers_are_frozen():
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(3)(layers.Dense(6, name="first")(inputs)))
    model.get_layer("first").quantize("int8")
    assert pruning.find_groups(model).frozen["first"] == "holds `kernel_scale`, which its rule does not mention"


def test_channels_first_layers_are_frozen_and_the_rest_is_pruned():
    model = channels_first()
    assert pruning.find_groups(model).frozen["pool"] == "has the channels first"
    law = check_law(model)
    assert law.holds, law


def test_an_open_input_size_is_verified_on_given_inputs():
    inputs = keras.Input((None, None, 3))
    model = headed(inputs, conv_bn(inputs, 6))
    x = np.random.default_rng(0).normal(size=(2, 9, 7, 3)).astype(np.float32)
    pruning.randomize(model, x=x)
    plan = pruning.random_plan(pruning.find_groups(model), seed=0)
    assert pruning.verify(model, plan, x).holds
    with pytest.raises(ModelError, match=r"\(None, None, 3\) of `functional.*` is open") as caught:
        pruning.verify(model, plan)
    assert caught.value.hint == "give inputs of your own"


def test_a_model_with_a_call_of_its_own_is_a_clear_error():
    class Doubled(keras.Model):
        def call(self, x):
            return 2 * super().call(x)

    inputs = image()
    model = Doubled(inputs, layers.Conv2D(4, 1)(conv_bn(inputs, 6)))
    with pytest.raises(ModelError, match=r"\(Doubled\) has a call of its own"):
        pruning.find_groups(model)


def test_a_model_with_a_training_step_of_its_own_becomes_a_plain_one():
    class Trained(keras.Model):
        def train_step(self, _data):
            return {}

    inputs = image()
    model = Trained(inputs, layers.Conv2D(4, 1)(conv_bn(inputs, 6)))
    law = check_law(model)
    assert law.holds, law
    slim = pruning.rebuild(model, pruning.random_plan(pruning.find_groups(model), seed=0))
    assert type(slim) is type(keras.Model(inputs, inputs))


def test_an_operation_that_cannot_be_copied_is_shared():
    x = inputs = image()
    x = ops.clip(layers.Conv2D(6, 3)(x), np.full(6, -0.1), np.full(6, 0.5))
    model = headed(inputs, layers.Conv2D(6, 3, name="free")(x))
    law = check_law(model)
    assert law.verification.masked_error < 1e-6
    assert law.removed_params > 0


def test_random_inputs_take_the_model_s_structure():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), dtype="int32", name="b")
    model = keras.Model({"a": a, "b": b}, layers.Concatenate()([a, ops.cast(b, "float32")]))
    x = random_inputs(model)
    assert {name: (value.shape, value.dtype.name) for name, value in x.items()} == {
        "a": ((2, 4), "float32"),
        "b": ((2, 3), "int32"),
    }
