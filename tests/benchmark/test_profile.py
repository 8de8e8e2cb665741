"""The profile: medians of interleaved runs, and JSON that comes back as it was."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from rsseg_tf.benchmark import profile as module
from rsseg_tf.benchmark.profile import LatencyProfile, OpLatency, format_profile, load_profile, profile, save_profile
from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.runs import file_hash
from rsseg_tf.tflite.layer_names import OpTensors
from tests.tflite.networks import products_model

CONV = OpLatency(0, "CONV_2D", OpTensors("net_1/stem_1/Relu;net_1/c/x", ("image",), ("w",)), (1, 8, 8, 4), 6_000_000, 3)
ADD = OpLatency(1, "ADD", OpTensors("Identity", ("net_1/stem_1/Relu;net_1/c/x",), ()), (1, 8, 8, 4), 0, 1.0)
MADE = LatencyProfile("m.tflite", "00", 1, 50, "a processor", None, True, 3.5, (CONV, ADD))


class FakeChild:
    """Answers with times that rise from run to run."""

    def __init__(self, *, ops: int, others: int, differing: list[str]) -> None:
        self.ops, self.others, self.differing = ops, others, differing
        self.asked: list[Any] = []
        self.runs = 0

    def ask(self, request: Any) -> dict[str, Any]:
        self.asked.append(request)
        if isinstance(request, tuple):
            return {"differing": self.differing}
        runs = range(self.runs, self.runs + request)
        self.runs += request
        return {
            "whole_ms": [100.0 + run for run in runs],
            "pieces_ms": [[(number + 1) * 10.0 + run for number in range(self.ops)] for run in runs],
            "others_ms": [[(number + 1) * 1000.0 + run for number in range(self.others)] for run in runs],
        }


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeChild:
    """Stands in for the process that measures `int8.tflite`."""
    child = FakeChild(ops=7, others=0, differing=["Identity"])
    monkeypatch.setattr(module, "open_child", lambda _module, **_options: contextlib.nullcontext(child))
    return child


def test_figures_are_medians_of_the_timed_runs(models: Path, fake: FakeChild) -> None:
    told: list[tuple[int, int]] = []
    path = models / "int8.tflite"
    measured = profile(path, repeats=7, warmup=3, progress=lambda done, total: told.append((done, total)))
    assert fake.asked[0][0] == path
    assert fake.asked[1:] == [3, 5, 2]
    assert told == [(5, 7), (7, 7)]
    assert measured.total_ms == 106
    assert [layer.ms for layer in measured.layers] == [16, 26, 36, 46, 56, 66, 76]
    assert measured.sum_ms == 322
    assert measured.sha256 == file_hash(path)


@pytest.mark.usefixtures("fake")
def test_operators_that_compute_something_else_are_told(models: Path) -> None:
    measured = profile(models / "int8.tflite", repeats=1)
    assert not measured.exact
    assert "do not compute what the whole model does" in format_profile(measured)


@pytest.mark.parametrize("name", ["int8", "float32"])
def test_a_real_model_is_measured_operator_by_operator(models: Path, name: str) -> None:
    measured = profile(models / f"{name}.tflite", repeats=2, warmup=0)
    types = ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "RESIZE_BILINEAR"]
    assert [layer.type for layer in measured.layers][-4:] == types
    assert measured.exact
    assert measured.total_ms > 0
    assert all(layer.ms > 0 for layer in measured.layers)


def test_a_model_that_is_no_segmentation_network_is_measured(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(products_model())
    assert {layer.type for layer in profile(tmp_path / "m.tflite", repeats=1).layers} >= {"TRANSPOSE_CONV"}


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    save_profile(tmp_path / "p.json", MADE)
    assert load_profile(tmp_path / "p.json") == MADE


def test_the_keys_of_the_file_are_stable(tmp_path: Path) -> None:
    save_profile(tmp_path / "p.json", MADE)
    document = json.loads((tmp_path / "p.json").read_text())
    assert list(document) == [
        *("kind", "format", "model", "sha256", "threads", "repeats", "cpu", "governor", "exact", "total_ms"),
        *("tile", "staircase", "is_estimate", "sum_ms", "layers"),
    ]
    assert list(document["layers"][0]) == [
        *("op", "type", "output_shape", "macs", "ms", "steps", "output", "inputs", "constants"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "plan"},
        {"format": 1},
        {"layers": []},
        {"layers": [{"op": 1}]},
        {"total_ms": None},
        {"total_ms": 0},
        {"threads_": 1},
    ],
    ids=str,
)
def test_a_file_that_is_no_profile_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({**MADE.to_dict(), **change}))
    with pytest.raises(ConfigError, match=r"p\.json. is not a latency profile") as caught:
        load_profile(path)
    assert "--profile" in caught.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00"])
def test_other_text_is_no_profile(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ConfigError, match="is not a latency profile"):
        load_profile(tmp_path / "p.json")


def test_a_missing_profile_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json"):
        load_profile(tmp_path / "none.json")


def test_the_table_lists_the_slowest_first() -> None:
    shown = dataclasses.replace(MADE, layers=(ADD, CONV), total_ms=3.9)
    assert format_profile(shown, most=1).splitlines() == [
        "      ms  share  GMAC/s  type     output          layer",
        "   3.000  75.0%     2.0  CONV_2D  1×8×8×4         stem_1",
        "   1.000  25.0%          1 others",
        "sum of operators 4.00 ms, whole model 3.90 ms",
    ]


def test_a_profile_of_a_model_that_takes_no_time_is_not_doubted() -> None:
    layers = tuple(dataclasses.replace(each, ms=0.002) for each in (ADD, CONV))
    tiny = dataclasses.replace(MADE, layers=layers, total_ms=0.001)
    assert tiny.doubt == ""


def test_a_profile_of_a_busy_machine_is_doubted() -> None:
    quiet = dataclasses.replace(MADE, layers=(ADD, CONV), total_ms=3.9)
    busy = dataclasses.replace(quiet, total_ms=5.0)
    assert quiet.doubt == ""
    assert busy.doubt.startswith("the operators take 4.0 ms in sum, the whole model 5.0 ms")
    assert f"warning: {busy.doubt}" in format_profile(busy)


@pytest.mark.parametrize("options", [{"repeats": 0}, {"threads": 0}, {"warmup": -1}])
def test_senseless_settings_are_refused(models: Path, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        profile(models / "int8.tflite", **options)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "wrong.tflite").write_bytes(b"no model")
    for name in ("wrong.tflite", "missing.tflite"):
        with pytest.raises(ModelError, match=name):
            profile(tmp_path / name)
