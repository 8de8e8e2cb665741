"""Exports with quantization-aware training, from the command line to the record beside the file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.cli.main import main
from rsseg_tf.config import load_config
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.models.resnet import conv_bn_relu
from rsseg_tf.quantization.checks import agreement
from rsseg_tf.steps import qat
from rsseg_tf.steps.shared.progress import TrainingProgress
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.metadata import read_metadata
from tests.quantization.qat.networks import small

CLASSES = 6
SETTINGS = (
    "data.name=scenes",
    "data.scenes.train=6",
    "data.scenes.val=3",
    "data.scenes.size=64",
    "data.input_size=[64, 64]",
    "export.calibration_samples=6",
    "export.check_samples=3",
    "export.max_drop=100",
    "export.qat.epochs=1",
    "export.qat.steps_per_epoch=4",
    "export.qat.batch_size=2",
    "export.qat.learning_rate=1e-3",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a small untrained network and its settings."""
    place = tmp_path_factory.mktemp("qat")
    small(shape=(64, 64, 3), classes=CLASSES).save(place / "model.keras")
    (place / "config.yaml").write_text("seed: 1\n")
    return place


def exported(model: Path, out: Path, *settings: str) -> int:
    return main(["export-tflite", str(model), "-o", str(out), "--json", *SETTINGS, *settings])


def agreement_with(student, path: Path, settings: tuple[str, ...] = SETTINGS) -> float:
    """Share of test pixels in which a file and the rounded model that it was made from agree."""
    dataset = open_dataset(load_config(overrides=settings).data, seed=1)
    images = [dataset.read(sample)[0] for sample in dataset.samples("val")]
    runner = TFLiteRunner(path)
    expected = student(np.stack(images).astype(np.float32), training=False).numpy().argmax(-1)
    return float((np.stack([runner.classes(image) for image in images]) == expected).mean())


@pytest.fixture
def students(monkeypatch) -> list:
    """The quantization-aware models that exports convert."""
    kept = []
    convert = qat.convert_student
    monkeypatch.setattr(
        qat, "convert_student", lambda student, **options: kept.append(student) or convert(student, **options)
    )
    return kept


def test_an_int8_qat_file_is_what_was_trained(folder, students, tmp_path, capsys):
    out = tmp_path / "model.tflite"

    assert exported(folder, out, "export.type=int8-qat", "export.qat.learning_rate=3e-2") == 0

    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["type"], result["recovered"]) == ("int8-qat", None)
    assert (result["proof"]["partitions"], result["proof"]["float_ops"]) == (1, [])
    assert result["calibration"]["samples"] == 6
    assert "qat epoch 1/1" in captured.err
    assert read_metadata(out.read_bytes()).notes["type"] == "int8-qat"
    assert agreement_with(students[0], out) >= 0.99


def test_taps_that_never_meet_the_picture_do_not_learn(tmp_path):
    x = image = keras.Input((64, 64, 3), name="image")
    x = conv_bn_relu(layers.Rescaling(1 / 64, -2, name="normalise")(x), 8, 3, stride=2, name="stem")
    x = conv_bn_relu(x, 8, 3, dilation=32, name="wide")
    x = layers.Conv2D(CLASSES, 1, name="classifier")(x)
    model = keras.Model(image, layers.UpSampling2D(2, interpolation="bilinear", name="logits")(x), name="wide")
    model.save(tmp_path / "model.keras")
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    out = tmp_path / "model.tflite"

    assert exported(tmp_path / "model.keras", out, "export.type=int8-qat") == 0

    positions, normalizing = 32 * 32, 64 * 64 * 3 * 3  # the rescaling is a 1×1 convolution there
    macs = sum(op.macs for op in parse_model(out.read_bytes(), name="file").ops if op.name == "CONV_2D")
    assert macs == normalizing + positions * (27 * 8 + 8 * 8 + 8 * CLASSES)


def test_a_file_that_loses_too_much_is_trained_and_both_losses_go_on_record(
    folder, students, monkeypatch, tmp_path, capsys
):
    out, compare, drops = tmp_path / "model.tflite", agreement.compare, [0.5]

    def compared(*arguments, **named) -> agreement.Agreement:
        real = compare(*arguments, **named)
        return agreement.Agreement(3, 0.5, real.miou_keras + drops.pop(), real.miou_tflite) if drops else real

    monkeypatch.setattr(agreement, "compare", compared)

    assert exported(folder, out, "export.recover=qat", "export.max_drop=40") == 0

    result = json.loads(capsys.readouterr().out)
    lost = result["recovered"]["int8"]["drop"]
    assert result["type"] == "int8-qat"
    assert lost > 40
    assert result["recovered"]["won_back"] == pytest.approx(lost - result["agreement"]["drop"])
    assert read_metadata(out.read_bytes()).notes["type"] == "int8-qat"
    assert len(students) == 1
    assert json.loads((tmp_path / "model.tflite.json").read_text())["recovered"] == result["recovered"]


def told_steps(monkeypatch, stop_at: int | None = None) -> list[tuple[int, int]]:
    """Epoch and step of every step that is told of from now on, of which the `stop_at`-th presses Ctrl-C."""
    told: list[tuple[int, int]] = []

    def step(_progress: TrainingProgress, *, epoch: int, step: int, **_others: float) -> None:
        told.append((epoch, step))
        if len(told) == stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingProgress, "step", step)
    return told


def test_a_stopped_export_is_resumed_and_leaves_nothing_but_its_file(folder, students, monkeypatch, tmp_path):
    out, settings = tmp_path / "model.tflite", ("export.type=int8-qat", "export.qat.epochs=2", "fit.checkpoint_steps=1")
    assert exported(folder, tmp_path / "whole.tflite", *settings) == 0
    told_steps(monkeypatch, stop_at=6)
    assert exported(folder, out, *settings) == 130
    assert {path.name for path in tmp_path.iterdir() if "model" in path.name} == {"model.tflite.qat"}

    told = told_steps(monkeypatch)
    assert exported(folder, out, *settings) == 0

    assert told == [(2, 2), (2, 3), (2, 4)]
    assert {path.name for path in tmp_path.iterdir() if "model" in path.name} == {"model.tflite", "model.tflite.json"}
    for ours, theirs in zip(*(student.get_weights() for student in students), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_what_was_trained_for_a_file_that_was_refused_serves_again(folder, students, monkeypatch, tmp_path, capsys):
    out, trained = tmp_path / "model.tflite", ("export.type=int8-qat", "export.qat.learning_rate=1e-1")
    with monkeypatch.context() as poor:
        real = agreement.compare
        poor.setattr(agreement, "compare", lambda *a, **n: replace(real(*a, **n), miou_keras=99.0, miou_tflite=1.0))
        assert exported(folder, out, *trained, "export.max_drop=5") == 3
    assert "export.max_drop to accept it" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"model.tflite.qat"}

    told = told_steps(monkeypatch)
    assert exported(folder, out, *trained, "export.check_samples=2") == 0

    assert told == []
    assert {path.name for path in tmp_path.iterdir()} == {"model.tflite", "model.tflite.json"}
    for ours, theirs in zip(*(student.get_weights() for student in students), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_of_the_recipe_of_fit_only_data_and_loss_count(folder, students, tmp_path):
    how = ("optimizer=sgd", "learning_rate=5", "schedule=step", "warmup_steps=3", "l2=1", "ema=0.9", "accumulate=3")
    for name, words in (("plain", ()), ("other", how)):
        fit = [f"fit.{word}" for word in words]
        assert exported(folder, tmp_path / f"{name}.tflite", "export.type=int8-qat", *fit) == 0

    for ours, theirs in zip(*(student.get_weights() for student in students), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_stopped_export_with_other_settings_begins_anew(folder, monkeypatch, tmp_path):
    out, settings = tmp_path / "model.tflite", ("export.type=int8-qat", "fit.checkpoint_steps=1")
    told_steps(monkeypatch, stop_at=3)
    assert exported(folder, out, *settings) == 130

    told = told_steps(monkeypatch)
    assert exported(folder, out, *settings, "export.qat.learning_rate=1e-4") == 0

    assert told == [(1, 1), (1, 2), (1, 3), (1, 4)]


def test_a_kill_while_an_earlier_state_is_removed_keeps_no_export_from_beginning(folder, monkeypatch, tmp_path):
    out, settings = tmp_path / "model.tflite", ("export.type=int8-qat", "fit.checkpoint_steps=1")
    told_steps(monkeypatch, stop_at=3)
    assert exported(folder, out, *settings) == 130
    unlink = Path.unlink

    def unlink_and_end(path: Path, **options: bool) -> None:
        unlink(path, **options)
        if path.parent.name == "model.tflite.qat":
            raise KeyboardInterrupt

    with monkeypatch.context() as trap:
        trap.setattr(Path, "unlink", unlink_and_end)
        assert exported(folder, out, *settings, "export.qat.learning_rate=1e-4") == 130

    told_steps(monkeypatch)
    assert exported(folder, out, *settings, "export.qat.learning_rate=1e-4") == 0


def test_a_folder_of_others_in_the_place_of_the_state_stays_as_it_is(folder, tmp_path, capsys):
    kept = tmp_path / "model.tflite.qat" / "notes.txt"
    kept.parent.mkdir()
    assert exported(folder, tmp_path / "model.tflite", "export.type=int8-qat") == 0
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")

    assert exported(folder, tmp_path / "model.tflite", "export.type=int8-qat") == 2

    assert "is in the way" in capsys.readouterr().err
    assert kept.read_text() == "mine"


def test_an_export_that_is_stopped_before_its_first_state_leaves_nothing(folder, monkeypatch, tmp_path):
    told_steps(monkeypatch, stop_at=1)

    assert exported(folder, tmp_path / "model.tflite", "export.type=int8-qat") == 130
    assert list(tmp_path.iterdir()) == []


def test_a_good_file_is_not_trained(folder, students, tmp_path, capsys):
    assert exported(folder, tmp_path / "model.tflite", "export.recover=qat") == 0

    result = json.loads(capsys.readouterr().out)
    assert (result["type"], result["recovered"], students) == ("int8", None, [])


def test_a_model_that_cannot_be_bridged_is_an_error_that_names_the_layer(tmp_path, capsys):
    image = layers.Input((64, 64, 3))
    x = layers.GroupNormalization(2, name="grouped")(layers.Conv2D(4, 3, padding="same")(image))
    keras.Model(image, layers.Conv2D(CLASSES, 1)(x)).save(tmp_path / "model.keras")
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    before = set(tmp_path.iterdir())

    assert exported(tmp_path, tmp_path / "out.tflite", "export.type=int8-qat") == 1

    error = capsys.readouterr().err
    assert "`grouped` is a GroupNormalization" in error
    assert "Traceback" not in error
    assert set(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_a_deeplab_trained_on_scenes_becomes_an_int8_qat_file(students, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "model.tflite"
    fitting = ("fit.epochs=4", "fit.steps_per_epoch=10", "fit.batch_size=4", "fit.optimizer=adamw")
    assert main(["fit", "-o", str(run), *SETTINGS, *fitting]) == 0
    capsys.readouterr()

    assert exported(run, out, "export.type=int8-qat", "export.qat.learning_rate=1e-5", "export.max_drop=5") == 0

    result = json.loads(capsys.readouterr().out)
    assert (result["proof"]["partitions"], result["proof"]["float_ops"]) == (1, [])
    assert agreement_with(students[0], out) >= 0.99
