from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.inference.predict import open_predictor
from rsseg_tf.tflite.metadata import embed_metadata
from tests.tflite.networks import METADATA, frame, tiny_model
from tests.tflite.without_tensorflow import run_without_tensorflow

SCENES = ("data.scenes.size=64", "data.scenes.test=1")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with a model, its settings and a data set whose masks are the model's own predictions."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.tflite").write_bytes(embed_metadata(tiny_model(), METADATA))
    predictor = open_predictor(folder / "model.tflite")
    lines = ["image,mask,split"]
    for number in range(2):
        image = frame(number, 50, 40)
        write_image(tmp_path / f"data/{number}.png", image)
        write_image(tmp_path / f"data/{number}_mask.png", predictor.predict(image))
        lines.append(f"{number}.png,{number}_mask.png,test")
    (tmp_path / "data/pairs.csv").write_text("\n".join(lines) + "\n")
    classes = ", ".join(f"{name}: {index}" for index, name in enumerate(METADATA.class_names))
    settings = f"{{name: folder, root: {tmp_path / 'data'}, folder: {{pairs: pairs.csv, classes: {{{classes}}}}}}}"
    (folder / "config.yaml").write_text(f"data: {settings}\nevaluate: {{overlap: {METADATA.overlap}}}\n")
    return folder


def test_a_model_scores_one_on_its_own_predictions(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["accuracy"], result["miou"], result["boundary_f1"], result["images"]) == (1.0, 1.0, 1.0, 2)
    assert np.sum(result["confusion"]) == 2 * 50 * 40


def test_it_runs_without_tensorflow_and_leaves_stderr_quiet(run: Path) -> None:
    done = run_without_tensorflow("evaluate", run / "model.tflite", "-c", run / "config.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:5]] == list(METADATA.class_names)


def test_a_setting_on_the_command_line_counts(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "evaluate.overlap=-1"]) == 2
    assert "overlap" in capsys.readouterr().err


def test_another_number_of_classes_is_an_error_with_both_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "data.name=scenes", *SCENES]) == 1
    message = capsys.readouterr().err
    assert "4 classes" in message
    assert "6 (" in message


def test_an_unknown_split_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--split", "night"]) == 1
    assert "night" in capsys.readouterr().err


def test_a_model_without_settings_asks_for_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bare.tflite").write_bytes(tiny_model())
    assert main(["evaluate", str(tmp_path / "bare.tflite")]) == 2
    assert "-c FILE" in capsys.readouterr().err


def test_several_models_are_compared_on_the_same_pixels(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = run / "other.tflite"
    other.write_bytes(embed_metadata(tiny_model("float32"), METADATA))
    assert main(["evaluate", str(run), str(other), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    first, second = result["models"]
    assert [each["model"] for each in result["models"]] == [str(run / "model.tflite"), str(other)]
    assert len({first["sha256"], second["sha256"]}) == 2
    assert first["data_sha256"] == second["data_sha256"]
    (difference,) = result["differences"]
    assert difference["difference"] == pytest.approx(second["miou"] - first["miou"])
    assert difference["low"] <= difference["difference"] <= difference["high"] <= 0


def test_settings_alone_are_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "evaluate.overlap=3"]) == 2
    assert "name a file" in capsys.readouterr().err
