"""Vela's own words about an int8 file, by our layers' names."""

import importlib.util
import json

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.cli.main import main
from rsseg_tf.errors import CheckFailedError, MissingExtraError, ModelError
from rsseg_tf.quantization.convert import convert
from rsseg_tf.quantization.ethosu.enlarging import suited_to_ethosu
from rsseg_tf.tflite.ethosu.vela import estimate, format_vela, require_installed, require_on_npu
from tests.quantization.networks import randomize

needs_vela = pytest.mark.skipif(importlib.util.find_spec("ethosu") is None, reason="the extra ethosu is not installed")
NAMES = ["image", "normalise", "stem", "logits"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vela")
    x = inputs = keras.Input((32, 32, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1, name="normalise")(x)
    x = layers.Conv2D(4, 3, strides=4, padding="same", name="stem")(x)
    model = randomize(keras.Model(inputs, layers.UpSampling2D(4, interpolation="bilinear", name="logits")(x)))
    images = list(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    (folder / "plain.tflite").write_bytes(convert(model, calibration=images))
    (folder / "steps.tflite").write_bytes(convert(suited_to_ethosu(model, "ethos-u55"), calibration=images))
    (folder / "float32.tflite").write_bytes(convert(model, number_format="float32"))
    return folder


@needs_vela
def test_an_enlargement_by_four_is_left_to_the_processor_and_in_steps_it_is_not(files):
    plain = estimate(files / "plain.tflite", "ethos-u55-256", layer_names=NAMES)
    assert plain.on_cpu == ("ResizeBilinear of logits",)
    with pytest.raises(CheckFailedError, match="ResizeBilinear of logits"):
        require_on_npu(plain)
    steps = estimate(files / "steps.tflite", "ethos-u55-256", layer_names=NAMES)
    require_on_npu(steps)
    assert steps.on_cpu == ()
    assert {each.layer for each in steps.layers} <= set(NAMES)
    assert 0.9 < sum(each.share for each in steps.layers) <= 1.1


@needs_vela
def test_text_says_cycles_and_what_is_left_out(files):
    text = format_vela(estimate(files / "plain.tflite", "ethos-u55-256", layer_names=NAMES).record())
    assert "M cycles" in text
    assert "operators on the CPU: ResizeBilinear of logits" in text


@needs_vela
def test_inspect_prints_it(files, capsys):
    assert main(["inspect", str(files / "steps.tflite"), "--ethosu", "ethos-u85-256", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["accelerator"], found["on_cpu"]) == ("ethos-u85-256", [])


@needs_vela
def test_a_file_that_is_none_is_an_error(tmp_path):
    (tmp_path / "text.tflite").write_text("no model")
    with pytest.raises(ModelError, match="not a TFLite model"):
        estimate(tmp_path / "text.tflite", "ethos-u55-256")


def test_without_vela_the_extra_is_named(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ethosu" else found(name))
    with pytest.raises(MissingExtraError) as caught:
        require_installed()
    assert caught.value.hint == "pip install 'rsseg-tf[ethosu]'"
