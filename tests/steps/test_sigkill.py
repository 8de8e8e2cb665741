"""A job that SIGKILL ends again and again, at any place, comes to the same bits as one that nothing disturbed."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rsseg_tf.models.weights.pretrained import load_keras_model
from tests.steps.test_whole_job import SETTINGS

FIT = (
    *SETTINGS,
    "fit.epochs=2",
    "fit.checkpoint_steps=1",
    "fit.ema=0.9",
    "fit.optimizer=adamw",
    "fit.dice=0.5",
    "fit.class_sampling=0.5",
    "fit.deterministic=true",
    "prune.tune_steps=1",
    "prune.retrain.epochs=2",
    "prune.retrain.checkpoint_steps=1",
    "prune.retrain.ema=0.9",
    "prune.retrain.deterministic=true",
)
UNDISTURBED = ("step", 10**6)


def run(place: tuple[str, int], words: list[str]) -> int:
    command = [sys.executable, "-m", "tests.steps.killed", place[0], str(place[1]), *words]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode


def killed_and_finished(words: list[str], places: list[tuple[str, int]]) -> None:
    for place in places:
        assert run(place, words) == -signal.SIGKILL, place
    assert run(UNDISTURBED, words) == 0


def assert_same_result(killed: Path, whole: Path) -> None:
    ours, theirs = (load_keras_model(folder / "model.keras").get_weights() for folder in (killed, whole))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    assert log_of(killed) == log_of(whole)
    assert {path.name for path in killed.iterdir()} == {path.name for path in whole.iterdir()}


def log_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open() as stream:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def dense(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "dense"
    assert run(UNDISTURBED, ["fit", "-o", str(folder), *FIT]) == 0
    return folder


@pytest.mark.slow
def test_two_undisturbed_runs_end_with_the_same_bits(dense, tmp_path):
    assert run(UNDISTURBED, ["fit", "-o", str(tmp_path / "again"), *FIT]) == 0

    assert_same_result(tmp_path / "again", dense)


@pytest.mark.slow
def test_a_fit_killed_anywhere_ends_with_the_same_bits(dense, tmp_path):
    places = [("step", 1), ("state", 1), ("step", 2), ("state", 2), ("step", 2), ("manifest", 1)]

    killed_and_finished(["fit", "-o", str(tmp_path / "killed"), *FIT], places)

    assert_same_result(tmp_path / "killed", dense)


@pytest.mark.slow
def test_a_prune_killed_anywhere_ends_with_the_same_bits(dense, tmp_path):
    whole = ["prune", str(dense), "-o", str(tmp_path / "whole")]
    assert run(UNDISTURBED, whole) == 0

    places = [("loop", 2), ("state", 2), ("step", 2), ("state", 2), ("manifest", 1)]
    killed_and_finished(["prune", str(dense), "-o", str(tmp_path / "killed")], places)

    assert_same_result(tmp_path / "killed", tmp_path / "whole")
    plans = [(tmp_path / name / "plan.json").read_text() for name in ("killed", "whole")]
    assert plans[0] == plans[1]
