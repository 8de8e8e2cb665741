"""A command that is stopped half way goes on to the result of one that was not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.models.weights.pretrained import load_keras_model
from rsseg_tf.steps.shared.progress import PruningProgress, TrainingProgress
from tests.steps.test_whole_job import SETTINGS

FIT = [*SETTINGS, "fit.epochs=2", "fit.checkpoint_steps=1", "prune.retrain.checkpoint_steps=1"]


class Stop:
    """Stands in for a progress method and presses Ctrl-C at its n-th call."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self, *_arguments: object, **_place: object) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt


def weights(run: Path) -> list[np.ndarray]:
    return load_keras_model(run / "model.keras").get_weights()


def assert_same_weights(run: Path, other: Path) -> None:
    for ours, theirs in zip(weights(run), weights(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def dense(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "dense"
    assert main(["fit", "-o", str(run), *FIT]) == 0
    return run


@pytest.mark.slow
def test_fit_goes_on_where_it_was_stopped(dense, tmp_path, monkeypatch):
    command = ["fit", "-o", str(tmp_path / "run"), *FIT]
    with monkeypatch.context() as patched:
        patched.setattr(TrainingProgress, "step", Stop(at=3))
        assert main(command) == 130
    assert main(command) == 0

    assert_same_weights(tmp_path / "run", dense)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("progress", "method", "more"),
    [
        (PruningProgress, "__call__", []),
        (PruningProgress, "__call__", ["prune.tune_steps=1", "prune.accuracy_floor=0.0001", "prune.check_every=1"]),
        (TrainingProgress, "step", []),
        (TrainingProgress, "step", ["prune.tune_steps=1"]),
    ],
    ids=["while pruning", "while pruning and tuning", "while retraining", "while retraining after tuning"],
)
def test_prune_goes_on_where_it_was_stopped(dense, tmp_path, monkeypatch, progress, method, more):
    whole, command = tmp_path / "whole", ["prune", str(dense), "-o", str(tmp_path / "run"), *more]
    assert main(["prune", str(dense), "-o", str(whole), *more]) == 0
    with monkeypatch.context() as patched:
        patched.setattr(progress, method, Stop(at=2))
        assert main(command) == 130
    assert main(command) == 0

    assert (tmp_path / "run" / "plan.json").read_text() == (whole / "plan.json").read_text()
    assert_same_weights(tmp_path / "run", whole)


@pytest.mark.slow
def test_a_stopped_run_is_not_finished_with_another_model(dense, tmp_path, monkeypatch, capsys):
    other = tmp_path / "other"
    assert main(["fit", "-o", str(other), *FIT, "seed=1"]) == 0
    with monkeypatch.context() as patched:
        patched.setattr(TrainingProgress, "step", Stop(at=2))
        assert main(["prune", str(dense), "-o", str(tmp_path / "run")]) == 130

    assert main(["prune", str(other), "-c", str(dense / "config.yaml"), "-o", str(tmp_path / "run")]) == 2
    assert "other settings" in capsys.readouterr().err
