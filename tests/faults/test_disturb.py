"""A short form of `tools/faults/disturb.py`: a map is killed, its disk is full, its folder protected."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and drops the right to pass write protection")
@pytest.mark.parametrize(("job", "points"), [("predict", 3), ("predict --overwrite", 2)])
def test_a_disturbed_map_ends_as_the_undisturbed_one(models, tmp_path, job, points):
    pytest.importorskip("rasterio")
    out = tmp_path / "faults.json"
    words = ["--work", str(tmp_path / "work"), "--out", str(out), "--points", str(points), "--job", job]
    command = [sys.executable, "-m", "tools.faults.disturb", *words, "--model", str(models / "sealed.tflite")]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    all_found = json.loads(out.read_text())
    is_told = "disk: not tried" in ended.stderr  # where this user may not mount file systems
    kinds = [found for name, found in all_found.items() if name.startswith(f"{job}, ")]
    assert [found for found in kinds if found["wrong"]] == []
    assert [found["tried"] for found in kinds] == [points] * (5 if is_told else 6)
