import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.errors import ConfigError


def network(**options):
    x = inputs = keras.Input((4, 4, 3))
    x = layers.BatchNormalization(name="first", **options)(x)
    x = layers.Dropout(0.5)(x)
    return keras.Model(inputs, layers.BatchNormalization(name="second")(layers.Conv2D(5, 1, name="conv")(x)))


def batches(count=3):
    rng = np.random.default_rng(0)
    return [rng.normal(2.0, 3.0, (4, 4, 4, 3)).astype(np.float32) for _ in range(count)]


def statistics(model, name):
    return [weight.numpy() for weight in (model.get_layer(name).moving_mean, model.get_layer(name).moving_variance)]


def test_statistics_are_the_mean_of_the_batches():
    model = network()
    pruning.recalibrate(model, batches())
    mean, variance = statistics(model, "first")
    np.testing.assert_allclose(mean, np.mean([x.mean(axis=(0, 1, 2)) for x in batches()], axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, np.mean([x.var(axis=(0, 1, 2)) for x in batches()], axis=0), rtol=1e-4)


def test_labels_are_ignored_and_nothing_else_changes():
    model, other = network(), network()
    other.set_weights(model.get_weights())
    keep = [w.numpy() for w in model.trainable_variables]
    pruning.recalibrate(model, [(x, None) for x in batches()])
    pruning.recalibrate(other, batches())
    assert all((a == b.numpy()).all() for a, b in zip(keep, model.trainable_variables, strict=True))
    np.testing.assert_array_equal(statistics(model, "first"), statistics(other, "first"))
    assert model.get_layer("first").momentum == 0.99


def test_frozen_batch_norms_keep_their_statistics():
    model = network(trainable=False)
    before = statistics(model, "first")
    pruning.recalibrate(model, batches())
    np.testing.assert_array_equal(before, statistics(model, "first"))


def test_nested_models_are_reached():
    inner = network()
    inputs = keras.Input((4, 4, 3))
    pruning.recalibrate(keras.Model(inputs, inner(inputs)), batches())
    assert abs(statistics(inner, "first")[0].mean() - 2.0) < 0.5


@pytest.mark.parametrize("is_nested", [False, True])
def test_every_call_of_a_shared_norm_counts(is_nested):
    inputs = keras.Input((4, 4, 3))
    norm = layers.BatchNormalization(name="norm")
    shared = keras.Sequential([keras.Input((4, 4, 3)), norm]) if is_nested else norm
    other = layers.Rescaling(3.0, offset=2.0)(inputs)
    pruning.recalibrate(keras.Model(inputs, layers.Add()([shared(inputs), shared(other)])), batches())

    seen = [each for x in batches() for each in (x, 3 * x + 2)]
    np.testing.assert_allclose(norm.moving_mean, np.mean([x.mean(axis=(0, 1, 2)) for x in seen], axis=0), rtol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, np.mean([x.var(axis=(0, 1, 2)) for x in seen], axis=0), rtol=1e-4)


def test_models_without_batch_norms_are_fine():
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(inputs))
    before = model.get_weights()
    pruning.recalibrate(model, [])
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_no_batches_are_an_error():
    with pytest.raises(ConfigError, match="at least one batch"):
        pruning.recalibrate(network(), [])


def test_a_list_is_a_pair_for_a_model_of_one_input():
    pixels = keras.Input((2,))
    model = keras.Model(pixels, keras.layers.BatchNormalization(name="norm")(pixels))

    pruning.recalibrate(model, [[np.asarray([[1.0, 2.0], [3.0, 6.0]], np.float32), np.zeros(5)]])

    assert model.get_layer("norm").get_weights()[2].tolist() == [2.0, 4.0]
