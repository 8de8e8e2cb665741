"""Files of other programs: what their pixels become, one score a pixel, open sizes."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from pathlib import Path

import numpy as np
import pytest

from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.inference.predict import ForeignModel, open_predictor
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.ports import (
    Normalization,
    Port,
    normalization_in,
    normalization_of,
    of_two,
    scores_among,
    takes_pixels,
)
from tests.tflite.networks import SIZE, converted, frame, image_model

RANGES = {"0 to 1": (0.0, 1.0), "-1 to 1": (-1.0, 1.0), "0 to 255": (0.0, 255.0)}


@functools.cache
def brightest(kind: str, low: float, high: float, dtype: str = "uint8", batch: int | None = 1) -> bytes:
    """A network whose class is the brightest of red, green and blue, made for pixels from `low` to `high`."""
    import keras
    import tensorflow as tf

    pixels = keras.Input((SIZE, SIZE, 3), batch_size=batch)
    layer = keras.layers.Conv2D(3, 1, use_bias=False)
    model = keras.Model(pixels, layer(pixels))
    layer.set_weights([np.eye(3, dtype=np.float32)[None, None]])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind == "int8":
        rng = np.random.default_rng(0)
        ends = np.float32([low, high])

        def batches():
            for _ in range(4):
                some = rng.uniform(low, high, (1, SIZE, SIZE, 3)).astype(np.float32)
                some.flat[:2] = ends
                yield [some]

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = batches
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter misses what only its oldest quantization needs
        return bytes(converter.convert())


def saved(folder: Path, content: bytes) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("name", RANGES)
def test_the_quantization_of_the_input_says_what_pixels_become(tmp_path: Path, name: str, dtype: str) -> None:
    path = saved(tmp_path, brightest("int8", *RANGES[name], dtype))
    image = frame()
    assert np.mean(open_predictor(path).predict(image) == image.argmax(axis=-1)) > 0.99


def test_an_input_that_does_not_say_is_asked_for(tmp_path: Path) -> None:
    image = frame()
    floats, odd = brightest("float32", 0, 1), brightest("int8", -2.1, 2.6)
    for content in (floats, odd):
        path = saved(tmp_path, content)
        with pytest.raises(ConfigError, match="does not say what it wants pixels to be") as caught:
            open_predictor(path)
        assert "--std 255" in (caught.value.hint or "")
        foreign = ForeignModel(normalization=Normalization(127.5, 127.5))
        assert np.mean(open_predictor(path, foreign=foreign).predict(image) == image.argmax(axis=-1)) > 0.95


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "expected"),
    [
        ("uint8", 1 / 255, 0, Normalization(0, 255)),
        ("int8", 1 / 255, -128, Normalization(0, 255)),
        ("int8", 0.003921569, -128, Normalization(0, 255)),
        ("uint8", 2 / 255, 128, Normalization(127.5, 127.5)),
        ("int8", 0.0078125, 0, Normalization(127.5, 127.5)),
        ("uint8", 1 / 128, 127, Normalization(127, 128)),
        ("int8", 1 / 128, -1, Normalization(127, 128)),
        ("uint8", 0.0, 0, Normalization()),
        ("int8", 1.0, -128, Normalization()),
        ("int8", 1.0, 0, Normalization(128, 1)),
        ("uint8", 0.0186, 114, None),
        ("float32", 0.0, 0, None),
    ],
)
def test_known_ranges(dtype: str, scale: float, zero_point: int, expected: Normalization | None) -> None:
    port = Port(0, (1, 8, 8, 3), dtype, scale, zero_point)
    found = normalization_of(port)
    assert found == expected
    if found is not None and takes_pixels(port, found):
        pixels = np.arange(256, dtype=np.float32)
        stored = port.stored((pixels - np.float32(found.mean)) / np.float32(found.std))
        np.testing.assert_array_equal(stored, pixels - (128 if dtype == "int8" else 0))


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point"),
    [
        ("uint8", 1.0, 0),
        ("int8", 1.0, -128),
        ("uint8", 1 / 128, 127),
        ("uint8", 1 / 255, 0),
        ("int8", 0.0171247538, -14),
    ],
)
def test_files_of_ours_store_pixels_as_they_are(dtype: str, scale: float, zero_point: int) -> None:
    port = Port(0, (1, 8, 8, 3), dtype, scale, zero_point)
    assert takes_pixels(port, normalization_in(port))


@pytest.mark.parametrize("kind", ["float32", "int8"])
@pytest.mark.parametrize("ends_in", ["logits", "probabilities"])
def test_one_score_a_pixel_is_a_threshold_not_the_only_class(tmp_path: Path, kind: str, ends_in: str) -> None:
    import keras

    pixels = keras.Input((SIZE, SIZE, 3), batch_size=1)
    layer = keras.layers.Conv2D(1, 1)
    x = layer(pixels)
    x = keras.layers.Activation("sigmoid")(x) if ends_in == "probabilities" else x
    model = keras.Model(pixels, x)
    layer.set_weights([np.float32([1, 0, 0]).reshape(1, 1, 3, 1) / 32, np.float32([-100 / 32])])
    path = saved(tmp_path, converted(model, kind=kind))
    foreign = ForeignModel(("other", "red"), normalization=Normalization(0, 1))
    opened = open_predictor(path, foreign=foreign)
    image = frame()
    is_clear = np.abs(image[..., 0].astype(int) - 100) > 3
    assert opened.palette.names == ("other", "red")
    assert np.array_equal(opened.predict(image)[is_clear], (image[..., 0] > 100)[is_clear])
    logits = TFLiteRunner(path, normalization=Normalization(0, 1)).logits(image)
    assert logits.shape == (SIZE, SIZE, 2)
    is_middle = np.abs(image[..., 0].astype(int) - 100) < 80
    expected = (image[..., 0].astype(np.float32) - 100) / 32
    assert np.abs((logits[..., 1] - logits[..., 0] - expected)[is_middle & is_clear]).max() < 0.3


def test_two_scores_of_one_have_its_probability() -> None:
    probabilities = np.float32([0.0, 0.1, 0.5, 0.9, 1.0]).reshape(1, 5, 1)
    logits = of_two(probabilities, are_probabilities=True)
    again = np.exp(logits[..., 1]) / np.exp(logits).sum(axis=-1)
    np.testing.assert_allclose(again, probabilities[..., 0], atol=2e-6)
    assert np.isfinite(logits).all()


def test_open_sizes_are_refused_with_what_to_do(tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    pixels = keras.Input((None, None, 3), batch_size=1)
    model = keras.Model(pixels, keras.layers.Conv2D(2, 1)(pixels))
    path = saved(tmp_path, tf.lite.TFLiteConverter.from_keras_model(model).convert())
    with pytest.raises(ModelError, match="images of any size") as caught:
        TFLiteRunner(path)
    assert "fixed height and width" in (caught.value.hint or "")


@pytest.mark.parametrize("runtime", ["litert", "openvino"])
@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_an_open_batch_is_one_image(tmp_path: Path, kind: str, runtime: str) -> None:
    """Which is what TensorFlow's converter makes of a model as Keras builds it."""
    if runtime == "openvino":
        pytest.importorskip("openvino")
    closed = saved(tmp_path, brightest(kind, 0.0, 255.0))
    (tmp_path / "open").mkdir()
    opened = saved(tmp_path / "open", brightest(kind, 0.0, 255.0, batch=None))
    assert parse_model(opened.read_bytes(), name="open").inputs[0].open_axes == (0,)

    runner = TFLiteRunner(opened, runtime=runtime)
    image = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    np.testing.assert_array_equal(runner.scores(image), TFLiteRunner(closed, runtime=runtime).scores(image))
    np.testing.assert_array_equal(runner.classes(image), image.argmax(-1))


@pytest.mark.parametrize("values", [{"std": 0}, {"std": -1.0}, {"std": float("nan")}, {"mean": float("inf")}])
def test_a_normalization_that_is_none_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        dataclasses.replace(Normalization(), **values)


def test_a_float_file_runs_for_timing_whatever_its_pixels_are(tmp_path: Path) -> None:
    runner = TFLiteRunner(saved(tmp_path, image_model()))
    assert not runner.knows_pixels
    assert runner.classes(frame()).shape == (SIZE, SIZE)


IMAGE = (64, 48)
FULL, OTHER, COARSE, LABEL = (64, 48, 6), (64, 48, 1), (8, 6, 6), (5,)


def among(outputs: dict, wanted: str | None = "") -> int:
    return scores_among(outputs, IMAGE, wanted=wanted, model="net.tflite", option="--output ")


@pytest.mark.parametrize("outputs", [{"a": COARSE}, {"a": FULL}, {"a": LABEL}])
@pytest.mark.parametrize("wanted", ["", "b", None])
def test_the_only_output_is_it(outputs, wanted):
    assert among(outputs, wanted) == 0


@pytest.mark.parametrize("full", [FULL, FULL[:2]])
def test_of_several_it_is_the_one_as_large_as_the_image(full):
    assert among({"aux": COARSE, "label": LABEL, "classes": full}) == 2
    assert among({"classes": full, "turned": (48, 64, 6), "open": (None, None, 6)}) == 0


@pytest.mark.parametrize(("wanted", "place"), [("depth", 1), ("0", 0), ("1", 1), ("2", 0)])
def test_a_wish_is_a_name_before_it_is_a_number(wanted, place):
    assert among({"2": FULL, "depth": OTHER}, wanted) == place


def test_where_any_will_do_none_is_refused():
    assert among({"aux": COARSE, "a": FULL, "b": FULL}, None) == 1
    assert among({"aux": COARSE, "label": LABEL}, None) == 0


def test_where_several_could_be_it_they_are_listed_with_the_option():
    with pytest.raises(ModelError, match=r"`net\.tflite` has 3 outputs, and 2 of them as high and wide") as caught:
        among({"aux": COARSE, "classes": FULL, "depth": OTHER})
    assert "--output 2; it has 0: `aux` 8×6×6, 1: `classes` 64×48×6, 2: `depth` 64×48×1" in caught.value.hint


def test_where_none_could_be_it_all_are_listed():
    with pytest.raises(ModelError, match="none of them as high and wide") as caught:
        among({"aux": COARSE, "open": (None, None, 6)})
    assert "0: `aux` 8×6×6, 1: `open` ?×?×6" in caught.value.hint


@pytest.mark.parametrize("wanted", ["2", "-1", "depths", "²"])
def test_an_output_that_is_not_there_is_an_error(wanted):
    with pytest.raises(ModelError, match=f"no output `{wanted}`") as caught:
        among({"aux": COARSE, "classes": FULL}, wanted)
    assert "1: `classes` 64×48×6" in caught.value.hint
