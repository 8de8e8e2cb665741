"""`rsseg-tf ranges` on a tiny network and generated scenes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import pytest
from keras import layers

from rsseg_tf.cli.main import main
from tests.quantization.networks import randomize

SETTINGS = (
    *("data.name=scenes", "data.scenes.train=3", "data.scenes.val=1", "data.scenes.test=1", "data.scenes.size=64"),
    *("data.input_size=[32, 32]", "export.calibration_samples=5", "evaluate.overlap=0"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    x = inputs = keras.Input((32, 32, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1, name="normalise")(x)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem_conv")(x)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_bn")(x))
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    randomize(keras.Model(inputs, layers.Conv2D(6, 1, name="classifier")(x))).save(path)
    (path.parent / "config.yaml").write_text("{}\n")
    return path


def run(model: Path, out: Path, *words: str) -> int:
    return main(["ranges", str(model), "-o", str(out), *words, *SETTINGS])


@pytest.fixture(scope="module")
def out(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "ranges"
    assert run(model, folder, "--evaluate", "test") == 0
    return folder


def test_the_folder_holds_the_data_and_the_figure_in_two_forms(out):
    assert {path.name for path in out.iterdir()} == {"ranges.json", "ranges.png", "ranges.svg"}


def test_the_data_has_stable_keys_and_says_what_it_was_made_from(out, model):
    record = json.loads((out / "ranges.json").read_text())

    assert list(record) == [
        *("model", "samples", "layers", "tensors", "calibration", "evaluation", "made_from", "versions", "git"),
        "files",
    ]
    assert (record["model"], record["samples"], record["layers"]) == (
        str(model),
        5,
        ["normalise", "stem_conv", "classifier"],
    )
    assert set(record["made_from"]) == {str(model), "data:train"}


def test_a_file_of_the_users_is_not_written_over(model, tmp_path, capsys):
    (tmp_path / "ranges.png").write_text("mine")

    assert run(model, tmp_path) == 2
    assert "ranges.png` is in the way" in capsys.readouterr().err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"ranges.png": "mine"}


def test_float_and_power_of_two_are_scored_on_the_same_pixels(out):
    evaluation = json.loads((out / "ranges.json").read_text())["evaluation"]
    float32, power_of_two = evaluation["float32"], evaluation["power_of_two"]

    assert evaluation["split"] == "test"
    assert sum(map(sum, float32["confusion"])) == sum(map(sum, power_of_two["confusion"])) > 0
    assert float32["confusion"] != power_of_two["confusion"]
    assert abs(float32["accuracy"] - power_of_two["accuracy"]) < 0.1


def test_the_float_score_is_that_of_evaluate(out, model, capsys):
    assert main(["evaluate", str(model), "--split", "test", "--json", *SETTINGS]) == 0
    score = json.loads(capsys.readouterr().out)

    assert json.loads((out / "ranges.json").read_text())["evaluation"]["float32"]["confusion"] == score["confusion"]


def test_json_on_stdout_is_what_the_file_holds(model, tmp_path, capsys):
    assert run(model, tmp_path / "out", "--json") == 0
    printed = json.loads(capsys.readouterr().out)

    assert printed == json.loads((tmp_path / "out" / "ranges.json").read_text())
    assert printed["evaluation"] is None


def test_the_table_names_the_tensors_that_lose_most(model, tmp_path, capsys):
    assert run(model, tmp_path / "out") == 0
    lines = capsys.readouterr().out.splitlines()

    assert [line.split()[:2] for line in lines[1:]] == [["weights", "2"], ["biases", "2"], ["activations", "3"]]
    assert "%  " in lines[3]


def test_an_unknown_split_is_named(model, tmp_path, capsys):
    assert run(model, tmp_path / "out", "--evaluate", "nowhere") in (1, 2)
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_matplotlib_nothing_is_begun(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert run(model, tmp_path / "out") == 2
    assert "rsseg-tf[report]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_keras_model_is_named(model, tmp_path, capsys):
    (tmp_path / "fake.keras").write_text("nothing")

    assert (
        main(
            [
                "ranges",
                str(tmp_path / "fake.keras"),
                "-o",
                str(tmp_path / "out"),
                "-c",
                str(model.parent / "config.yaml"),
            ]
        )
        == 1
    )
    assert "fake.keras" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
