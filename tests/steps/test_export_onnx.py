"""`export-onnx` on a small network, and its file by every runtime that reads it."""

import json

import cv2
import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.inference.runtimes.exchanged import OnnxRunner
from tests.quantization.tiny import segmenter

for package in ("onnx", "tf2onnx", "onnxruntime"):
    pytest.importorskip(package, reason="the extra onnx is not installed")

CONFIG = """
data: {name: scenes, scenes: {train: 2, val: 1, test: 1, size: 64}, input_size: [32, 32]}
export: {calibration_samples: 3, check_samples: 2, max_drop: 100}
evaluate: {overlap: 0}
"""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    segmenter(size=32, classes=6).save(folder / "model.keras")
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def export(workshop, *words, out="model.onnx"):
    return main(["export-onnx", str(workshop / "model.keras"), "-o", str(workshop / out), *words])


@pytest.mark.parametrize(("kind", "least"), [("float32", 0.999), ("float16", 0.98), ("int8", 0.8)])
def test_every_type_agrees_with_keras_and_describes_itself(workshop, kind, least, capsys):
    assert export(workshop, "--type", kind, "data.fitting=crop", out=f"{kind}.onnx") == 0
    assert f"{kind}.onnx: {kind}, " in capsys.readouterr().out
    record = json.loads((workshop / f"{kind}.onnx.json").read_text())
    assert record["agreement"]["argmax"] >= least
    assert (record["calibration"] is not None) == (kind == "int8")
    assert record["deepness"] == ""
    metadata = OnnxRunner(workshop / f"{kind}.onnx").metadata
    assert (metadata.input_size, len(metadata.class_names)) == ((32, 32), 6)


def test_the_file_is_evaluated_and_predicts_by_every_runtime(workshop, tmp_path, capsys):
    assert export(workshop) == 0
    runtimes = ["onnxruntime", "auto"]
    if pytest.importorskip("openvino", reason="openvino is not installed"):
        runtimes.append("openvino")
    capsys.readouterr()
    found = []
    for runtime in runtimes:
        words = ["evaluate", str(workshop / "model.onnx"), "-c", str(workshop / "config.yaml"), "--runtime", runtime]
        assert main([*words, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert {each["runtime"] for each in found} <= {"onnxruntime", "openvino"}
    assert max(each["miou"] for each in found) - min(each["miou"] for each in found) < 0.02
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8))
    assert main(["predict", str(workshop / "model.onnx"), str(image), "-o", str(tmp_path / "maps")]) == 0
    assert list((tmp_path / "maps").iterdir())


def test_a_file_that_loses_more_than_it_may_is_not_written(workshop, capsys):
    assert export(workshop, "--max-drop", "-100", out="lost.onnx") == 3
    assert "mIoU points" in capsys.readouterr().err
    assert not (workshop / "lost.onnx").exists()


def test_what_qgis_cannot_run_is_said(workshop, capsys):
    assert export(workshop, "data.fitting=resize", out="whole.onnx") == 0
    assert "not for QGIS' plugin Deepness: it cuts tiles" in capsys.readouterr().out


def test_other_endings_are_refused(workshop, capsys):
    assert export(workshop, out="model.tflite") == 2
    assert "does not end in .onnx" in capsys.readouterr().err
    assert main(["export-tflite", str(workshop / "model.keras"), "-o", str(workshop / "model.onnx")]) == 2
    assert "use export-onnx" in capsys.readouterr().err
