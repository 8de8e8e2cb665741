"""A short form of `tools/faults/disturb.py`: a map is killed, its disk is full, its folder protected."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and drops the right to pass write protection")
@pytest.mark.parametrize("job", ["predict", "predict --overwrite"])
def test_a_disturbed_map_ends_as_the_undisturbed_one(models, tmp_path, job):
    pytest.importorskip("rasterio")
    out = tmp_path / "faults.json"
    words = ["--work", str(tmp_path / "work"), "--out", str(out), "--points", "3", "--job", job]
    command = [sys.executable, "-m", "tools.faults.disturb", *words, "--model", str(models / "sealed.tflite")]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    all_found = json.loads(out.read_text())
    kinds = {name: all_found[f"{job}, {name}"] for name in ("kill", "moment", "full", "protect", "twice")}
    assert [found for found in kinds.values() if found["wrong"]] == []
    assert [found["tried"] for found in kinds.values()] == [3, 3, 3, 3, 3]
