"""An activation in any form that Keras takes: every pass computes what the model does, or names the layer."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.errors import ModelError
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.quantization.convert import convert
from rsseg_tf.quantization.delegable import delegable
from rsseg_tf.quantization.qat.bridge import to_tf_keras
from rsseg_tf.quantization.qat.fake_quant import quantization_aware
from tests.pruning.law import check_law
from tests.quantization.tiny import pixels

SIZE = 16

FORMS = {
    "a layer": layers.ReLU,
    "a ceiling": lambda: layers.ReLU(4.0),
    "a slope": lambda: layers.ReLU(negative_slope=0.1),
    "a threshold": lambda: layers.ReLU(threshold=0.2),
    "all three": lambda: layers.ReLU(5.0, 0.1, 0.2),
    "leaky": lambda: layers.LeakyReLU(0.3),
    "elu": lambda: layers.ELU(0.5),
    "a layer in a layer": lambda: layers.Activation(layers.ReLU(3.0)),
    "an activation layer": lambda: layers.Activation("relu6"),
    "a function": lambda: keras.activations.tanh,
    "an operation": lambda: keras.ops.relu,
}


def clipped(x):
    return keras.ops.clip(x, 0, 1)


PLACES = ("inside", "apart", "behind a batch norm")


def network(form, place="inside", size=SIZE):
    """Two convolutions with an activation of the form between them, and one behind the second."""
    keras.utils.set_random_seed(0)
    image = keras.Input((size, size, 3))
    x = layers.Rescaling(1 / 127.5, -1, name="scaled")(image)
    x = layers.Conv2D(8, 3, padding="same", activation=form() if place == "inside" else None, name="first")(x)
    x = x if place != "behind a batch norm" else layers.BatchNormalization(name="bn")(x)
    x = x if place == "inside" else layers.Activation(form(), name="act")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu" if place != "inside" else form(), name="second")(x)
    return keras.Model(image, layers.Conv2D(4, 1, name="head")(x))


def images(count=3):
    return [image[:SIZE, :SIZE] for image in pixels(count)]


def both(first, second):
    x = np.float32(images())
    return np.asarray(first(x, training=False)), np.asarray(second(x, training=False))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_a_pruned_network_computes_what_the_masked_one_does(form, place):
    law = check_law(network(FORMS[form], place))

    assert law.is_exact
    assert law.removed_params > 0


def test_what_is_not_0_at_0_and_cannot_be_folded_stays():
    assert "first" in pruning.find_groups(network(FORMS["all three"])).frozen
    assert "first" not in pruning.find_groups(network(FORMS["a slope"])).frozen


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_what_is_rewritten_for_a_delegate_computes_the_same(form, place):
    model = network(FORMS[form], place)

    np.testing.assert_allclose(*both(delegable(model), model), atol=1e-5)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_a_tf_keras_twin_computes_the_same(form, place):
    model = network(FORMS[form], place)

    np.testing.assert_allclose(*both(to_tf_keras(model), model), atol=1e-5)


@pytest.mark.parametrize("form", ["a layer", "a ceiling", "leaky", "a layer in a layer"])
def test_a_file_and_a_student_of_8_bits_are_near_the_network(form, tmp_path):
    model = network(FORMS[form])
    expected = np.asarray(model(np.float32(images()), training=False))
    (tmp_path / "m.tflite").write_bytes(convert(model, number_format="int8", calibration=images()))
    runner = TFLiteRunner(tmp_path / "m.tflite")
    student = quantization_aware(model, images())

    spread = expected.std()
    assert np.abs(np.stack([runner.logits(image) for image in images()]) - expected).mean() < 0.1 * spread
    assert np.abs(student(np.float32(images()), training=False).numpy() - expected).mean() < 0.1 * spread


@pytest.mark.parametrize(
    ("form", "place", "message"),
    [
        (lambda: clipped, "inside", "`first` applies a function"),
        (lambda: clipped, "apart", "`act` applies a function"),
        (lambda: layers.PReLU(shared_axes=[1, 2]), "inside", "`first` has a PReLU"),
        (lambda: "hard_silu", "inside", "'hard_silu', which has no tf_keras twin"),
    ],
)
def test_what_has_no_twin_is_named_with_its_layer(form, place, message):
    with pytest.raises(ModelError, match=message):
        to_tf_keras(network(form, place))
