"""The range of class scores: what cannot win is cut off, and what competes has finer steps."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.quantization.convert import calibrated_model
from rsseg_tf.quantization.ethosu.enlarging import suited_to_ethosu
from rsseg_tf.quantization.int8.calibrated import quantize, recorded_ranges
from rsseg_tf.quantization.int8.scores import with_range_of_scores
from tests.quantization.networks import randomize
from tests.quantization.outputs import output

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 16, 24, 3), dtype=np.uint8)


def network(**settings):
    """Two classes that compete, and one that is out of the question."""
    x = inputs = keras.Input((16, 24, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", strides=4, activation="relu", name="conv")(layers.Rescaling(1 / 64)(x))
    x = layers.Conv2D(3, 1, name="scores", **settings)(x)
    model = randomize(keras.Model(inputs, layers.UpSampling2D(4, interpolation="bilinear", name="logits")(x)))
    kernel, bias = model.get_layer("scores").get_weights()
    model.get_layer("scores").set_weights([kernel, bias + np.array([0, 0, -300])])
    return model


def changed(model, head="logits"):
    before = calibrated_model(model, head=head, calibration=list(IMAGES))
    return before, with_range_of_scores(before, list(IMAGES))


def wrong(model, calibrated, folder):
    """How many pixels the int8 file gives another class than the model."""
    file = quantize(calibrated)
    return sum(
        int((output(file, image, folder / "net.tflite").argmax(-1) != np.argmax(model(image[None]), -1)).sum())
        for image in IMAGES
    )


@pytest.mark.parametrize("suited", [lambda model: model, lambda model: suited_to_ethosu(model, "ethos-u55")])
def test_scores_and_what_is_enlarged_to_them_lose_what_cannot_win(suited):
    before, after = (recorded_ranges(content) for content in changed(suited(network())))
    lost = [index for index in before if after[index] != before[index]]
    assert len({after[index] for index in lost}) == 1
    assert len(lost) > 1
    assert all(after[index].low > 0.5 * before[index].low for index in lost)


def test_fewer_pixels_have_another_class(tmp_path):
    model = network()
    before, after = changed(model)
    assert wrong(model, after, tmp_path) < 0.5 * wrong(model, before, tmp_path)


def test_the_scores_behind_classes_are_found():
    before, after = changed(network(), head="classes")
    assert before != after


def test_probabilities_keep_their_range():
    before, after = changed(network(activation="softmax"))
    assert before == after
