"""A short form of `tools/faults/disturb.py`: commands are killed, their disk is full, their folder protected."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and drops the right to pass write protection")
@pytest.mark.parametrize(
    ("job", "kinds"),
    [
        ("predict", ("kill", "moment", "full", "disk", "protect", "twice")),
        ("predict --overwrite", ("kill", "twice")),
        ("data burn", ("kill", "disk")),
    ],
)
def test_a_disturbed_command_ends_as_the_undisturbed_one(models, tmp_path, job, kinds):
    pytest.importorskip("rasterio")
    out = tmp_path / "faults.json"
    words = ["--work", str(tmp_path / "work"), "--out", str(out), "--points", "3", "--job", job]
    words += [word for kind in kinds for word in ("--kind", kind)]
    command = [sys.executable, "-m", "tools.faults.disturb", *words, "--model", str(models / "sealed.tflite")]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    is_told = "disk: not tried" in ended.stderr  # where this user may not mount file systems
    found = {name.rpartition(", ")[2]: each for name, each in json.loads(out.read_text()).items() if ", " in name}
    assert [each for each in found.values() if each["wrong"]] == []
    assert {name: each["tried"] for name, each in found.items()} == {
        kind: 3 for kind in kinds if not (kind == "disk" and is_told)
    }
