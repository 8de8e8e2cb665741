"""Networks from elsewhere with several outputs, from the Keras file to the map: the one that is meant, no other."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from rsseg_tf.cli.main import main
from rsseg_tf.config import load_config
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.models import load_keras_model, load_segmenter
from rsseg_tf.steps.opening import open_model

SIZE, CLASSES = 32, 6
CONFIG = """
data: {name: scenes, scenes: {train: 2, val: 1, test: 1, size: 64}, input_size: [32, 32]}
export: {calibration_samples: 3, check_samples: 2, max_drop: 100}
prune: {loops: 2, batches: 1, macs: 0.7, min_channels: 2, round_to: 2, retrain: {epochs: 0, batch_size: 2}}
evaluate: {overlap: 0}
"""


def network(kind: str) -> keras.Model:
    """Return a network with two outputs, of which `main` is the segmentation."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    fine = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="fine")(x)
    coarse = keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="coarse")(fine)
    large = keras.layers.UpSampling2D(interpolation="bilinear")(coarse)
    main_ = keras.layers.Conv2D(CLASSES, 1, name="main")(keras.layers.Concatenate()([large, fine]))
    deep = keras.layers.Conv2D(CLASSES, 1, name="deep")(large)
    aux = keras.layers.Conv2D(CLASSES, 1, name="aux")(coarse)
    sure = keras.layers.Conv2D(1, 1, activation="sigmoid", name="sure")(fine)
    outputs = {
        "auxiliary": [aux, main_],
        "deep": [deep, main_],
        "named": {"a_map": aux, "classes": main_},
        "first": [main_, sure],
    }
    return keras.Model(image, outputs[kind], name=kind)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    (folder / "config.yaml").write_text(CONFIG)
    for kind in ("auxiliary", "deep", "named", "first"):
        model = network(kind)
        model.save(folder / f"{kind}.keras")
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        (folder / f"{kind}.tflite").write_bytes(converter.convert())
    cv2.imwrite(str(folder / "image.png"), frame()[..., ::-1])
    return folder


def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def expected(folder: Path, kind: str, name: str = "main") -> np.ndarray:
    """Return what the layer `name` makes of the frame."""
    model = load_keras_model(folder / f"{kind}.keras")
    inner = keras.Model(model.inputs[0], model.get_layer(name).output)
    return np.asarray(inner(frame()[None].astype(np.float32)))[0]


@pytest.mark.parametrize(("kind", "output"), [("auxiliary", ""), ("named", ""), ("deep", "main"), ("first", "0")])
def test_a_keras_file_gives_the_output_that_is_meant_and_only_what_leads_to_it(folder, kind, output):
    model = load_segmenter(folder / f"{kind}.keras", output=output)
    assert len(model.outputs) == 1
    assert {layer.name for layer in model.layers} & {"deep", "aux", "sure"} == set()
    np.testing.assert_array_equal(np.asarray(model(frame()[None].astype(np.float32)))[0], expected(folder, kind))


RUNTIMES = [
    "litert",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed"),
    ),
]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("kind", "output"), [("auxiliary", ""), ("named", ""), ("deep", "1"), ("first", "0")])
def test_a_tflite_file_gives_the_output_that_is_meant(folder, kind, output, runtime):
    runner = TFLiteRunner(folder / f"{kind}.tflite", runtime=runtime, output=output)
    atol = 1e-4 if runtime == "litert" else 0.02  # OpenVINO computes in bfloat16 where the processor has it
    np.testing.assert_allclose(runner.logits(frame()), expected(folder, kind), atol=atol)


def test_one_output_may_hold_probabilities_and_another_not(folder):
    scores = TFLiteRunner(folder / "first.tflite", output="0").logits(frame())
    np.testing.assert_allclose(scores, expected(folder, "first"), atol=1e-4)
    sure = TFLiteRunner(folder / "first.tflite", output="1").logits(frame())
    probability = 1 / (1 + np.exp(sure[..., 0] - sure[..., 1]))
    np.testing.assert_allclose(probability, expected(folder, "first", "sure")[..., 0], atol=1e-4)


def test_export_prune_and_evaluate_take_the_output_of_the_settings(folder, tmp_path, capsys):
    model, words = str(folder / "deep.keras"), ["model.output=main"]
    exported, slim = str(tmp_path / "deep.tflite"), tmp_path / "slim"
    assert main(["export-tflite", model, "-o", exported, "export.type=float32", *words]) == 0
    np.testing.assert_allclose(TFLiteRunner(exported).logits(frame()), expected(folder, "deep"), atol=1e-4)

    assert main(["prune", model, "-c", str(folder / "config.yaml"), "-o", str(slim), *words]) == 0
    pruned = load_keras_model(slim / "model.keras")
    assert [output.shape[-1] for output in pruned.outputs] == [CLASSES]
    assert pruned.count_params() < load_segmenter(folder / "deep.keras", output="main").count_params()

    capsys.readouterr()
    assert main(["evaluate", model, exported, str(slim), "--json", *words]) == 0
    keras_file, tflite_file, _ = json.loads(capsys.readouterr().out)["models"]
    assert keras_file["confusion"] == tflite_file["confusion"]


def test_predict_takes_it_as_an_option(folder, tmp_path):
    words = ["--output", "1", "--std", "1"]
    assert main(["predict", str(folder / "deep.tflite"), str(folder / "image.png"), "-o", str(tmp_path), *words]) == 0
    classes = cv2.imread(str(tmp_path / "image_classes.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(classes, expected(folder, "deep").argmax(-1))


@pytest.mark.parametrize("command", ["evaluate", "export-tflite"])
def test_a_keras_file_whose_output_is_not_clear_is_refused_with_the_setting(folder, command, capsys):
    assert main([command, str(folder / "deep.keras")]) == 1
    assert "model.output=1; it has 0: `deep` 32×32×6, 1: `main` 32×32×6" in capsys.readouterr().err


def test_a_tflite_file_whose_output_is_not_clear_is_refused_with_the_option(folder, capsys):
    model = str(folder / "deep.tflite")
    assert main(["evaluate", model, "-c", str(folder / "config.yaml"), "--std", "1"]) == 1
    assert "--output 1; it has 0: `" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["keras", "tflite"])
def test_what_takes_time_is_no_matter_of_the_output(folder, ending):
    assert main(["benchmark", str(folder / f"deep.{ending}"), "--repeats", "1", "--warmup", "0"]) == 0


def test_fit_has_no_outputs_to_choose_from(folder, tmp_path, capsys):
    words = ["-c", str(folder / "config.yaml"), "-o", str(tmp_path / "run"), "model.output=main"]
    assert main(["fit", *words]) == 2
    assert "for networks from elsewhere" in capsys.readouterr().err


def test_python_takes_it_too(folder):
    config = load_config(folder / "config.yaml", ("model.output=main",))
    classes = open_model(folder / "deep.keras", config).predict(frame())
    np.testing.assert_array_equal(classes, expected(folder, "deep").argmax(-1))
