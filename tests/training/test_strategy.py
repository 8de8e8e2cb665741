import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from rsseg_tf.errors import ConfigError
from rsseg_tf.training import strategy
from rsseg_tf.training.strategy import Replicas, check_shares, open_replicas, open_workers

WORKER = Path(__file__).with_name("worker.py")
SECONDS = 900


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(folder: Path, *, ports: tuple[int, ...] = (), index: int = 0, steps: int = 0) -> subprocess.Popen:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": os.pathsep.join(sys.path)}
    if ports:
        cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
    command = [sys.executable, str(WORKER), str(folder), str(steps)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def two_workers(folder: Path, *, killed_after: int = 0) -> list[tuple[int, str]]:
    """Exit codes and messages of two workers, of which the second kills itself after so many steps."""
    ports = tuple(free_ports(2))
    running = [
        start(folder / str(index), ports=ports, index=index, steps=killed_after if index == 1 else 0)
        for index in range(2)
    ]
    try:
        return [(one.wait(), message) for one in running for message in [one.communicate(timeout=SECONDS)[1]]]
    finally:
        for one in running:
            one.kill()


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("alone")
    process = start(folder)
    _, message = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, message
    return result(folder)


@pytest.mark.slow
def test_two_workers_learn_what_one_learns(tmp_path, alone):
    ended = two_workers(tmp_path)

    assert [code for code, _ in ended] == [0, 0], ended
    chief, other = result(tmp_path / "0"), result(tmp_path / "1")
    assert (chief["replicas"], chief["is_chief"], other["is_chief"]) == (2, True, False)
    np.testing.assert_allclose(chief["losses"], alone["losses"], rtol=1e-4)
    np.testing.assert_allclose(other["losses"], alone["losses"], rtol=1e-4)
    for ours, theirs in zip(chief["weights"], alone["weights"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    assert chief["synchronized"] == [False], "the saved model is that of one machine"
    assert {path.name for path in (tmp_path / "1").iterdir()} <= {"tensorboard", "result.json"}


@pytest.mark.slow
def test_a_killed_worker_is_named_and_the_run_goes_on(tmp_path, alone):
    (chief_code, message), (other_code, _) = two_workers(tmp_path, killed_after=6)

    assert (chief_code, other_code) == (1, -9), message
    assert "a worker was lost in epoch 2" in message
    assert "resumes from its last saved step" in message
    ended = two_workers(tmp_path)
    assert [code for code, _ in ended] == [0, 0], ended
    for ours, theirs in zip(result(tmp_path / "0")["weights"], alone["weights"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


TWO_DEVICES = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from rsseg_tf.pruning.scoring.criteria import GRADIENT_CRITERIA, Scorer
from rsseg_tf.training import strategy
from rsseg_tf.training.strategy import Replicas
from tests.pruning.networks import batches, loss, tiny_network

replicas, model = Replicas(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])), tiny_network()
assert (replicas.count, replicas.here, replicas.processes) == (2, 2, 1)
some = batches() * 2
for number in (1, 2, 3):
    for criterion in GRADIENT_CRITERIA:
        one, two = (
            Scorer(model, criterion=criterion, loss=loss, **words)(some[:number]).layers
            for words in ({}, {"together": replicas})
        )
        for name, values in one.items():
            np.testing.assert_allclose(two[name], values, rtol=1e-4, atol=1e-12)

mirrored = replicas.mirrored(model)
assert mirrored is not model
for weight, copy in zip(model.get_weights(), mirrored.get_weights(), strict=True):
    np.testing.assert_array_equal(copy, weight)
assert type(mirrored.trainable_variables[0].value).__name__ == "MirroredVariable"
alone = replicas.alone(mirrored)
for weight, copy in zip(model.get_weights(), alone.get_weights(), strict=True):
    np.testing.assert_array_equal(copy, weight)
assert type(alone.trainable_variables[0].value).__name__ != "MirroredVariable"
assert Replicas().alone(model) is model
"""


@pytest.mark.slow
def test_two_devices_of_one_machine_score_what_one_scores():
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": os.pathsep.join(sys.path)}

    ended = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES], env=environment, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr


def test_without_a_cluster_auto_is_one_copy(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)

    for name in ("auto", "none"):
        replicas = open_replicas(name)
        assert (replicas.count, replicas.is_chief) == (1, True)


@pytest.mark.parametrize("name", ["auto", "none", "mirrored", "multiworker"])
def test_what_several_machines_trained_one_machine_may_score(monkeypatch, name):
    monkeypatch.delenv("TF_CONFIG", raising=False)

    assert (open_workers(name).processes, open_workers(name).process) == (1, 0)


def test_multiworker_without_a_cluster_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)

    with pytest.raises(ConfigError, match="TF_CONFIG") as caught:
        open_replicas("multiworker")
    assert '"worker"' in caught.value.hint


def test_a_cluster_of_two_is_met_before_tensorflow_is_asked(monkeypatch):
    asked = []
    cluster = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 1}}))
    monkeypatch.setattr(strategy, "meet", lambda cluster: asked.append(cluster.others))
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", lambda: asked.append("TensorFlow"))

    open_replicas("auto")

    assert asked == [("127.0.0.1:1",), "TensorFlow"]


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    check_shares(8, Replicas(), 4)
    with pytest.raises(ConfigError, match="multiple of 3") as caught:
        check_shares(8, Replicas(), 3)
    assert caught.value.hint == "the next one is 9"
