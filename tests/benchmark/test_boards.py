"""Profiles of boards that are not at hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import pytest

from rsseg_tf.benchmark import boards
from rsseg_tf.benchmark.boards import BOARDS, estimate
from rsseg_tf.benchmark.profile import load_profile, save_profile
from rsseg_tf.cli.main import main
from rsseg_tf.errors import ConfigError
from tests.tflite.networks import converted


@pytest.mark.parametrize("board", BOARDS)
def test_an_estimate_is_a_profile_that_says_what_it_is(board: str, models: Path, tmp_path: Path) -> None:
    found = estimate(models / "int8.tflite", board)
    save_profile(tmp_path / "board.json", found)

    assert load_profile(tmp_path / "board.json") == found
    assert found.tile == BOARDS[board].tile
    assert found.total_ms == pytest.approx(found.sum_ms)
    assert BOARDS[board].title in found.doubt
    assert "estimate" in found.doubt


def test_more_threads_share_the_work_but_not_the_entering(models: Path) -> None:
    one, two = (estimate(models / "int8.tflite", "pi4", threads=threads).total_ms for threads in (1, 2))
    entering = len(estimate(models / "int8.tflite", "pi4").layers) * BOARDS["pi4"].enter_us / 1e3
    assert two - entering == pytest.approx((one - entering) / 2)


def test_a_channel_past_a_full_tile_costs_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = replace(BOARDS["pi5"], macs_a_cycle=0.01, enter_us=0.0)  # so that work decides
    monkeypatch.setattr(boards, "BOARDS", {"pi5": slow})
    times = {}
    for width in (16, 17, 32):
        layers = [keras.Input((8, 8, 8), batch_size=1), keras.layers.Conv2D(width, 3)]
        (tmp_path / "one.tflite").write_bytes(converted(keras.Sequential(layers), kind="int8"))
        times[width] = estimate(tmp_path / "one.tflite", "pi5").total_ms
    assert times[17] == pytest.approx(times[32], rel=1e-3)
    assert times[32] == pytest.approx(2 * times[16], rel=1e-3)


def test_a_faster_board_takes_less(models: Path) -> None:
    times = {board: estimate(models / "int8.tflite", board).total_ms for board in BOARDS}
    assert times["x86-vnni"] < times["pi5"] < times["pi4"] < times["coral"]


def test_the_command_writes_it_and_measures_nothing(models: Path, tmp_path: Path, capsys) -> None:
    words = ["benchmark", str(models / "int8.tflite"), "--profile", str(tmp_path / "b.json"), "--board", "pi5"]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["results"] == []
    assert said["profile"]["is_estimate"]
    assert load_profile(tmp_path / "b.json").cpu == BOARDS["pi5"].title


def test_an_unknown_board_is_named_with_those_that_are_known(models: Path) -> None:
    with pytest.raises(ConfigError, match="unknown board `pi6`") as caught:
        estimate(models / "int8.tflite", "pi6")
    assert "pi4, pi5" in (caught.value.hint or "")


def test_a_board_without_a_profile_is_a_wrong_command_line(models: Path, capsys) -> None:
    assert main(["benchmark", str(models / "int8.tflite"), "--board", "pi5"]) == 2
    assert "`--board` is for `--profile FILE`" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--throughput", "--data data.yaml"])
def test_what_a_board_cannot_measure_is_a_wrong_command_line(models: Path, tmp_path: Path, capsys, option: str) -> None:
    words = ["benchmark", str(models / "int8.tflite"), "--profile", str(tmp_path / "b.json"), "--board", "pi5"]
    assert main([*words, *option.split()]) == 2
    assert f"`--board` measures nothing, `{option.split()[0]}` does" in capsys.readouterr().err
    assert not (tmp_path / "b.json").exists()


def test_the_help_lists_every_board(capsys) -> None:
    assert main(["benchmark", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(board in said for board in BOARDS)


def test_an_operator_whose_channels_are_not_told_counts_its_own_work_alone(tmp_path: Path) -> None:
    layers = [keras.Input((8, 8, 4), batch_size=1), keras.layers.Conv2DTranspose(3, 2, strides=2)]
    (tmp_path / "one.tflite").write_bytes(converted(keras.Sequential(layers), kind="float32"))
    slow = replace(BOARDS["x86-amx"], macs_a_cycle=0.001, enter_us=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boards, "BOARDS", {"x86-amx": slow})
        found = estimate(tmp_path / "one.tflite", "x86-amx")
    (op,) = (layer for layer in found.layers if layer.type == "TRANSPOSE_CONV")
    assert op.ms == pytest.approx(op.macs / 0.001 / slow.ghz / 1e6)
