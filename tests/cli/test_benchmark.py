from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.inference.predict import open_predictor
from rsseg_tf.runs import file_hash
from rsseg_tf.tflite.metadata import embed_metadata
from tests.tflite.networks import METADATA, frame, tiny_model
from tests.tflite.without_tensorflow import run_without_tensorflow

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
        *("cpu", "governor", "temperature_c", "throttled", "temperature_before_c", "energy_mj", "miou", "runtime"),
    ]


def test_a_profile_is_written_and_printed(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "profile.json"
    assert main(["benchmark", str(model), *QUICK, "--profile", str(out), "--json"]) == 0
    profile = json.loads(capsys.readouterr().out)["profile"]
    assert profile == json.loads(out.read_text())
    assert profile["model"] == str(model)
    assert profile["sha256"] == file_hash(model)
    assert {"CONV_2D", "RESIZE_BILINEAR"} <= {layer["type"] for layer in profile["layers"]}
    assert main(["benchmark", str(model), *QUICK, "--profile", str(out)]) == 0
    assert "sum of operators" in capsys.readouterr().out


def test_without_a_profile_its_key_is_null(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["benchmark", str(model), *QUICK, "--json"])
    assert json.loads(capsys.readouterr().out)["profile"] is None


@pytest.mark.parametrize("extra", [("--threads", "1,2"), ("{model}",)])
def test_a_profile_is_of_one_model_and_number_of_threads(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: tuple[str, ...]
) -> None:
    more = [word.format(model=model) for word in extra]
    assert main(["benchmark", str(model), *more, *QUICK, "--profile", str(tmp_path / "p.json")]) == 2
    assert "one MODEL and one number of threads" in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()


def test_it_runs_without_tensorflow_and_leaves_stderr_quiet(model: Path) -> None:
    done = run_without_tensorflow("benchmark", model, *QUICK, "--profile", model.with_suffix(".json"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "sum of operators" in done.stdout
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


def test_data_puts_the_score_beside_the_latency(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = frame(0, 40, 50)
    write_image(tmp_path / "data/a.png", image)
    write_image(tmp_path / "data/m.png", open_predictor(model).predict(image))
    (tmp_path / "data/pairs.csv").write_text("image,mask,split\na.png,m.png,val\n")
    classes = "".join(f"      {name}: {number}\n" for number, name in enumerate(METADATA.class_names))
    data = f"data:\n  name: folder\n  root: {tmp_path}/data\n  folder:\n    pairs: pairs.csv\n    classes:\n{classes}"
    text = f"{data}evaluate:\n  overlap: {METADATA.overlap}\n"
    (tmp_path / "data.yaml").write_text(text)
    options = ["--data", str(tmp_path / "data.yaml"), "--split", "val", "--repeats", "1", "--threads", "1,2", "--json"]
    assert main(["benchmark", str(model), *options]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [result["miou"] for result in results] == [1.0, 1.0]


def test_a_delegate_that_is_not_there_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", str(model), "--delegate", str(tmp_path / "no.so")]) == 2
    assert "no.so" in capsys.readouterr().err
