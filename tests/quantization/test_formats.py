"""Every number format keeps its promise, on networks that are not ours as well."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.number_formats import FORMATS
from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.convert import CONVERTERS, convert
from rsseg_tf.quantization.int8 import clipping
from rsseg_tf.quantization.int8.observe import TensorReader
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.tiny import classifier, pixels, pointwise, segmenter

IMAGES = pixels()
LEAST_DB = {"float32": 90, "float16": 50, "dynamic": 30, "int8": 30, "int16x8": 38}
"""Number format → decibels by which the model's logits must be louder than what its file adds to them."""


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return segmenter(filters=16)  # kernels large enough for every format to change them


@pytest.fixture(scope="module")
def files(model, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("formats")
    paths = {name: folder / f"{name}.tflite" for name in CONVERTERS}
    for name, path in paths.items():
        path.write_bytes(convert(model, number_format=name, calibration=IMAGES))
    return paths


def noise_db(path: Path, model: keras.Model) -> float:
    expected = np.asarray(model(IMAGES[0][None].astype(np.float32)))[0]
    return 10 * np.log10(expected.var() / ((TFLiteRunner(path).logits(IMAGES[0]) - expected) ** 2).mean())


def test_every_format_that_no_training_makes_has_a_converter():
    assert set(CONVERTERS) == {name for name, known in FORMATS.items() if not known.trained_from}


@pytest.mark.parametrize("known", FORMATS.values(), ids=FORMATS)
def test_what_a_format_must_hold_it_may_hold(known):
    assert known.must_hold
    assert known.must_hold <= known.activations | known.weights


def test_every_format_keeps_its_promise(files):
    assert {name: proof.prove(path).faults(name) for name, path in files.items()} == {name: [] for name in files}


@pytest.mark.parametrize(("name", "head"), [(name, head) for name in CONVERTERS for head in FORMATS[name].heads])
def test_every_head_that_a_format_names_is_made_and_keeps_the_promise(model, tmp_path, name, head):
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(model, number_format=name, head=head, calibration=IMAGES))

    assert proof.prove(path).faults(name) == []


@pytest.mark.parametrize(
    ("name", "method"), [(name, method) for name in CONVERTERS for method in FORMATS[name].calibration[1:]]
)
def test_every_calibration_method_that_a_format_names_decides_its_ranges(model, files, monkeypatch, name, method):
    monkeypatch.setitem(clipping.METHODS, method, lambda seen: clipping.Range(seen.low / 2, seen.high / 2))

    assert convert(model, number_format=name, calibration=IMAGES, method=method) != files[name].read_bytes()


@pytest.mark.parametrize("claimed", FORMATS)
@pytest.mark.parametrize("made", CONVERTERS)
def test_no_format_passes_for_another(files, made, claimed):
    is_same = claimed == made or FORMATS[claimed].trained_from == made

    assert (proof.prove(files[made]).faults(claimed) == []) == is_same


def test_a_file_that_was_left_as_it_was_is_told_by_what_is_missing(files):
    assert proof.prove(files["float32"]).faults("dynamic") == [
        "nothing in it is int8, as if it had been left as it was"
    ]


def test_a_network_of_small_kernels_alone_keeps_them_float_and_passes(tmp_path):
    (tmp_path / "small.tflite").write_bytes(convert(pointwise(), number_format="dynamic"))
    facts = proof.prove(tmp_path / "small.tflite")

    assert (set(facts.weights), facts.faults("dynamic")) == ({"float32"}, [])


@pytest.mark.parametrize(("size", "kind"), [((31, 33), "float32"), ((32, 32), "int8")])
@pytest.mark.parametrize("layer", ["Conv2D", "Conv2DTranspose", "Dense"])
def test_dynamic_kernels_are_8_bits_from_1024_elements_on(layer, size, kind, tmp_path):
    filters, channels = size
    image = keras.Input((8, 8, channels))
    made = getattr(keras.layers, layer)(*((filters,) if layer == "Dense" else (filters, 1)))(image)
    (tmp_path / "one.tflite").write_bytes(convert(keras.Model(image, made), number_format="dynamic"))
    facts = proof.prove(tmp_path / "one.tflite")

    assert (kind in facts.weights, facts.largest_kernel, facts.faults("dynamic")) == (True, filters * channels, [])


@pytest.mark.parametrize("name", CONVERTERS)
def test_every_format_says_what_the_model_says(files, model, name):
    assert noise_db(files[name], model) > LEAST_DB[name]


def test_int16_activations_lose_less_than_int8_ones(files, model):
    assert noise_db(files["int16x8"], model) > noise_db(files["int8"], model) + 2


def test_int16x8_takes_the_cameras_pixels_exactly(files):
    file = parse_model(files["int16x8"].read_bytes(), name="file")
    first = file.ops[0]

    assert (file.inputs[0].dtype, file.inputs[0].scales.tolist(), file.inputs[0].zero_points.tolist()) == (
        ("uint8", [1.0], [0])
    )
    assert (first.name, first.outputs[0].dtype, first.outputs[0].scales.tolist()) == ("QUANTIZE", "int16", [1 / 128])
    reader = TensorReader(files["int16x8"].read_bytes())
    reader.run(IMAGES[0])
    np.testing.assert_array_equal(reader.tensor(first.outputs[0].index)[0], IMAGES[0].astype(np.int16) * 128)


def test_int16x8_computes_on_no_float_and_scores_in_int16(files):
    facts = proof.prove(files["int16x8"])

    assert (facts.float_ops, facts.partitions) == ((), 0)
    assert set(facts.activations) == {"uint8", "int16"}
    assert parse_model(files["int16x8"].read_bytes(), name="file").outputs[0].dtype == "int16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"head": "classes"}, "`classes`"), ({"method": "mse"}, "`mse`"), ({"calibration": ()}, "calibration images")],
)
def test_what_int16x8_cannot_do_is_said(model, arguments, message):
    with pytest.raises(ConfigError, match=message):
        convert(model, number_format="int16x8", **{"calibration": IMAGES, **arguments})


@pytest.mark.parametrize("name", CONVERTERS)
def test_a_classifier_that_is_not_ours_converts_as_well(name, tmp_path):
    model = classifier()
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(model, number_format=name, calibration=IMAGES))
    file, reader = parse_model(path.read_bytes(), name="file"), TensorReader(path.read_bytes())

    reader.run(IMAGES[0])
    (result,) = file.outputs
    stored = reader.tensor(result.index).astype(np.float64)
    scores = (stored - result.zero_points) * result.scales if result.scales.size else stored

    assert proof.prove(path).faults(name) == []
    np.testing.assert_allclose(scores, model(IMAGES[0][None].astype(np.float32)), atol=0.02)


@pytest.mark.parametrize("name", ["float32", "int8", "int16x8"])
def test_an_operation_that_tflite_does_not_have_is_named_with_its_layer(name):
    image = keras.Input((24, 24, 3))
    model = keras.Model(image, keras.layers.Resizing(48, 48, interpolation="bicubic", name="enlarge")(image))

    with pytest.raises(ModelError, match=r"no operator ResizeBicubic.*enlarge") as caught:
        convert(model, number_format=name, calibration=IMAGES)
    assert "\n" not in caught.value.message
