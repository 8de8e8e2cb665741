"""A model's own splits: what it was trained on must not turn up in what it is scored on, unless somebody is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from rsseg_tf.cli.main import main
from rsseg_tf.config import dump_yaml, load_config
from rsseg_tf.datasets import open_dataset, write_image
from rsseg_tf.steps.ablation.recipes import recipes_of
from rsseg_tf.steps.opening import config_for, open_model
from rsseg_tf.tflite.metadata import embed_metadata
from tests.tflite.networks import METADATA, frame, tiny_model


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """Settings of one flight that nobody has dealt."""
    for number in range(14):
        write_image(tmp_path / f"data/images/{number}.png", frame(number, 20, 20))
        write_image(tmp_path / f"data/masks/{number}.png", np.full((20, 20), number % 4, np.uint8))
    classes = ", ".join(f"{name}: {index}" for index, name in enumerate(METADATA.class_names))
    path = tmp_path / "survey.yaml"
    path.write_text(f"data: {{name: folder, root: {tmp_path / 'data'}, folder: {{classes: {{{classes}}}}}}}\n")
    return path


def trained_by(survey: Path, by: str, kind: str) -> Path:
    """A model that was trained on the survey, dealt so."""
    print_of_train = open_dataset(load_config(survey, [f"data.folder.split_by={by}"]).data).fingerprint("train")
    folder = survey.parent / f"{by}-{kind}"
    folder.mkdir()
    if kind == "tflite":
        metadata = replace(METADATA, hashes={"data": print_of_train})
        (folder / "model.tflite").write_bytes(embed_metadata(tiny_model(), metadata))
    else:
        (folder / "model.keras").write_bytes(b"not opened here")
        (folder / "manifest.json").write_text(json.dumps({"inputs": {"data:train": print_of_train}}))
    return folder / f"model.{kind}"


@pytest.mark.parametrize("kind", ["tflite", "keras"])
@pytest.mark.parametrize(("trained", "now"), [("name", "neighbors"), ("neighbors", "name")])
def test_settings_that_deal_otherwise_than_a_models_are_told(
    survey: Path, trained: str, now: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained_by(survey, trained, kind)
    config_for(model, survey, (f"data.folder.split_by={now}",))
    said = capsys.readouterr().err
    assert f"`{model}` was trained on images dealt by {trained}, these settings deal by {now}" in said
    assert f"data.folder.split_by={trained}" in said
    config_for(model, survey, (f"data.folder.split_by={trained}",))
    assert capsys.readouterr().err == ""


def test_of_other_data_nothing_is_said(survey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = trained_by(survey, "name", "tflite")
    for name in ("images", "masks"):
        (survey.parent / f"data/{name}/0.png").unlink()
    config_for(model, survey)
    config_for(model, survey, ("data.root=none",))
    assert capsys.readouterr().err == ""


def test_evaluate_tells_it_of_every_model(survey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [trained_by(survey, by, "tflite") for by in ("neighbors", "name")]
    assert main(["evaluate", *map(str, models), "-c", str(survey)]) == 0
    said = capsys.readouterr().err
    assert said.count("warning:") == 1
    assert f"`{models[1]}` was trained on images dealt by name" in said


@pytest.mark.parametrize(("own", "now"), [("crop", "resize"), ("resize", "crop")])
def test_another_fitting_than_a_model_learned_from_is_told(
    survey: Path, own: str, now: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained_by(survey, "neighbors", "keras")
    config = load_config(survey, [f"data.fitting={own}"])
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 1)]).save(model)
    model.with_name("config.yaml").write_text(dump_yaml(config))
    monkeypatch.setattr("rsseg_tf.steps.shared.keras_predictor.open_keras_predictor", lambda *_: None)
    open_model(model, load_config(survey, [f"data.fitting={now}"]))
    assert f"was trained with data.fitting={own}, and the settings say {now}" in capsys.readouterr().err
    open_model(model, config)
    open_model(model)
    assert capsys.readouterr().err == ""


def test_an_ablation_does_not_go_on_with_other_splits(survey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One from before images were dealt by neighbors: its record does not say how it dealt, its hash does."""
    run = survey.parent / "ablation/resnet18/seed0/dense"
    run.parent.mkdir(parents=True)
    trained_by(survey, "name", "keras").parent.rename(run)
    record = yaml.safe_load(dump_yaml(recipes_of([load_config(survey)])["resnet18"]))
    del record["data"]["folder"]["split_by"]
    (run / "config.yaml").write_text(yaml.safe_dump(record))
    (survey.parent / "ablation/ablation.json").write_text("{}")
    arguments = ["ablate", "-c", str(survey), "-o", str(survey.parent / "ablation"), "--repeats", "1"]
    assert main(arguments) == 2
    assert "was trained on images dealt by name" in capsys.readouterr().err
