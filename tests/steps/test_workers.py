"""`prune` by two worker processes: what one alone comes to, a message when one is lost, and going on after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from tests.steps.test_whole_job import SETTINGS
from tests.training.test_strategy import SECONDS, free_ports

PRUNE = (
    *(*SETTINGS, "prune.batches=3", "prune.tune_steps=1", "prune.recalibrate_every=2", "prune.accuracy_floor=0.001"),
    "prune.control=plain",
)
UNDISTURBED = ("step", 10**6)


def start(
    place: tuple[str, int], words: list[str], cluster: str = "", printed: IO[str] | int = subprocess.DEVNULL
) -> subprocess.Popen:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    if cluster:
        environment["TF_CONFIG"] = cluster
    command = [sys.executable, "-m", "tests.steps.killed", place[0], str(place[1]), *words]
    return subprocess.Popen(command, env=environment, stdout=printed, stderr=subprocess.PIPE, text=True)


def one_worker(words: list[str], printed: IO[str] | int = subprocess.DEVNULL) -> None:
    process = start(UNDISTURBED, words, printed=printed)
    message = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 0, message


def two_workers(
    commands: list[list[str]],
    printed: IO[str] | int = subprocess.DEVNULL,
    *,
    killed_at: tuple[str, int] = UNDISTURBED,
) -> list[tuple[int, str]]:
    """Exit codes and messages of two workers with these commands, of which the second may be killed."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    running = []
    for index, (place, words) in enumerate(zip((UNDISTURBED, killed_at), commands, strict=True)):
        task = {"type": "worker", "index": index}
        cluster = json.dumps({"cluster": {"worker": workers}, "task": task})
        running.append(start(place, words, cluster, printed))
    try:
        messages = [one.communicate(timeout=SECONDS)[1] for one in running]
    finally:
        for one in running:
            one.kill()
    return [(one.returncode, message) for one, message in zip(running, messages, strict=True)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """A folder with a dense and a pruned run of one process."""
    folder = tmp_path_factory.mktemp("alone")
    one_worker(["fit", "-o", str(folder / "dense"), *PRUNE])
    one_worker(["prune", str(folder / "dense"), "-o", str(folder / "pruned")])
    return folder


def kept(folder: Path) -> dict:
    return json.loads((folder / "plan.json").read_text())["keep"]


@pytest.mark.slow
def test_two_workers_prune_as_one_does(alone, tmp_path):
    commands = [["prune", str(alone / "dense"), "-o", str(tmp_path / str(index))] for index in range(2)]

    ended = two_workers(commands)

    assert [code for code, _ in ended] == [0, 0], ended
    assert kept(tmp_path / "0") == kept(alone / "pruned")
    assert {path.name for path in (tmp_path / "0").iterdir()} == {path.name for path in (alone / "pruned").iterdir()}
    assert not (tmp_path / "1").exists()
    ours, theirs = (
        json.loads((folder / "manifest.json").read_text())["results"] for folder in (tmp_path / "0", alone / "pruned")
    )
    assert ours["val_miou"] == pytest.approx(theirs["val_miou"], abs=0.02)
    controls = [results["controls"]["plain"]["val_miou"] for results in (ours, theirs)]
    assert controls[0] == pytest.approx(controls[1], abs=0.02)


@pytest.mark.slow
def test_two_workers_score_what_one_scores(alone, tmp_path):
    scores = []
    for name, evaluate in (("one", one_worker), ("two", lambda words, printed: two_workers([words, words], printed))):
        with (tmp_path / name).open("w") as scores_file:
            evaluate(["evaluate", str(alone / "dense"), "--json"], scores_file)
        scores.append(json.loads((tmp_path / name).read_text()))

    assert scores[0] == scores[1]


@pytest.mark.slow
def test_a_lost_worker_is_named_and_the_pruning_goes_on_from_the_chiefs_state(alone, tmp_path):
    commands = [["prune", str(alone / "dense"), "-o", str(tmp_path / str(index))] for index in range(2)]

    (chief_code, message), (other_code, _) = two_workers(commands, killed_at=("loop", 2))

    assert (chief_code, other_code) == (1, -signal.SIGKILL), message
    assert "a worker was lost in pruning" in message
    assert [code for code, _ in two_workers(commands)] == [0, 0]
    assert kept(tmp_path / "0") == kept(alone / "pruned")


@pytest.mark.slow
def test_another_dense_model_on_one_machine_is_refused(alone, tmp_path):
    one_worker(["fit", "-o", str(tmp_path / "dense"), *PRUNE, "seed=1"])
    commands = [
        ["prune", str(folder / "dense"), "-o", str(tmp_path / str(index)), "seed=0"]
        for index, folder in enumerate((alone, tmp_path))
    ]

    (_, _), (code, message) = two_workers(commands)

    assert code == 2, message
    assert "not the same on this machine" in message
