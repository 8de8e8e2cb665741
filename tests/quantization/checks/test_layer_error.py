"""Layer errors: what NumPy computes, and the damaged layer first."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from rsseg_tf.errors import CheckFailedError
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.checks.layer_error import LayerError, layer_errors
from rsseg_tf.quantization.convert import calibrated_model
from rsseg_tf.quantization.int8.calibrated import quantize
from rsseg_tf.quantization.repair import int8_file
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.tiny import pixels, pointwise, segmenter

IMAGES = pixels()


def calibrated(model: keras.Model) -> bytes:
    return calibrated_model(model, head="logits", calibration=IMAGES)


def names_of(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]


def decibels(exact: np.ndarray, got: np.ndarray) -> float:
    axes = tuple(range(exact.ndim - 1))
    return float((10 * np.log10(exact.var(axis=axes) / ((got - exact) ** 2).mean(axis=axes))).mean())


def rounded_to(tensor, values: np.ndarray) -> np.ndarray:
    scale, zero = float(tensor.scales[0]), int(tensor.zero_points[0])
    return (np.clip(np.rint(values / scale) + zero, -128, 127) - zero) * scale


@pytest.fixture(scope="module")
def followed() -> tuple[dict[str, LayerError], dict[str, float]]:
    """The errors of two 1×1 convolutions, measured and computed with NumPy."""
    model = pointwise()
    middle = calibrated(model)
    file = quantize(middle)
    errors = layer_errors(file, middle, IMAGES, layer_names=names_of(model))
    measured = {"spread" if error.layer == "spread" else "join": error for error in errors}

    spread, join = (op for op in parse_model(file, name="file").ops if op.name == "CONV_2D")
    (kernel, bias), (second, second_bias) = (model.get_layer(name).get_weights() for name in ("spread", "join"))
    rough, second_rough = (
        (op.inputs[1].values() * op.inputs[1].scales[:, None, None, None])[:, 0, 0].T for op in (spread, join)
    )
    x = np.stack(IMAGES).astype(np.float64)
    hidden, hidden_int8 = (
        np.maximum(x @ kernel[0, 0] + bias, 0),
        rounded_to(spread.outputs[0], np.maximum(x @ rough + bias, 0)),
    )
    scores_int8 = rounded_to(join.outputs[0], hidden_int8 @ second_rough + second_bias)
    computed = {
        "spread weights": float(
            (10 * np.log10((kernel**2).mean(axis=(0, 1, 2)) / ((rough - kernel[0, 0]) ** 2).mean(axis=0))).mean()
        ),
        "spread rounding": decibels(hidden, rounded_to(spread.outputs[0], hidden)),
        "spread alone": decibels(hidden, hidden_int8),
        "join alone": decibels(hidden_int8 @ second[0, 0] + second_bias, scores_int8),
        "join so far": decibels(hidden @ second[0, 0] + second_bias, scores_int8),
    }
    return measured, computed


def test_every_figure_is_what_numpy_computes(followed):
    measured, computed = followed

    assert measured["spread"].weights_db == pytest.approx(computed["spread weights"], abs=0.01)
    assert measured["spread"].rounding_db == pytest.approx(computed["spread rounding"], abs=0.1)
    assert measured["spread"].local_db == pytest.approx(computed["spread alone"], abs=0.3)
    assert measured["spread"].cumulative_db == pytest.approx(computed["spread alone"], abs=0.3)
    assert measured["join"].local_db == pytest.approx(computed["join alone"], abs=0.3)
    assert measured["join"].cumulative_db == pytest.approx(computed["join so far"], abs=0.3)


def damage_kernel(model: keras.Model) -> str:
    """Outliers that read a channel which is always zero: they change nothing but the other weights' scale."""
    first, third = model.get_layer("first_bn").get_weights(), model.get_layer("third_conv").get_weights()
    second = model.get_layer("second_bn").get_weights()
    first[1][3] = second[1][3] = -1_000
    third[0][:, :, 3] *= 1_000
    for name, weights in (("first_bn", first), ("second_bn", second), ("third_conv", third)):
        model.get_layer(name).set_weights(weights)
    return "third_relu"


def damage_range(model: keras.Model) -> str:
    """One channel, of which nothing is made, a thousand times as loud as the others: these round to nothing."""
    weights, reader = model.get_layer("second_bn").get_weights(), model.get_layer("third_conv").get_weights()
    weights[0][2] *= -1_000  # its mean is above what comes, so this sign lets the channel through
    reader[0][:, :, 2] = 0
    model.get_layer("second_bn").set_weights(weights)
    model.get_layer("third_conv").set_weights(reader)
    return "second_relu"


def damage_bias(model: keras.Model) -> str:
    """A bias of all channels that drowns their signal."""
    weights = model.get_layer("third_bn").get_weights()
    weights[1] += 1_000
    model.get_layer("third_bn").set_weights(weights)
    return "third_relu"


@pytest.mark.parametrize("damage", [damage_kernel, damage_range, damage_bias])
def test_a_damaged_layer_comes_first(damage):
    model = segmenter()
    damaged = damage(model)
    middle = calibrated(model)

    errors = layer_errors(quantize(middle), middle, IMAGES, layer_names=names_of(model))

    assert errors[0].layer == damaged
    assert errors[0].local_db < 15


def written(folder: Path, content: bytes) -> Path:
    (folder / "model.tflite").write_bytes(content)
    return folder / "model.tflite"


def noise_db(path: Path, model: keras.Model) -> float:
    images = np.stack(IMAGES).astype(np.float32)
    runner = TFLiteRunner(path)
    return decibels(np.asarray(model(images)), np.stack([runner.logits(image) for image in IMAGES]))


@pytest.mark.parametrize(("damage", "count"), [(damage_kernel, 1), (damage_range, 2)])
def test_keeping_the_worst_layers_float_wins_the_loss_back(tmp_path, damage, count):
    """Of a loud channel the addition behind it suffers too, and the readers of both must see floats."""
    model = segmenter()
    damaged = damage(model)
    middle = calibrated(model)
    int8 = noise_db(written(tmp_path, int8_file(middle).content), model)

    mended = int8_file(middle, images=IMAGES, layer_names=names_of(model), keep_float=count)

    path = written(tmp_path, mended.content)
    assert noise_db(path, model) > int8 + 15
    assert damaged in mended.float_layers
    facts = proof.prove(path, layer_names=names_of(model))
    assert facts.faults("int8", keep_float=mended.keep_float) == []
    assert 0 < len(facts.float_tensors) == len(mended.keep_float) < len(parse_model(middle, name="all").ops)


def test_only_the_layers_that_were_named_may_be_float(tmp_path):
    model = segmenter()
    middle = calibrated(model)
    mended = int8_file(middle, images=IMAGES, layer_names=names_of(model), keep_float=1)
    path = written(tmp_path, mended.content)
    facts = proof.prove(path, layer_names=names_of(model))

    with pytest.raises(CheckFailedError, match="floats"):
        proof.require(facts, "int8", path=path)
    with pytest.raises(CheckFailedError, match="stay float but do not in `elsewhere`"):
        proof.require(facts, "int8", path=path, keep_float=[*mended.keep_float, "elsewhere"])


def test_without_images_nothing_is_measured():
    assert int8_file(calibrated(pointwise())).errors == ()
