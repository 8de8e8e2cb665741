"""Any trained model teaches another of the same classes, bands and input size, in `fit` and in a retraining."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.config import load_config
from rsseg_tf.datasets.catalog import open_dataset, palette_of
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.models.weights.pretrained import load_keras_model
from rsseg_tf.pruning import randomize
from rsseg_tf.runs import file_hash
from rsseg_tf.steps.fit import fit
from rsseg_tf.steps.shared.model_classes import keep_classes
from rsseg_tf.steps.shared.progress import TrainingProgress
from rsseg_tf.steps.shared.teaching import OwnTeacher
from tests.steps.test_resume import Stop
from tests.steps.test_whole_job import SETTINGS

WORDS = (
    *SETTINGS,
    "model.width=0.25",
    "fit.epochs=2",
    "fit.checkpoint_steps=1",
    "fit.deterministic=true",
    "prune.retrain.deterministic=true",
    "prune.retrain.checkpoint_steps=1",
)
PALETTE = palette_of(load_config(overrides=SETTINGS).data)
ORDER = (3, 0, 1, 2, *range(4, PALETTE.num_classes))


def written(
    path: Path, palette: Palette | None = PALETTE, *, classes=PALETTE.num_classes, shape=(64, 64, 3), pixel_m=0.0
) -> Path:
    """Return a teacher of another network than the student, whose logits all differ."""
    model = deeplab_v3_plus("efficientnet_lite0", classes, shape, width=0.25)
    randomize(model)
    model.save(path)
    if palette:
        keep_classes(path, palette, pixel_m=pixel_m)
    return path


def renumbered(path: Path, order: tuple[int, ...]) -> Path:
    """Return a file of the same teacher with its classes in another order."""
    model = load_keras_model(path)
    classifier = model.get_layer("classifier")
    classifier.set_weights([array[..., list(order)] for array in classifier.get_weights()])
    other = path.with_name("renumbered.keras")
    model.save(other)
    keep_classes(other, Palette(*(tuple(part[each] for each in order) for part in (PALETTE.names, PALETTE.colors))))
    return other


def weights(run: Path) -> list[np.ndarray]:
    return load_keras_model(run / "model.keras").get_weights()


def are_same(run: Path, other: Path) -> bool:
    return all(np.array_equal(ours, theirs) for ours, theirs in zip(weights(run), weights(other), strict=True))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("teacher") / "teacher.keras")


@pytest.fixture(scope="module")
def taught(teacher, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "taught"
    assert main(["fit", "-o", str(run), *WORDS, f"fit.distill.teacher={teacher}"]) == 0
    return run


def test_a_network_learns_from_a_teacher_of_another_kind_and_the_run_says_from_which(taught, teacher, tmp_path):
    assert main(["fit", "-o", str(tmp_path / "alone"), *WORDS]) == 0

    assert not are_same(taught, tmp_path / "alone")
    inputs, alone = (json.loads((run / "manifest.json").read_text())["inputs"] for run in (taught, tmp_path / "alone"))
    assert inputs.pop(f"teacher:{teacher}") == file_hash(teacher)
    assert inputs == alone  # the data's fingerprint is of the data alone
    assert file_hash(teacher) in (taught / "config.yaml").read_text()


@pytest.mark.parametrize(("learned", "is_warned"), [(0.25, False), (0.3, False), (1.0, True), (0.0, False)])
def test_a_teacher_of_pixels_of_another_size_is_warned_of(learned, is_warned, tmp_path, capsys):
    path = written(tmp_path / "teacher.keras", pixel_m=learned)
    config = load_config(overrides=[*WORDS, "data.ground_sampling_distance_m=0.25", f"fit.distill.teacher={path}"])
    known = OwnTeacher.of(config.fit.distill, section="fit.distill", out=tmp_path / "run")
    known.warn_of_pixels(config, open_dataset(config.data))
    said = capsys.readouterr().err
    assert (f"`{path}` learned from pixels of 1 m, those of the data are 0.25 m" in said) == is_warned
    assert bool(said) == is_warned


def test_without_weight_the_teacher_is_not_asked(tmp_path):
    words = [*WORDS, "fit.epochs=1"]
    assert main(["fit", "-o", str(tmp_path / "alone"), *words]) == 0
    assert main(["fit", "-o", str(tmp_path / "off"), *words, "fit.distill.teacher=gone", "fit.distill.weight=0"]) == 0

    assert are_same(tmp_path / "alone", tmp_path / "off")


def test_classes_are_taken_by_name(taught, teacher, tmp_path):
    other = renumbered(teacher, ORDER)

    assert main(["fit", "-o", str(tmp_path / "run"), *WORDS, f"fit.distill.teacher={other}"]) == 0

    for ours, theirs in zip(weights(tmp_path / "run"), weights(taught), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_killed_training_goes_on_to_the_same_weights(taught, teacher, tmp_path, monkeypatch):
    command = ["fit", "-o", str(tmp_path / "run"), *WORDS, f"fit.distill.teacher={teacher}"]
    with monkeypatch.context() as patched:
        patched.setattr(TrainingProgress, "step", Stop(at=3))
        assert main(command) == 130
    assert main(command) == 0

    assert are_same(tmp_path / "run", taught)


def test_a_stopped_training_does_not_go_on_with_another_teacher(teacher, tmp_path, monkeypatch, capsys):
    copy = tmp_path / "teacher.keras"
    copy.write_bytes(teacher.read_bytes())
    command = ["fit", "-o", str(tmp_path / "run"), *WORDS, f"fit.distill.teacher={copy}"]
    with monkeypatch.context() as patched:
        patched.setattr(TrainingProgress, "step", Stop(at=2))
        assert main(command) == 130
    renumbered(teacher, ORDER).replace(copy)

    assert main(command) == 2
    assert "other settings" in capsys.readouterr().err


@pytest.mark.slow
def test_a_retraining_and_its_control_learn_from_the_teacher_that_is_named(taught, teacher, tmp_path):
    words = ["prune.control=teacher", "prune.loops=1", "prune.retrain.epochs=1"]
    own, dense = tmp_path / "own", tmp_path / "dense"
    assert main(["prune", str(taught), "-o", str(own), *words, f"prune.distill.teacher={teacher}"]) == 0
    assert main(["prune", str(taught), "-o", str(dense), *words]) == 0

    for name in ("", "control-teacher"):
        inputs = json.loads((own / name / "manifest.json").read_text())["inputs"]
        assert inputs[f"teacher:{teacher}"] == file_hash(teacher)
        assert inputs[str(taught / "model.keras")] == file_hash(taught / "model.keras")
        rows = [(each / name / "log.csv").read_text().splitlines()[1].split(",")[2] for each in (own, dense)]
        assert rows[0] != rows[1]  # the loss is of another teacher


def without_tensorflow(command: list[str], monkeypatch) -> int:
    monkeypatch.setattr("rsseg_tf.cli.shared.options.quiet_tensorflow", lambda: pytest.fail("TensorFlow was started"))
    return main(command)


@pytest.mark.parametrize("section", ["fit.distill", "prune.distill"])
@pytest.mark.parametrize("name", ["gone.keras", "text.keras", "text.tflite"])
def test_a_wrong_path_is_told_before_tensorflow_starts(section, name, taught, tmp_path, monkeypatch, capsys):
    for each in ("text.keras", "text.tflite"):
        (tmp_path / each).write_text("text")
    word = f"{section}.teacher={tmp_path / name}"
    arguments = ["fit", *WORDS] if section == "fit.distill" else ["prune", str(taught)]

    assert without_tensorflow([*arguments, "-o", str(tmp_path / "run"), word], monkeypatch) in (1, 2)

    error = capsys.readouterr().err
    assert f"`{section}.teacher`: " in error
    assert "hint: give a .keras file, or the folder of a finished run" in error
    assert not (tmp_path / "run").exists()


def test_an_ablation_tells_it_too(tmp_path, monkeypatch, capsys):
    word = "prune.distill.teacher=gone.keras"
    assert without_tensorflow(["ablate", "-o", str(tmp_path / "run"), *WORDS, word], monkeypatch) == 2
    assert "`prune.distill.teacher`: no model at `gone.keras`" in capsys.readouterr().err


def test_the_folder_of_the_teacher_is_not_written_to(taught):
    config = load_config(overrides=[*WORDS, f"fit.distill.teacher={taught}"])
    with pytest.raises(ConfigError, match="holds the teacher"):
        fit(config, taught, overwrite=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shape": (32, 64, 3)}, "takes 32×64 pixels"),
        ({"shape": (64, 64, 4)}, "sees 4 bands"),
        ({"classes": 2, "palette": None}, "has 2 classes"),
        ({"palette": replace(PALETTE, names=("sand", *PALETTE.names[1:]))}, f"{PALETTE.names[0]} are not among them"),
    ],
    ids=["size", "bands", "number of classes", "names of classes"],
)
def test_a_teacher_that_does_not_fit_is_one_message(wrong, message, tmp_path):
    path = written(tmp_path / "teacher.keras", **wrong)
    config = load_config(overrides=[*WORDS, f"fit.distill.teacher={path}"])

    with pytest.raises(ModelError, match=f"the teacher `{path}` does not fit: .*{message}") as caught:
        fit(config, tmp_path / "run")
    assert "fit.distill.teacher" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_a_teacher_whose_file_does_not_name_its_classes_numbers_them_as_the_data_do(teacher, taught, tmp_path):
    plain = tmp_path / "plain.keras"
    load_keras_model(teacher).save(plain)
    with zipfile.ZipFile(plain) as archive:
        assert "rsseg_tf.json" not in archive.namelist()

    assert main(["fit", "-o", str(tmp_path / "run"), *WORDS, f"fit.distill.teacher={plain}"]) == 0

    assert are_same(tmp_path / "run", taught)


def test_a_model_that_is_no_network_for_segmentation_is_no_teacher(tmp_path):
    image = keras.Input((64, 64, 3))
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)).save(tmp_path / "classifier.keras")
    config = load_config(overrides=[*WORDS, f"fit.distill.teacher={tmp_path / 'classifier.keras'}"])

    with pytest.raises(ModelError, match=r"does not fit: .*expected a fixed"):
        fit(config, tmp_path / "run")
