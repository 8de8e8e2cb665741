from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.edge.metadata import embed_metadata
from tests.edge.networks import METADATA, tiny_model
from tests.edge.without_tensorflow import run_without_tensorflow

QUICK = ("--repeats", "2", "--warmup", "0")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(embed_metadata(tiny_model(), METADATA))
    return path


def test_json_holds_a_result_a_model_and_number_of_threads(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", str(model), str(model), "--threads", "1,2", *QUICK, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [(result["threads"], result["ratio"] > 0) for result in results] == [
        (1, True),
        (1, True),
        (2, True),
        (2, True),
    ]


def test_the_keys_are_stable(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["benchmark", str(model), *QUICK, "--json"])
    assert list(json.loads(capsys.readouterr().out)["results"][0]) == [
        *("model", "sha256", "file_bytes", "threads", "repeats", "height", "width"),
        *("p50_ms", "p90_ms", "p95_ms", "p99_ms", "fps", "megapixels_per_s", "end_to_end_p50_ms"),
        *("load_ms", "first_inference_ms", "peak_rss_mb", "arena_bytes", "delegate_partitions", "ratio"),
        *("cpu", "governor", "temperature_c", "throttled"),
    ]


def test_it_runs_without_tensorflow_and_leaves_stderr_quiet(model: Path) -> None:
    done = run_without_tensorflow("benchmark", model, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    assert "tiny.tflite" in done.stdout


def test_threads_must_be_numbers(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", str(model), "--threads", "one"]) == 2
    assert "--threads 1,2" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"no model", b"\0\0\0\0TFL3"])
def test_what_is_no_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None) -> None:
    path = tmp_path / "wrong.tflite"
    if content is not None:
        path.write_bytes(content)
    assert main(["benchmark", str(path), *QUICK]) == (2 if content is None else 1)
    assert "wrong.tflite" in capsys.readouterr().err
