"""Runs the program as on a board: in a process where TensorFlow and its company cannot be imported."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"tensorflow", "keras", "tf_keras", "scipy", "jax", "torch"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from rsseg_tf.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def run_without_tensorflow(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The finished process of `rsseg-tf ARGUMENTS`, with its output."""
    command = [sys.executable, "-c", _PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
