from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rsseg_tf.benchmark import throughput as measuring
from rsseg_tf.benchmark.system import read_system
from rsseg_tf.benchmark.throughput import Throughput
from rsseg_tf.cli.main import main
from rsseg_tf.cluster import engine
from rsseg_tf.cluster.engine import Cluster
from rsseg_tf.datasets.images.pixels import write_image
from tests.cluster.comparing import contents
from tests.cluster.workers import handed_out
from tests.tflite.networks import frame


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    for number in range(3):
        write_image(tmp_path / f"survey/{number}.png", frame(number, 50, 40))
    return tmp_path / "survey"


def words(*arguments: object) -> list[str]:
    return ["predict", *map(str, arguments)]


def test_processes_of_its_own_make_the_files_of_one(model: Path, survey: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rsseg_tf.cli.main", *words(model, survey, "-o", tmp_path / "many")]
    done = subprocess.run([*command, "--workers", "2", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert [line for line in said if not line.startswith("2 workers; what they do: http://127.0.0.1:")] == []
    assert main(words(model, survey, "-o", tmp_path / "one")) == 0
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert [record["image"] for record in json.loads(done.stdout)["images"]] == [
        str(survey / f"{n}.png") for n in range(3)
    ]


def test_auto_takes_the_fastest_split_and_says_it(
    two: Cluster,
    model: Path,
    survey: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = handed_out(two, monkeypatch, engine)
    found = [Throughput(1, 4, 10.0, 1.0, 1.0), Throughput(4, 1, 20.0, 2.0, 2.0)]
    monkeypatch.setattr(measuring, "throughput", lambda *_arguments, **_settings: found)
    assert main(words(model, survey, "-o", tmp_path / "out", "--workers", "auto")) == 0
    assert asked == [{"workers": 4, "address": ""}]
    assert "workers × threads here is 4 × 1 (1 × 4: 1.0 MP/s, 4 × 1: 2.0 MP/s)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "2", "--cluster", "tcp://127.0.0.1:9"], "--workers or --cluster"),
        (["--workers", "0"], "--workers"),
        (["--workers", "many"], "--workers"),
        (["--cluster", "here"], "no address of a scheduler"),
    ],
)
def test_bad_options_are_one_message(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(words(model, survey, "-o", tmp_path / "out", *options)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_keras_model_is_not_dealt(survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.quantization.tiny import segmenter

    segmenter().save(tmp_path / "model.keras")
    (tmp_path / "config.yaml").write_text("data: {name: scenes}\n")
    assert main(words(tmp_path / "model.keras", survey, "-o", tmp_path / "out", "--workers", "2")) == 2
    assert "export-tflite" in capsys.readouterr().err


def test_the_splits_that_are_measured_use_every_core() -> None:
    splits = measuring.splits_of(12)
    assert splits == [(1, 1), (1, 12), (2, 6), (4, 3), (8, 1), (12, 1)]
    assert measuring.splits_of(1) == [(1, 1)]
    assert all(processes * threads <= 12 for processes, threads in splits)


def test_throughput_is_measured_and_printed(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", str(model), "--throughput", "--repeats", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    splits = [(each["processes"], each["threads"]) for each in result["throughput"]]
    assert splits == measuring.splits_of(read_system().cores)
    assert all(each["images_per_s"] > 0 for each in result["throughput"])
    assert main(["benchmark", str(model), "--throughput", "--repeats", "1"]) == 0
    assert "threads each" in capsys.readouterr().out
