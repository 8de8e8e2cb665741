from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.errors import DataError, ModelError
from rsseg_tf.quantization.paper.folding import fold_batch_norms
from rsseg_tf.quantization.paper.msb import exponent_counts, histogram_of
from rsseg_tf.quantization.paper.ranges import Ranges, TensorRange, measure
from tests.quantization.networks import pixels, small_network


@pytest.fixture(scope="module")
def folded() -> keras.Model:
    return fold_batch_norms(small_network())


@pytest.fixture(scope="module")
def ranges(folded) -> Ranges:
    return measure(folded, [pixels()[:2], pixels()[2:]])


def of_kind(ranges: Ranges, kind: str) -> dict[str, TensorRange]:
    return {tensor.name: tensor for tensor in ranges.tensors if tensor.kind == kind}


def test_what_a_layer_hands_on_is_counted_after_its_relu_and_under_its_own_name(ranges):
    assert {name: tensor.layer for name, tensor in of_kind(ranges, "activations").items()} == {
        "normalise": "normalise",
        "stem_relu": "stem_conv",
        "middle": "middle",
        "add_relu": "add",
        "again": "again",
        "join": "join",
        "classifier": "classifier",
        "logits": "logits",
    }


def test_weights_and_biases_are_the_folded_ones(ranges, folded):
    convs = ["stem_conv", "middle", "classifier"]

    assert list(of_kind(ranges, "weights")) == [f"{name}/kernel" for name in convs]
    assert list(of_kind(ranges, "biases")) == [f"{name}/bias" for name in convs]
    kernel = folded.get_layer("stem_conv").get_weights()[0]
    assert of_kind(ranges, "weights")["stem_conv/kernel"].histogram == histogram_of(exponent_counts(kernel))


def test_histograms_of_activations_are_those_of_all_their_values(ranges, folded):
    observer = keras.Model(folded.input, {name: folded.get_layer(name).output for name in ("stem_relu", "logits")})
    values = observer(pixels())

    for name, tensor in of_kind(ranges, "activations").items():
        if name in values:
            assert tensor.histogram == histogram_of(exponent_counts(np.asarray(values[name])))


def test_how_the_images_are_batched_does_not_matter(ranges, folded):
    assert measure(folded, [image[None] for image in pixels()]) == ranges
    assert ranges.samples == 3


def test_images_may_be_whole_numbers(ranges, folded):
    assert measure(folded, [pixels().astype(np.uint8)]) == ranges


def test_every_layer_has_its_place_in_the_order_of_the_graph(ranges):
    assert ranges.layers == ("normalise", "stem_conv", "middle", "add", "again", "join", "classifier", "logits")


def test_the_record_has_stable_keys(ranges):
    record = ranges.to_dict()

    assert list(record) == ["samples", "layers", "tensors"]
    assert list(record["tensors"][0]) == [
        *("kind", "layer", "name", "nonzero", "zeros", "lowest", "counts", "window", "underflow", "overflow")
    ]
    assert list(record["tensors"][0]["window"]) == ["low", "high", "step"]


def test_a_layer_called_twice_has_one_histogram():
    x = keras.Input((8, 8, 3))
    twice = layers.Conv2D(3, 1, name="twice")
    model = keras.Model(x, twice(layers.ReLU(name="between")(twice(x))))

    tensors = of_kind(measure(model, [pixels()]), "activations")

    assert tensors["twice"].histogram.nonzero + tensors["twice"].histogram.zeros == 2 * pixels().size


def test_an_activation_that_is_not_finite_is_named():
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layers.Rescaling(1e38, name="burst")(x))

    with pytest.raises(ModelError, match=r"`burst`.*192 values are NaN or infinite"):
        measure(model, [np.full((1, 8, 8, 3), 255.0)])


def test_a_weight_that_is_not_finite_is_named(folded):
    broken = fold_batch_norms(folded)
    kernel, bias = broken.get_layer("middle").get_weights()
    broken.get_layer("middle").set_weights([kernel, bias * np.nan])

    with pytest.raises(ModelError, match="biases `middle/bias`"):
        measure(broken, [pixels()])


def test_no_images_are_an_error(folded):
    with pytest.raises(DataError, match="no images"):
        measure(folded, [])


def test_two_inputs_are_an_error():
    x, y = keras.Input((2,)), keras.Input((2,))

    with pytest.raises(ModelError, match="2 inputs"):
        measure(keras.Model([x, y], layers.Add()([x, y])), [])
