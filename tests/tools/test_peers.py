"""A peer's environment is made once, and its network is ours."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import int8_runtimes
import keras
import numpy as np
import own_venv
import pytest
import runtimes
import torch_pruning_loop
import torchvision_features
import yolo_sem

from rsseg_tf import pruning
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.models.weights.names import NAMINGS
from rsseg_tf.models.weights.pretrained import initialize
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.models.weights.weight_files import random_state, write_torch

SCRIPTS = {
    "torch_pruning_loop.py": [],
    "mct_prune.py": ["--model", "none.keras"],
    "int8_runtimes.py": ["--model", "none.keras"],
    "torchvision_features.py": ["--work", "none"],
    "yolo_sem.py": ["-c", "none.yaml"],
}
"""Script → what it cannot be called without."""


@pytest.fixture
def commands(monkeypatch):
    """Commands that were run, each with the exit code that `fail` says."""
    seen = SimpleNamespace(commands=[], fail=False)

    def run(command, **_options):
        seen.commands.append(command)
        return SimpleNamespace(returncode=int(seen.fail))

    monkeypatch.setattr(own_venv.subprocess, "run", run)
    return seen


def venv(tmp_path, *requirements):
    (tmp_path / "venv").mkdir(exist_ok=True)
    return own_venv.OwnVenv(tmp_path / "venv", requirements)


def test_an_environment_with_its_requirements_is_not_made_again(tmp_path, commands, monkeypatch):
    monkeypatch.setattr(own_venv.shutil, "rmtree", lambda *_a, **_k: None)
    venv(tmp_path, "torch==1").make()
    venv(tmp_path, "torch==1").make()
    assert [command[-1] for command in commands.commands] == [str(tmp_path / "venv"), "torch==1"]

    venv(tmp_path, "torch==2").make()
    assert commands.commands[-1][-1] == "torch==2"


def test_a_failed_installation_is_told_and_tried_again(tmp_path, commands):
    commands.fail = True
    with pytest.raises(SystemExit, match="this failed"):
        venv(tmp_path, "torch==1").make()
    with pytest.raises(SystemExit, match="this failed"):
        venv(tmp_path, "torch==1").make()


def test_a_missing_interpreter_is_told(tmp_path, commands):
    with pytest.raises(SystemExit, match="there is no interpreter"):
        own_venv.OwnVenv(tmp_path / "venv", (), python="python0.1").make()
    assert commands.commands == []


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_the_torch_script_expects_our_number_of_parameters(backbone):
    ours = deeplab_v3_plus(backbone, torch_pruning_loop.NUM_CLASSES, (32, 32, 3))

    assert torch_pruning_loop.DENSE_PARAMS[backbone] == pruning.cost(ours).params


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_needs_none_of_the_peers_packages(script):
    path = own_venv.Path(own_venv.__file__).parent / script
    result = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, text=True, check=False)

    assert result.returncode == 0
    assert "--venv" in result.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_finished_result_is_not_measured_again(tmp_path, script):
    path, out = own_venv.Path(own_venv.__file__).parent / script, tmp_path / "out.json"
    out.write_text("{}")
    command = [sys.executable, str(path), "--venv", str(tmp_path / "venv"), "--out", str(out)]
    command += SCRIPTS[script]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (result.returncode, out.read_text(), (tmp_path / "venv").exists()) == (0, "{}", False)
    assert "is there already" in result.stderr


def test_every_runtime_takes_its_turns_and_is_compared_with_ours():
    runs = []
    networks = {name: lambda _image, name=name: runs.append(name) for name in ("ours", "OpenVINO")}
    medians = runtimes.latencies(networks, None, repeats=2)
    assert set(medians) == set(networks)
    assert runs == [name for _turn in range(3) for name in networks for _ in range(5)]

    scores = {"miou": 0.5, "boundary_f1": 0.25}
    rows = {
        name: {"agreement": 0.99, "scores": scores, "bytes": 2e6, "p50_ms_1": ms}
        for name, ms in (("ours", 4.0), ("plain TFLite", 6.0))
    }
    last = int8_runtimes.table(rows, [1]).splitlines()[-1]
    assert last == "| plain TFLite | 99.00 | 50.00 | 25.00 | 2.00 | 6.0 | 1.50 |"


def test_networks_agree_where_they_choose_the_same_class():
    images = np.zeros((2, 2, 4, 3), np.uint8)
    images[1, 0] = 9

    def first(image):
        return np.stack([np.ones(image.shape[:2]), image[..., 0]], axis=-1)

    assert runtimes.agreement(first, first, images) == 1.0
    assert runtimes.agreement(lambda image: 0 * first(image), first, images) == 0.75


def test_the_scores_of_a_yolo_are_enlarged_from_stride_8_and_take_rgb_from_0_to_1():
    seen = []

    def stride_8(pixels):
        seen.append(pixels)
        return pixels[:, :, 4::8, 4::8]

    image = np.zeros((16, 24, 3), np.uint8)
    image[:, 12:] = (255, 128, 0)
    scores = yolo_sem.enlarged(stride_8)(image)

    assert seen[0].shape == (1, 3, 16, 24)
    assert seen[0].dtype == np.float32
    assert scores.shape == image.shape
    np.testing.assert_allclose(scores[0, [0, -1], 0], [0, 1])


@pytest.mark.parametrize(("steps", "windows"), [(10, 80), (200, 1600), (201, 804), (800, 1600)])
def test_a_yolo_sees_as_many_windows_as_all_steps_take(steps, windows):
    options = SimpleNamespace(steps=steps)
    an_epoch = yolo_sem.windows_an_epoch(options, 8)
    assert an_epoch == windows
    assert steps * 8 <= an_epoch * -(-steps * 8 // an_epoch) < steps * 8 + an_epoch


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_the_plain_export_is_full_integer_and_ours_is_what_it_is_compared_with():
    model = deeplab_v3_plus("resnet18", 4, (32, 32, 3))
    images = tuple(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8))
    plain = parse_model(int8_runtimes.plain_export(model, images), name="plain")
    assert plain.inputs[0].dtype == "uint8"
    assert not plain.float_ops
    assert "SPACE_TO_BATCH_ND" in plain.op_counts


def test_features_that_differ_from_torchvisions_are_told(tmp_path):
    side = torchvision_features.SIDE
    model = deeplab_v3_plus("resnet18", 5, (side, side, 3))
    state = random_state(model, NAMINGS["resnet18"][0])
    for suffix, is_zip in torchvision_features.LAYOUTS.items():
        write_torch(tmp_path / f"resnet18{suffix}.pth", state, legacy=not is_zip)
    pixels = np.random.default_rng(0).uniform(0, 255, (1, side, side, 3)).astype(np.float32)
    initialize(model, str(tmp_path / "resnet18.pth"), backbone="resnet18")
    ours = keras.Model(model.input, model.get_layer("aspp_1x1_conv").input)(pixels).numpy()[:, ::2, ::2]
    for factor, expected in ((1.0, 0.0), (2.0, 0.5)):
        np.savez(tmp_path / "features.npz", pixels=pixels, resnet18=factor * ours)
        assert torchvision_features.differences(tmp_path)["resnet18"] == pytest.approx(expected, abs=1e-5)
