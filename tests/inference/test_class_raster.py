"""What writing a class map costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_WRITES = """
import sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from rsseg_tf.benchmark.system import memory_mb
from rsseg_tf.datasets.files.place import Place
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.inference.class_raster import create_class_raster

side, rows = 24_000, 1_000
names = Palette(("land", "water"), ((90, 60, 0), (0, 0, 250)))
with create_class_raster(Path(sys.argv[1]), SimpleNamespace(height=side, width=side), Place(), names) as raster:
    held = memory_mb("VmRSS")
    for top in range(0, side, rows):
        raster.write(top, np.full((rows, side), top // rows % 2, np.uint8))
print(memory_mb("VmHWM") - held)
"""


@pytest.mark.slow
def test_a_map_of_576_megabytes_is_written_in_less_than_half_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WRITES, tmp_path / "map.tif"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 250
