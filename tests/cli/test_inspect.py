from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.tflite.metadata import embed_metadata
from tests.tflite.networks import METADATA, tiny_model
from tests.tflite.without_tensorflow import run_without_tensorflow


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(embed_metadata(tiny_model(), METADATA))
    return path


def write_archive(path: Path) -> None:
    """Write what looks like a `.keras` file to those who do not open it."""
    with zipfile.ZipFile(path, "w") as archive:
        for member in ("config.json", "model.weights.h5"):
            archive.writestr(member, "")


def test_json_keys_are_stable(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == [
        *("model", "file_bytes", "sha256", "partitions", "undelegated", "ops", "float_ops", "params", "macs"),
        *("weight_bytes", "arena_bytes", "micro_arena_bytes", "inputs", "outputs", "metadata", "layers"),
    ]


def test_the_edge_tpus_part_is_there_when_asked_for(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model), "--edgetpu", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert list(facts)[-1] == "edgetpu"
    assert facts["edgetpu"]["maps_fully"]
    assert facts["edgetpu"]["ops_total"] == len(facts["layers"])


def test_a_float_file_is_reported_and_not_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "float32.tflite").write_bytes(tiny_model("float32"))
    assert main(["inspect", str(tmp_path / "float32.tflite"), "--edgetpu"]) == 0
    assert "it works on float32" in capsys.readouterr().out


def test_the_edge_tpu_lint_needs_no_tensorflow(model: Path) -> None:
    done = run_without_tensorflow("inspect", model, "--edgetpu")
    assert (done.returncode, done.stderr) == (0, "")
    assert "operators mapped" in done.stdout


def test_the_edge_tpu_lint_of_a_keras_file_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_archive(tmp_path / "model.keras")
    assert main(["inspect", str(tmp_path), "--edgetpu"]) == 2
    message = capsys.readouterr().err
    assert "model.keras" in message
    assert "export-tflite" in message


def test_it_runs_without_tensorflow_and_leaves_stderr_quiet(model: Path) -> None:
    done = run_without_tensorflow("inspect", model)
    assert (done.returncode, done.stderr) == (0, "")
    assert "CONV_2D" in done.stdout


def test_a_missing_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "none.tflite")]) == 2
    assert "none.tflite" in capsys.readouterr().err


def test_a_damaged_model_is_named(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(model.read_bytes())
    content[-200] ^= 1
    model.write_bytes(content)
    assert main(["inspect", str(model)]) == 1
    assert "tiny.tflite` is damaged" in capsys.readouterr().err


def test_kernels_are_compared_over_images_without_tensorflow(model: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), np.random.default_rng(0).integers(0, 256, (90, 80, 3), dtype=np.uint8))
    done = run_without_tensorflow("inspect", model, "--agree", image, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["samples"], [each["kernels"] for each in found["differences"]]) == (1, ["built-in", "reference"])


@pytest.mark.parametrize(("name", "hint"), [("model.keras", "export-tflite"), ("float32.tflite", "int8 file")])
def test_what_has_no_kernels_to_compare_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, hint: str
) -> None:
    write_archive(tmp_path / "model.keras")
    (tmp_path / "float32.tflite").write_bytes(tiny_model("float32"))
    assert main(["inspect", str(tmp_path / name), "--agree", "image.png"]) in (1, 2)
    assert hint in capsys.readouterr().err
