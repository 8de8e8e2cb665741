"""A control has the dense model's channels and the pruned one's training, and nothing else."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.config import load_config
from rsseg_tf.config.training import FitConfig
from rsseg_tf.models.weights.pretrained import load_keras_model
from rsseg_tf.runs import file_hash
from rsseg_tf.steps import prune as prune_step
from rsseg_tf.steps.control import train_control
from rsseg_tf.steps.fit import fit
from rsseg_tf.steps.shared.progress import TrainingProgress
from tests.steps.test_resume import Stop
from tests.steps.test_whole_job import SETTINGS

WORDS = (
    *SETTINGS,
    "model.width=1",  # wide enough to gain on val within four steps, so that no run keeps the dense weights
    "model.aspp_width=256",
    "model.decoder_width=256",
    "fit.deterministic=true",
    "prune.loops=2",
    "prune.tune_steps=1",
    "prune.retrain.deterministic=true",
    "prune.retrain.checkpoint_steps=1",
    "prune.retrain.epochs=2",
)
pytestmark = pytest.mark.slow

KINDS = ("plain", "teacher")
STEPS = 4
"""Of the retraining, and so of each control."""


def weights(path: Path) -> list[np.ndarray]:
    return load_keras_model(path / "model.keras").get_weights()


def assert_same(run: Path, other: Path) -> None:
    for ours, theirs in zip(weights(run), weights(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def steps_of(log: Path) -> list[tuple[str, str]]:
    """Epoch and learning rate of each line of a log."""
    with log.open() as stream:
        return [(row["epoch"], row["learning_rate"]) for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A dense run, and one pruned with both controls."""
    folder = tmp_path_factory.mktemp("controls")
    assert main(["fit", "-o", str(folder / "dense"), *WORDS]) == 0
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["prune", str(folder / "dense"), "-o", str(folder / "pruned"), "prune.control=both"]) == 0
    (folder / "printed.txt").write_text(printed.getvalue())
    return folder


def test_a_control_is_a_run_of_the_dense_architecture_trained_as_long_as_the_pruned_one(folder):
    dense = [weight.shape for weight in weights(folder / "dense")]
    for kind in KINDS:
        run = folder / "pruned" / f"control-{kind}"
        assert [weight.shape for weight in weights(run)] == dense
        assert steps_of(run / "log.csv") == steps_of(folder / "pruned" / "log.csv")
        names = {path.name for path in run.iterdir()}
        assert names == {"config.yaml", "log.csv", "manifest.json", "model.keras", "tensorboard"}


def test_the_manifest_says_what_the_controls_reach_and_how_far_the_pruned_one_is_from_it(folder):
    manifest = json.loads((folder / "pruned" / "manifest.json").read_text())
    fitted = json.loads((folder / "dense" / "manifest.json").read_text())
    results = manifest["results"]
    assert list(results["controls"]) == list(KINDS)
    for kind, found in results["controls"].items():
        own = json.loads((folder / "pruned" / f"control-{kind}" / "manifest.json").read_text())
        assert (own["results"]["control"], own["results"]["val_miou"]) == (kind, found["val_miou"])
        assert found["difference"] == results["val_miou"] - found["val_miou"]
        assert file_hash(folder / "dense" / "model.keras") in own["inputs"].values()
        assert own["results"]["params"] == fitted["results"]["params"]


def test_a_plain_control_is_what_fit_makes_of_the_dense_model_by_the_recipe(folder, tmp_path):
    """Without steps between removals, which fit does not have."""
    config = load_config(overrides=[*WORDS, "prune.tune_steps=0"])
    recipe = FitConfig(**vars(config.prune.retrain))
    start = replace(config.model, weights=str(folder / "dense" / "model.keras"))

    fit(replace(config, fit=recipe, model=start), tmp_path / "fit")
    train_control(folder / "dense", config, tmp_path / "control", "plain", loops=2)

    assert_same(tmp_path / "control", tmp_path / "fit")


def test_steps_between_removals_and_the_teacher_make_a_difference(folder, tmp_path):
    config = load_config(overrides=[*WORDS, "prune.tune_steps=0"])
    train_control(folder / "dense", config, tmp_path / "untuned", "plain", loops=2)
    plain, teacher, untuned = (
        np.concatenate([weight.ravel() for weight in weights(run)])
        for run in (*(folder / "pruned" / f"control-{kind}" for kind in KINDS), tmp_path / "untuned")
    )
    assert not np.array_equal(plain, teacher)
    assert not np.array_equal(plain, untuned)


@pytest.mark.parametrize("place", ["while the first is trained", "while the second is trained"])
def test_a_kill_among_the_controls_changes_nothing(place, folder, tmp_path, monkeypatch):
    run = tmp_path / "run"
    command = ["prune", str(folder / "dense"), "-o", str(run), "prune.control=both"]
    at = STEPS + (2 if "first" in place else STEPS + 2)
    with monkeypatch.context() as patched:
        patched.setattr(TrainingProgress, "step", Stop(at=at))
        assert main(command) == 130
    assert not (run / "manifest.json").exists()
    assert (run / "control-plain" / "manifest.json").exists() == ("second" in place)
    assert main(command) == 0

    for name in ("", *(f"control-{kind}" for kind in KINDS)):
        assert_same(run / name, folder / "pruned" / name)
    assert {path.name for path in run.iterdir()} == {path.name for path in (folder / "pruned").iterdir()}


def test_a_finished_control_is_not_trained_again(folder, monkeypatch):
    monkeypatch.setattr(TrainingProgress, "step", Stop(at=1))
    config = load_config(overrides=WORDS)
    run = folder / "pruned" / "control-plain"
    found = train_control(folder / "dense", config, run, "plain", loops=2)
    known = json.loads((run / "manifest.json").read_text())["results"]
    assert {key: found[key] for key in ("control", "val_miou", "best_epoch", "params", "macs")} == {
        key: known[key] for key in ("control", "val_miou", "best_epoch", "params", "macs")
    }


def test_evaluate_and_export_take_a_control(folder, tmp_path, capsys):
    control, pruned = str(folder / "pruned" / "control-teacher"), str(folder / "pruned")
    assert main(["export-tflite", control, "-o", str(tmp_path / "control.tflite"), "export.type=float32"]) == 0
    capsys.readouterr()
    assert main(["evaluate", control, pruned]) == 0
    out = capsys.readouterr().out
    assert f"{pruned}/model.keras: " in out
    assert "lost" in out


def test_the_command_prints_each_control(folder):
    out = (folder / "printed.txt").read_text()
    results = json.loads((folder / "pruned" / "manifest.json").read_text())["results"]
    for kind, found in results["controls"].items():
        (line,) = [line for line in out.splitlines() if line.startswith(f"control-{kind}, the dense model trained on")]
        assert f"val mIoU {100 * found['val_miou']:.2f}" in line
        assert f"{100 * found['difference']:+.2f} points" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prune.control=both", "prune.retrain.epochs=0"], "trained for as long as the pruned network is"),
        (["prune.control=teacher", "prune.distill.weight=0"], "the control `teacher` learns from a teacher"),
        (["prune.floor.cart=0.3"], "did you mean `car`"),
        (["prune.small_object_floor={tram: 0.3}"], "the class in `prune.small_object_floor` must be one of"),
        (["prune.floor={car: 1.5}"], "from 0 to 1"),
        (["prune.floor={car: much}"], "must be a number"),
        (["prune.floor={car: 0.999}"], "the dense model itself reaches only"),
    ],
)
def test_what_cannot_be_is_one_message_and_leaves_nothing(words, message, folder, tmp_path, capsys):
    assert main(["prune", str(folder / "dense"), "-o", str(tmp_path / "run"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_past_the_floor_of_a_class_on_val_it_goes_back(folder, tmp_path, monkeypatch, capsys):
    """To the first loop, since in the second too few small cars are found; their IoU holds."""
    recall = iter([0.5, 0.4, 0.2])

    def scores() -> SimpleNamespace:
        by_class = {"iou": {"car": 0.3, "tree": None}, "small_object_recall": {"car": next(recall), "tree": None}}
        return SimpleNamespace(miou=0.5, **by_class)

    monkeypatch.setattr(prune_step, "evaluation", lambda *_arguments: scores)
    floors = ["prune.floor.car=0.3", "prune.small_object_floor={car: 0.3}", "prune.check_every=1"]
    words = [*floors, "prune.tune_steps=0", "prune.retrain.epochs=0", "--json"]

    assert main(["prune", str(folder / "dense"), "-o", str(tmp_path / "run"), *words]) == 0

    out, err = capsys.readouterr()
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert json.loads(out)["loops"] == 1
    assert plan["details"]["stopped"] == {"loop": 2, "small_object_floor.car": 0.2}
    assert "a floor was passed in loop 2: back to loop 1" in err
