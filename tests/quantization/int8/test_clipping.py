"""Ranges of activations: measured as NumPy measures them, and found again in the file."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from rsseg_tf.errors import ConfigError
from rsseg_tf.quantization.convert import calibrated_model
from rsseg_tf.quantization.int8 import clipping
from rsseg_tf.quantization.int8.calibrated import quantize, recorded_ranges
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.tiny import pixels, segmenter

IMAGES = pixels(5, low=3, high=240)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return segmenter()


@pytest.fixture(scope="module")
def calibrated(model) -> dict[str, bytes]:
    """The float file with the ranges of each method."""
    return {
        method: calibrated_model(model, head="logits", calibration=IMAGES, method=method) for method in clipping.METHODS
    }


def values_of(model: keras.Model, layer: str) -> np.ndarray:
    inner = keras.Model(model.input, model.get_layer(layer).output)
    return np.asarray(inner(np.stack(IMAGES).astype(np.float32)))


def tensor_of(content: bytes, layer: str):
    return next(
        op.outputs[0] for op in parse_model(content, name="file").ops if f"{layer}_1/" in op.outputs[0].name + "/"
    )


def range_of(calibrated: bytes, layer: str) -> tuple[float, float]:
    chosen = recorded_ranges(calibrated)[tensor_of(calibrated, layer).index]
    return chosen.low, chosen.high


@pytest.mark.parametrize("layer", ["first_relu", "second_relu", "add", "third_relu", "classifier"])
def test_min_max_is_all_that_the_layer_puts_out(model, calibrated, layer):
    """The second ReLU too, which TensorFlow's own calibrator gives the range of the addition after it."""
    values = values_of(model, layer)

    assert range_of(calibrated["min-max"], layer) == pytest.approx((min(0, values.min()), values.max()), rel=1e-5)


def test_the_moving_average_follows_the_images_in_order(model, calibrated):
    low, high = 0.0, 0.0
    for number, values in enumerate(values_of(model, "classifier")):
        share = 1.0 if number == 0 else clipping.NEWEST
        low, high = low + share * (values.min() - low), high + share * (values.max() - high)

    assert range_of(calibrated["moving-average"], "classifier") == pytest.approx((low, high), rel=1e-5)


def test_the_percentile_is_that_of_all_values_zeros_included():
    values = np.random.default_rng(0).normal(1, 2, 200_000)
    counts, edges = np.histogram(values, bins=4096)
    zeros = 100_000
    seen = clipping.Observed(edges[:1], edges[-1:], counts, zeros)

    chosen = clipping.percentile(seen)

    tail = clipping.OUTSIDE / 2 * (len(values) + zeros)
    assert (values < chosen.low).sum() == pytest.approx(tail, abs=1)
    assert (values > chosen.high).sum() == pytest.approx(tail, abs=1)


def test_no_candidate_rounds_with_less_error_than_the_one_that_mse_chose(model, calibrated):
    values = values_of(model, "third_relu").ravel().astype(np.float64)
    low, high = range_of(calibrated["mse"], "third_relu")

    def error(high: float) -> float:
        step = high / 255
        return ((np.clip(np.rint(values / step), 0, 255) * step - values) ** 2).mean()

    assert low == 0
    assert error(high) <= 1.02 * min(error(share * values.max()) for share in np.linspace(0.2, 1, 41))


def test_mse_cuts_off_a_single_outlier():
    counts, edges = np.histogram(np.append(np.random.default_rng(0).normal(size=100_000), 50.0), bins=4096)
    counts[:-1] *= 1_000  # a hundred million values and the outlier
    seen = clipping.Observed(edges[:1], edges[-1:], counts)

    chosen = clipping.least_square_error(seen)

    assert chosen.high < 15
    assert chosen.low < -3.5


@pytest.mark.parametrize("method", clipping.METHODS)
def test_the_file_has_the_chosen_ranges_as_scales(calibrated, method):
    low, high = range_of(calibrated[method], "third_relu")

    scale = tensor_of(quantize(calibrated[method]), "third_relu").scales

    assert scale == pytest.approx([(high - low) / 255], rel=1e-5)


@pytest.mark.parametrize("method", clipping.METHODS)
def test_the_input_stays_the_cameras_uint8(calibrated, method):
    (tensor,) = parse_model(quantize(calibrated[method]), name="file").inputs

    assert (tensor.dtype, tensor.scales.tolist(), tensor.zero_points.tolist()) == ("uint8", [1.0], [0])


def test_an_unknown_method_is_named(model):
    with pytest.raises(ConfigError, match="guess"):
        calibrated_model(model, head="logits", calibration=IMAGES, method="guess")
