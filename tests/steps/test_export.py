"""`export-tflite` on a small network: types, calibration methods, layer errors, layers kept float."""

from __future__ import annotations

import json
import typing
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from rsseg_tf.cli.main import main
from rsseg_tf.config import ExportConfig
from rsseg_tf.number_formats import FORMATS, HEADS
from rsseg_tf.quantization.checks.proof import prove
from rsseg_tf.quantization.int8.clipping import METHODS
from rsseg_tf.tflite.flatbuffer import read_model
from rsseg_tf.tflite.metadata import read_metadata
from tests.quantization.tiny import segmenter

CONFIG = """
data: {name: scenes, scenes: {train: 2, val: 1, test: 1, size: 64}, input_size: [32, 32]}
export: {calibration_samples: 3, check_samples: 2, max_drop: 100}
evaluate: {overlap: 0}
"""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    segmenter(size=32, classes=6).save(folder / "model.keras")
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def export(workshop: Path, *words: str, out: str = "model.tflite") -> int:
    return main(["export-tflite", str(workshop / "model.keras"), "-o", str(workshop / out), *words])


def record(workshop: Path, out: str = "model.tflite") -> dict:
    return json.loads((workshop / f"{out}.json").read_text())


def test_layer_errors_are_listed_and_recorded(workshop, capsys):
    assert export(workshop, "--layer-error", "2") == 0

    listed = capsys.readouterr().out.split("\n\n")[1].splitlines()
    errors = record(workshop)["layer_errors"]
    local = [error["local_db"] for error in errors]
    assert [line.split()[0] for line in listed] == ["layer", errors[0]["layer"], errors[1]["layer"]]
    assert local == sorted(local)
    assert {"first_relu", "second_relu", "add", "third_relu", "classifier"} <= {error["layer"] for error in errors}


def test_the_file_runs_by_other_kernels_too(workshop, capsys):
    assert export(workshop) == 0
    assert "reference kernels, not xnnpack: " in capsys.readouterr().out
    assert [each["kernels"] for each in record(workshop)["kernels"]["differences"]] == ["built-in", "reference"]
    assert export(workshop, "export.type=float32", out="float.tflite") == 0
    assert record(workshop, "float.tflite")["kernels"] is None


def test_kernels_that_part_fail_the_export_and_name_the_operator(workshop, capsys):
    assert export(workshop, "export.kernel_steps=0", out="parted.tflite") == 3
    assert "differs by 1 step between the xnnpack and the reference kernels, 0 allowed" in capsys.readouterr().err
    assert not (workshop / "parted.tflite").exists()


def test_the_input_and_the_output_have_names(workshop):
    assert export(workshop, "export.head=classes", out="named.tflite") == 0
    native = Interpreter(model_path=str(workshop / "named.tflite"))
    assert native.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["classes"]}}


def test_without_being_asked_no_error_is_measured(workshop):
    assert export(workshop) == 0
    assert (record(workshop)["layer_errors"], record(workshop)["keep_float"]) == ([], [])


def test_layers_kept_float_are_the_only_float_ones_and_are_recorded(workshop):
    assert export(workshop, "--keep-float", "1") == 0

    made = record(workshop)
    assert made["keep_float"]
    assert made["proof"]["float_ops"]
    assert made["proof"]["partitions"] >= 1
    assert any(op.name == "CONV_2D" and not op.is_float for op in read_model(workshop / "model.tflite").ops)


def choices(setting: str) -> tuple[str, ...]:
    """What `export.{setting}` can be."""
    return typing.get_args(typing.get_type_hints(ExportConfig)[setting])


def test_every_choice_of_a_setting_is_a_row_of_its_table():
    assert set(choices("type")) == set(FORMATS)
    assert set(choices("head")) == set(HEADS)
    assert set(choices("calibration_method")) == set(METHODS)


@pytest.mark.parametrize("number_format", choices("type"))
def test_every_type_becomes_a_file_that_keeps_its_promise(workshop, number_format):
    shortest = ("export.qat.epochs=1", "export.qat.steps_per_epoch=1", "export.qat.batch_size=1")

    assert export(workshop, f"export.type={number_format}", *shortest, out=f"{number_format}.tflite") == 0

    made = record(workshop, f"{number_format}.tflite")
    assert prove(workshop / f"{number_format}.tflite").faults(number_format) == []
    assert made["type"] == number_format
    methods = FORMATS[number_format].calibration
    assert (made["calibration"] or {"method": None})["method"] == (methods[0] if methods else None)


@pytest.mark.parametrize("method", choices("calibration_method"))
def test_the_calibration_method_is_recorded_in_the_file_too(workshop, method):
    assert export(workshop, f"export.calibration_method={method}") == 0

    metadata = read_metadata((workshop / "model.tflite").read_bytes())
    assert record(workshop)["calibration"]["method"] == method
    assert metadata is not None
    assert metadata.notes["calibration"]["method"] == method


def test_equalized_and_corrected_files_are_proven_like_any_other(workshop):
    words = ["export.equalize=true", "export.bias_correction=true", "export.rounding=nearest"]
    assert export(workshop, *words) == 0

    assert (record(workshop)["proof"]["partitions"], record(workshop)["proof"]["float_ops"]) == (1, [])
    assert record(workshop)["agreement"]["argmax"] > 0.95


def test_how_weights_were_rounded_is_recorded_and_shows_in_the_kernels_alone(workshop):
    kernels = {}
    for rounding in ("gptq", "nearest"):
        out = f"{rounding}.tflite"
        assert export(workshop, f"export.rounding={rounding}", out=out) == 0
        assert record(workshop, out)["calibration"]["rounding"] == rounding
        convolutions = [op for op in read_model(workshop / out).ops if op.name == "CONV_2D"]
        kernels[rounding] = [(op.inputs[1].values(), op.inputs[1].scales) for op in convolutions]
    for (ours, steps), (nearest, same) in zip(*kernels.values(), strict=True):
        np.testing.assert_allclose(steps, same, rtol=1e-6)
        assert 0 < np.abs(ours.astype(int) - nearest).max() < 30
    assert export(workshop, out="usual.tflite") == 0
    assert record(workshop, "usual.tflite")["sha256"] == record(workshop, "gptq.tflite")["sha256"]


def test_an_int16x8_file_is_made_and_evaluated(workshop, capsys):
    assert export(workshop, "export.type=int16x8", out="wide.tflite") == 0
    capsys.readouterr()

    assert record(workshop, "wide.tflite")["agreement"]["argmax"] > 0.97
    config = str(workshop / "config.yaml")
    assert main(["evaluate", str(workshop / "wide.tflite"), "-c", config, "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 1
    assert main(["inspect", str(workshop / "wide.tflite"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["float_ops"] == []


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--keep-float", "1", "export.type=float32"], "export.keep_float"),
        (["--layer-error", "1", "export.type=int16x8"], "export.layer_error"),
        (["export.equalize=true", "export.type=dynamic"], "export.equalize"),
        (["--keep-float", "-1"], "export.keep_float"),
        (["export.calibration_method=guess"], "calibration_method"),
        (["export.type=int16x8", "export.head=classes"], "int16x8"),
        (["export.type=int16x8", "export.calibration_method=mse"], "min-max"),
        (["export.type=float32", "export.calibration_method=mse"], "calibration_method=mse` is for int8 files"),
        (["export.type=float32", "--recover", "qat"], "export.recover=qat` is for int8 files"),
        (["export.type=int8-qat", "--recover", "qat"], "export.recover=qat` is for int8 files"),
        (["export.type=dynamic", "--for", "edgetpu"], "export.target=edgetpu` is for int8 and int8-qat files"),
    ],
)
def test_what_does_not_go_together_is_said(workshop, capsys, words, named):
    assert export(workshop, *words, out="never.tflite") == 2
    assert named in capsys.readouterr().err
    assert not (workshop / "never.tflite").exists()


def test_too_few_windows_to_calibrate_on_are_told(workshop, capsys):
    assert export(workshop) == 0
    assert "only" not in capsys.readouterr().out
    assert export(workshop, "export.calibration_samples=500") == 0
    assert "calibrated on only 8 training windows, 500 were asked for" in capsys.readouterr().out


def test_a_tflite_file_is_not_exported_again(workshop, capsys):
    assert export(workshop) == 0
    words = ["-c", str(workshop / "config.yaml"), "-o", str(workshop / "again.tflite")]
    assert main(["export-tflite", str(workshop / "model.tflite"), *words]) == 1
    assert "is a TFLite file already" in capsys.readouterr().err


def test_a_file_that_loses_more_than_it_may_is_not_written(workshop, capsys):
    assert export(workshop, "--max-drop", "-100", "--recover", "none", out="lossy.tflite") == 3
    assert "mIoU" in capsys.readouterr().err
    assert not (workshop / "lossy.tflite").exists()
    assert export(workshop, "--max-drop", "100", out="lossy.tflite") == 0
