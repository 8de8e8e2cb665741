"""A script that runs itself again in a virtual environment of its own, so that a peer's packages touch no other.

Standard library alone: it is imported on both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INSIDE = "RSSEG_PEER_VENV"
"""Environment variable that tells a script that it runs in its own environment."""

_NOTE = "requirements.txt"


@dataclass(frozen=True)
class OwnVenv:
    """A virtual environment and what is to be in it.

    Attributes:
        folder: where it is, or will be made.
        requirements: what pip installs.
        python: the interpreter that makes it, a name or path.
    """

    folder: Path
    requirements: tuple[str, ...]
    python: str = sys.executable

    def make(self) -> None:
        """Make it, unless it is there with these requirements; a half-made one is made anew.

        Raises:
            SystemExit: if there is no such interpreter, or pip could not install what is asked for.
        """
        note = self.folder / _NOTE
        wanted = "\n".join(self.requirements) + "\n"
        if note.is_file() and note.read_text(encoding="utf-8") == wanted:
            return
        interpreter = shutil.which(self.python)
        if interpreter is None:
            raise SystemExit(f"there is no interpreter `{self.python}`")
        shutil.rmtree(self.folder, ignore_errors=True)
        pip = [str(self.folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        for command in ([interpreter, "-m", "venv", str(self.folder)], [*pip, "install", *self.requirements]):
            if subprocess.run(command, check=False).returncode:
                raise SystemExit(f"this failed: {' '.join(command)}")
        note.write_text(wanted, encoding="utf-8")

    def run(self, script: Path, arguments: Sequence[str], extra: Mapping[str, str] | None = None) -> int:
        """Return the exit code of `script` run inside, with `extra` environment variables."""
        environment = {**os.environ, "PYTHONPATH": "", **(extra or {}), INSIDE: "1"}
        command = [str(self.folder / "bin" / "python"), str(script), *arguments]
        return subprocess.run(command, env=environment, check=False).returncode


def write_result(out: Path, result: Mapping[str, Any]) -> None:
    """Write a JSON file that appears as a whole; what JSON does not know is written as text."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_suffix(".part")
    temporary.write_text(json.dumps(result, indent=2, default=str) + "\n", encoding="utf-8")
    temporary.replace(out)


def add_model_arguments(made: argparse.ArgumentParser) -> None:
    """Add the words that every script takes which starts from a trained model of ours."""
    made.add_argument("--venv", type=Path, required=True, help="its virtual environment; made where it is not there")
    made.add_argument("--model", type=Path, required=True, help="the trained .keras file")
    made.add_argument("-c", "--config", type=Path, help="YAML file with the settings of its data and network")
    made.add_argument("--out", type=Path, required=True, help="JSON file")
    made.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings")


def is_inside() -> bool:
    """Return whether this process runs in the script's own environment."""
    return INSIDE in os.environ


def is_finished(out: Path) -> bool:
    """Return whether the result is there; says so, since nothing is measured then."""
    if out.exists():
        print(f"{out} is there already; delete it to measure again", file=sys.stderr)
    return out.exists()
