"""What is measured of workers is told, beside what one process does."""

from __future__ import annotations

import json
from pathlib import Path

import bench_input
import pytest

pytest.importorskip("distributed", reason="needs the extra `cluster`")

import bench_workers as tool

from rsseg_tf.cli.main import main as run
from rsseg_tf.tflite.metadata import embed_metadata
from tests.tflite.networks import METADATA, tiny_model


def test_both_ways_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_input, "HEIGHT", 270)
    monkeypatch.setattr(bench_input, "WIDTH", 480)
    monkeypatch.setattr(tool, "PHOTO", (48, 64))
    model = tmp_path / "tiny.tflite"
    model.write_bytes(embed_metadata(tiny_model("int8"), METADATA))
    words = ["--side", "600", "--photos", "3", "--workers", "1", "--turns", "1", "--work", str(tmp_path / "work")]
    out = tmp_path / "out.json"
    assert run([str(model), *words, "--out", str(out)], command=tool.main, name="bench_workers") == 0
    found = json.loads(out.read_text())
    assert [len(turns) for turns in found["turns"].values()] == [1, 1, 1, 1]
    assert all(turn["mp_per_s"] > 0 for turns in found["turns"].values() for turn in turns)
    assert found["worker_mb"][0] > 0
    for way, turns in found["turns"].items():
        assert (turns[0]["inside_s"] > 0) == way.endswith("workers")
    told = capsys.readouterr().out
    assert "mosaic: " in told
    assert "photos: " in told
    assert "most memory of a worker" in told
