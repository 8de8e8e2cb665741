"""Ranges of activations: measured as NumPy measures them, and found again in the file."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import numpy as np
import pytest

from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.quantization.convert import calibrated_model
from rsseg_tf.quantization.int8 import clipping
from rsseg_tf.quantization.int8.calibrated import quantize, recorded_ranges
from rsseg_tf.quantization.int8.observe import BINS, Observed
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.tiny import pixels, segmenter

IMAGES = pixels(5, low=3, high=240)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return segmenter()


@pytest.fixture(scope="module")
def calibrated(model) -> Callable[[str], bytes]:
    """The float file with the ranges of a method."""
    return functools.cache(lambda method: calibrated_model(model, head="logits", calibration=IMAGES, method=method))


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

    assert range_of(calibrated("min-max"), layer) == pytest.approx((min(0, values.min()), values.max()), rel=1e-5)


def observed(images: list[np.ndarray]) -> Observed:
    """What would be seen of an activation with these values."""
    values = np.concatenate(images)
    minima, maxima = (np.array([end(image) for image in images]) for end in (np.min, np.max))
    counts, _ = np.histogram(values[values != 0], bins=BINS, range=(values.min(), values.max()))
    return Observed(minima, maxima, lambda: (counts, int((values == 0).sum())))


def is_everything(images, chosen):
    return (chosen.low, chosen.high) == (np.min(images), np.max(images))


def leaves_one_in_ten_thousand_outside(images, chosen):
    tail = clipping.OUTSIDE / 2 * np.size(images)

    outside = [(np.ravel(images) < chosen.low).sum(), (np.ravel(images) > chosen.high).sum()]
    return outside == pytest.approx([tail, tail], abs=1)


def follows_the_images_in_order(images, chosen):
    low, high = np.min(images[0]), np.max(images[0])
    for image in images[1:]:
        low, high = (old + clipping.NEWEST * (new - old) for old, new in ((low, image.min()), (high, image.max())))

    return (chosen.low, chosen.high) == pytest.approx((low, high))


def rounds_with_the_least_error(images, chosen):
    values = np.ravel(images)

    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        return ((np.clip(np.rint((values - low) / step), 0, 255) * step + low - values) ** 2).mean()

    shares = np.linspace(0.2, 1, 9)
    least = min(error(low * values.min(), high * values.max()) for low in shares for high in shares)
    return error(chosen.low, chosen.high) <= 1.02 * least


FORMULAS = {
    "min-max": is_everything,
    "percentile": leaves_one_in_ten_thousand_outside,
    "moving-average": follows_the_images_in_order,
    "mse": rounds_with_the_least_error,
}
"""Calibration method → whether it is the range that the formula gives for the values of several images."""


@pytest.mark.parametrize("method", clipping.METHODS)
def test_every_method_is_its_formula_zeros_included(method):
    rng = np.random.default_rng(0)
    images = [rng.normal(share, 1 + share, 60_000) * (rng.random(60_000) < 0.7) for share in (0.2, 1, 0.4, 0.8, 0.6)]

    assert FORMULAS[method](images, clipping.METHODS[method](observed(images)))


def test_a_range_that_is_not_finite_is_an_error_that_names_the_method(model, monkeypatch):
    monkeypatch.setitem(clipping.METHODS, "mse", lambda seen: clipping.Range(seen.low, float("nan")))

    with pytest.raises(ModelError, match=r"`mse` gives the range .* nan"):
        calibrated_model(model, head="logits", calibration=IMAGES, method="mse")


def test_no_candidate_rounds_with_less_error_than_the_one_that_mse_chose(model, calibrated):
    values = values_of(model, "third_relu").ravel().astype(np.float64)
    low, high = range_of(calibrated("mse"), "third_relu")

    def error(high: float) -> float:
        step = high / 255
        return ((np.clip(np.rint(values / step), 0, 255) * step - values) ** 2).mean()

    assert low == 0
    assert error(high) <= 1.02 * min(error(share * values.max()) for share in np.linspace(0.2, 1, 41))


def test_mse_cuts_off_a_single_outlier():
    counts, edges = np.histogram(np.append(np.random.default_rng(0).normal(size=100_000), 50.0), bins=4096)
    counts[:-1] *= 1_000  # a hundred million values and the outlier
    seen = Observed(edges[:1], edges[-1:], lambda: (counts, 0))

    chosen = clipping.least_square_error(seen)

    assert chosen.high < 15
    assert chosen.low < -3.5


@pytest.mark.parametrize("method", clipping.METHODS)
def test_the_file_has_the_chosen_ranges_as_scales(calibrated, method):
    low, high = range_of(calibrated(method), "third_relu")

    scale = tensor_of(quantize(calibrated(method)), "third_relu").scales

    assert scale == pytest.approx([(high - low) / 255], rel=1e-5)


@pytest.mark.parametrize("method", clipping.METHODS)
def test_the_input_stays_the_cameras_uint8(calibrated, method):
    (tensor,) = parse_model(quantize(calibrated(method)), name="file").inputs

    assert (tensor.dtype, tensor.scales.tolist(), tensor.zero_points.tolist()) == ("uint8", [1.0], [0])


def test_an_unknown_method_is_named(model):
    with pytest.raises(ConfigError, match="guess"):
        calibrated_model(model, head="logits", calibration=IMAGES, method="guess")
