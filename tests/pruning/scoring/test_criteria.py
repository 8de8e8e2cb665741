"""Every criterion against its formula, computed another way."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.config.listing import chosen_sections
from rsseg_tf.errors import ConfigError
from rsseg_tf.pruning.loop.shrinking import Shrinking, Snapshot
from rsseg_tf.pruning.scoring.criteria import GRADIENT_CRITERIA, Scorer
from rsseg_tf.pruning.together import Alone
from tests.pruning.networks import batches, loss, tiny_network

FILTERS = ("stem", "middle", "last", "classifier")


def scores(criterion, model, **options):
    return pruning.score(model, batches(), criterion=criterion, loss=loss, **options).layers


def gradients(model):
    """For each batch, variable path → (value, gradient) from a plain tape on the variables."""
    found = []
    for x, y in batches():
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=False))
        pairs = zip(
            model.trainable_variables, tape.gradient(value, [v.value for v in model.trainable_variables]), strict=True
        )
        found.append({v.path: (v.numpy(), g.numpy()) for v, g in pairs})
    return found


def products(batch, *names):
    """Σ g·w over all but the last axis, of the variables that are named."""
    return sum((w * g).reshape(-1, w.shape[-1]).sum(axis=0) for w, g in (batch[name] for name in names))


def mean_over_the_filter(model):
    """Equation 8: the kernel alone."""
    found = gradients(model)
    means = {name: np.mean([products(batch, f"{name}/kernel") for batch in found], axis=0) for name in FILTERS}
    return {name: np.abs(mean) / np.prod(model.get_layer(name).kernel.shape[:-1]) for name, mean in means.items()}


def mean_square_with_bias(model):
    found = gradients(model)
    return {
        name: np.mean([products(batch, f"{name}/kernel", f"{name}/bias") ** 2 for batch in found], axis=0)
        for name in ("middle", "last")
    }


def gate_of_the_batch_norm(model):
    squares = [products(batch, "stem_bn/gamma", "stem_bn/beta") ** 2 for batch in gradients(model)]
    return {"stem": np.mean(squares, axis=0)}


def gate_of_each_example(model):
    """As `taylor-bn`, of one example after the other: the loss of a batch is the mean of theirs."""
    totals = {"stem": 0.0, "last": 0.0}
    for x, y in batches():
        for n in range(len(x)):
            with tf.GradientTape() as tape:
                value = loss(y[n : n + 1], model(x[n : n + 1], training=False)) / len(x)
            found = tape.gradient(value, [v.value for v in model.trainable_variables])
            pairs = {v.path: (v.numpy(), g.numpy()) for v, g in zip(model.trainable_variables, found, strict=True)}
            totals["stem"] += products(pairs, "stem_bn/gamma", "stem_bn/beta") ** 2
            totals["last"] += products(pairs, "last/kernel", "last/bias") ** 2
    return {name: total / len(batches()) for name, total in totals.items()}


def activation_times_gradient_by_example(model):
    ends = ("stem_relu", "middle", "last", "classifier")
    probe = keras.Model(model.input, [model.output, *(model.get_layer(name).output for name in ends)])
    totals = dict.fromkeys(FILTERS, 0.0)
    for x, y in batches():
        with tf.GradientTape() as tape:
            prediction, *activations = probe(x, training=False)
            value = loss(y, prediction)
        for name, a, g in zip(FILTERS, activations, tape.gradient(value, activations), strict=True):
            totals[name] += np.abs((a.numpy() * g.numpy()).mean(axis=(1, 2))).sum(axis=0)
    return {name: total / np.linalg.norm(total) for name, total in totals.items()}


def norm_of_the_kernel(order, model):
    kernels = {name: model.get_layer(name).kernel.numpy() for name in FILTERS}
    return {name: np.linalg.norm(each.reshape(-1, each.shape[-1]), order, axis=0) for name, each in kernels.items()}


def gamma_and_1_without_one(model):
    return {"stem": np.abs(model.get_layer("stem_bn").gamma.numpy()), "last": np.ones(8)}


FORMULAS = {
    "fisher": gate_of_each_example,
    "taylor": mean_over_the_filter,
    "taylor-fo": mean_square_with_bias,
    "taylor-bn": gate_of_the_batch_norm,
    "taylor-act": activation_times_gradient_by_example,
    "l1": partial(norm_of_the_kernel, 1),
    "l2": partial(norm_of_the_kernel, 2),
    "bn-scale": gamma_and_1_without_one,
}
"""Criterion → of a model, layer → the scores of its filters."""


@pytest.mark.parametrize("criterion", [name for name in pruning.CRITERIA if name != "random"])
def test_every_criterion_is_its_formula(criterion):
    model = tiny_network()
    found = scores(criterion, model)
    rtol, atol = (1e-3, 1e-8) if criterion in GRADIENT_CRITERIA else (1e-6, 0)
    for name, expected in FORMULAS[criterion](model).items():
        np.testing.assert_allclose(found[name], expected, rtol=rtol, atol=atol)


def test_taylor_bn_is_the_first_order_loss_change():
    """Finite differences: scale the output of one channel's batch norm and watch the loss."""
    model = tiny_network()
    x, y = batches()[0]
    norm = model.get_layer("stem_bn")
    gamma, beta = norm.gamma.numpy(), norm.beta.numpy()
    changes = np.zeros(8)
    for channel in range(8):
        values = []
        for scale in (1.001, 0.999):  # so near that hardly a ReLU changes its mind
            factor = np.where(np.arange(8) == channel, scale, 1.0)
            norm.gamma.assign(gamma * factor)
            norm.beta.assign(beta * factor)
            values.append(float(loss(y, model(x, training=False))))
        changes[channel] = (values[0] - values[1]) / 0.002
    norm.gamma.assign(gamma)
    norm.beta.assign(beta)
    found = pruning.score(model, [(x, y)], criterion="taylor-bn", loss=loss).layers["stem"]
    np.testing.assert_allclose(found, changes**2, rtol=0.05, atol=1e-6)


def test_random_depends_on_the_seed_alone():
    model = tiny_network()
    first, second, other = (scores("random", model, seed=seed)["stem"].tolist() for seed in (1, 1, 2))
    assert first == second != other


def test_filters_of_transposed_and_depthwise_kernels_are_their_output_channels():
    x = inputs = keras.Input((6, 6, 3))
    x = layers.Conv2DTranspose(4, 3, name="transposed")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    found = pruning.score(model, criterion="l1").layers
    kernel = model.get_layer("transposed").kernel.numpy()
    np.testing.assert_allclose(found["transposed"], np.abs(kernel).sum(axis=(0, 1, 3)), rtol=1e-6)
    depthwise = model.get_layer("depthwise").kernel.numpy()
    np.testing.assert_allclose(found["depthwise"], np.abs(depthwise).sum(axis=(0, 1)).reshape(-1), rtol=1e-6)


def test_several_inputs_and_outputs():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    x = layers.Dense(6, name="hidden")(layers.Concatenate()([a, b]))
    model = keras.Model({"a": a, "b": b}, {"u": layers.Dense(2)(x), "v": layers.Dense(3)(x)})
    x = {"a": np.ones((2, 4), np.float32), "b": np.ones((2, 4), np.float32)}
    y = {"u": np.ones((2, 2), np.float32), "v": np.ones((2, 3), np.float32)}
    found = pruning.score(model, [(x, y)], loss=lambda y, p: loss(y["u"], p["u"]) + loss(y["v"], p["v"])).layers
    assert (found["hidden"] > 0).all()


def test_scoring_changes_nothing():
    model = tiny_network()
    before = model.get_weights()
    scores("taylor", model)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "tailor", "loss": loss}, "unknown criterion `tailor`"),
        ({"criterion": "taylor"}, "needs a loss"),
        ({"criterion": "taylor", "loss": loss}, "at least one batch"),
    ],
)
def test_what_is_missing_is_said(options, message):
    with pytest.raises(ConfigError, match=message):
        pruning.score(tiny_network(), [], **options)


class Half(Alone):
    """One of two workers: it scores every second batch and adds what the other one, who scored before, gave."""

    def __init__(self, index, given):
        self._index, self._given = index, given

    def each(self, step, batches):
        return (step(*batch) for batch in list(batches)[self._index :: 2])

    def summed(self, values):
        self._given.append(values)
        return [sum(parts) for parts in zip(*self._given, strict=True)]


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("criterion", GRADIENT_CRITERIA)
def test_two_who_share_the_batches_find_what_one_finds(criterion, number):
    model, some, given = tiny_network(), (batches() * 2)[:number], []
    alone = pruning.score(model, some, criterion=criterion, loss=loss).layers

    halves = [Scorer(model, criterion=criterion, loss=loss, together=Half(index, given)) for index in (0, 1)]
    _, whole = (half(some).layers for half in halves)

    for name, values in alone.items():
        np.testing.assert_allclose(whole[name], values, rtol=1e-6)


class Apart(Alone):
    """A worker whose chief's weights are all one."""

    def from_chief(self, values):
        return [np.ones_like(value) for value in values]


def test_trained_weights_come_from_the_chief():
    model = tiny_network()
    everything = pruning.find_groups(model).plan(np.zeros(len(pruning.find_groups(model)), bool))
    start = Snapshot(0, everything, everything)
    slim = Shrinking(model, start, criterion="taylor-bn", loss=loss, together=Apart())

    slim.trained()

    assert all(np.array_equal(weight, np.ones_like(weight)) for weight in slim.snapshot(1).weights)


def test_the_setting_takes_every_criterion_and_no_other():
    (section,) = chosen_sections("prune.criterion", {})

    assert section.settings[0].values == f"one of {', '.join(pruning.CRITERIA)}"


def test_sample_weights_count_examples_as_often_as_they_say():
    """A batch with weights 2 and 0 is the mean of the first example."""
    pixels = keras.Input((6, 6, 3))
    model = keras.Model(pixels, layers.Conv2D(2, 1)(layers.Conv2D(4, 3, name="stem")(pixels)))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6, 6, 3)).astype("float32"), rng.integers(0, 2, (2, 4, 4))
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    how = {"criterion": "taylor-fo", "loss": cross_entropy}

    weighted = pruning.score(model, [(x, y, np.array([2, 0], "float32"))], **how)
    alone = pruning.score(model, [(x[:1], y[:1])], **how)

    np.testing.assert_allclose(weighted.layers["stem"], alone.layers["stem"], rtol=1e-4)
    with pytest.raises(ConfigError, match="sample weights"):
        pruning.score(model, [(x, y, np.ones(2, "float32"))], criterion="taylor-fo", loss=loss)
