"""What dealing costs is told for every number of images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs the extra `cluster`")

import bench_dealing as tool

from rsseg_tf.cli.main import main as run


def test_every_number_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    words = ["--counts", "2,5", "--pause", "1", "--workers", "1", "--work", str(tmp_path / "work"), "--out", str(out)]
    assert run(words, command=tool.main, name="bench_dealing") == 0
    found = json.loads(out.read_text())["overhead_ms"]
    assert list(found) == ["2", "5"]
    assert len(list((tmp_path / "work/out").glob("*_classes.png"))) == 5
    assert capsys.readouterr().out.count("images:") == 2
