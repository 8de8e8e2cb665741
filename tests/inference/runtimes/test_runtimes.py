"""One file by several runtimes: the same classes, and one error for what cannot be."""

import importlib.util

import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.errors import ConfigError, MissingExtraError, ModelError
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.inference.runtimes.choice import RUNTIMES, runtime_for
from rsseg_tf.inference.runtimes.exchanged import OnnxRunner
from rsseg_tf.inference.runtimes.opening import open_runner


def needs(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


def image_for(runner):
    return np.random.default_rng(0).integers(0, 256, (*runner.input_size, runner.num_bands), dtype=np.uint8)


@needs("openvino")
@pytest.mark.parametrize("name", ["int8.tflite", "float32.tflite", "sealed.tflite"])
def test_openvino_says_what_litert_says(models, name):
    usual, other = TFLiteRunner(models / name), TFLiteRunner(models / name, runtime="openvino")
    image = image_for(usual)
    assert (usual.runtime, other.runtime) == ("litert", "openvino")
    assert (usual.classes(image) == other.classes(image)).mean() > 0.95
    assert np.abs(usual.logits(image) - other.logits(image)).max() <= 3 * max(usual.score_unit, 1e-3)
    assert other.partitions() == (1, [])


@needs("openvino")
def test_results_stay_when_the_next_image_comes(models):
    runner = TFLiteRunner(models / "int8.tflite", runtime="openvino")
    image = image_for(runner)
    kept = runner.scores(image)
    before = kept.copy()
    runner.scores(255 - image)
    np.testing.assert_array_equal(kept, before)


@needs("openvino")
def test_auto_takes_what_is_installed_and_says_it(models, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert TFLiteRunner(models / "int8.tflite", runtime="auto").runtime == "openvino"
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert TFLiteRunner(models / "int8.tflite", runtime="auto").runtime == "litert"


def without(monkeypatch, *packages):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in packages else found(name))


def test_auto_does_with_the_base_installation(models, monkeypatch):
    without(monkeypatch, "openvino", "onnxruntime")
    assert TFLiteRunner(models / "int8.tflite", runtime="auto").runtime == "litert"


@pytest.mark.parametrize(
    ("file", "asked"), [("a.tflite", "openvino"), ("a.onnx", "openvino"), ("a.onnx", "onnxruntime")]
)
def test_a_runtime_that_is_not_installed_names_its_extra(tmp_path, monkeypatch, file, asked):
    without(monkeypatch, "openvino", "onnxruntime")
    with pytest.raises(MissingExtraError) as caught:
        runtime_for(tmp_path / file, asked)
    assert caught.value.hint == f"pip install 'rsseg-tf[{asked}]'"


@pytest.mark.parametrize(
    ("file", "asked"), [("a.tflite", "onnxruntime"), ("a.onnx", "litert"), ("a.tflite", "tensorrt")]
)
def test_a_runtime_that_does_not_read_the_file_is_an_error(tmp_path, file, asked):
    with pytest.raises(ConfigError) as caught:
        runtime_for(tmp_path / file, asked)
    assert "auto" in caught.value.hint


@pytest.mark.parametrize("runtime", [name for name in RUNTIMES if name != "litert"])
def test_an_onnx_file_that_is_none_is_an_error(tmp_path, runtime):
    pytest.importorskip(runtime, reason=f"{runtime} is not installed")
    (tmp_path / "text.onnx").write_text("no model at all")
    with pytest.raises(ModelError, match=r"text\.onnx"):
        OnnxRunner(tmp_path / "text.onnx", runtime=runtime)
    with pytest.raises(ModelError, match="cannot read the model"):
        OnnxRunner(tmp_path / "missing.onnx", runtime=runtime)


@needs("openvino")
def test_a_delegate_is_litert_alone(models, tmp_path):
    with pytest.raises(ConfigError, match="openvino takes no delegate"):
        TFLiteRunner(models / "int8.tflite", runtime="openvino", delegate=tmp_path / "lib.so")
    with pytest.raises(ConfigError, match="no delegates"):
        open_runner(tmp_path / "a.onnx", delegate=tmp_path / "lib.so")


@needs("openvino")
def test_benchmark_sets_runtimes_side_by_side(models, capsys):
    words = ["--runtime", "litert", "--runtime", "openvino", "--repeats", "2", "--warmup", "0"]
    assert main(["benchmark", str(models / "sealed.tflite"), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [("(openvino)" in line) for line in lines[1:3]] == [False, True]


def test_a_keras_model_has_no_runtime(tmp_path, capsys):
    import zipfile

    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for member in ("config.json", "model.weights.h5"):
            archive.writestr(member, "")
    (tmp_path / "config.yaml").write_text("data: {name: scenes}")
    assert main(["evaluate", str(tmp_path / "model.keras"), "--runtime", "auto"]) == 2
    assert "export it first" in capsys.readouterr().err
