"""How much memory long jobs hold at their start, middle and end, and how fast it grows; what each small image costs.

    PYTHONPATH=. python -m tools.faults.memory --work FOLDER --out memory.json

Networks and images are tiny, so that what grows with the length of a job stands out. The resident memory is read four
times a second; `start` is what is held when a fifth of the time has gone, after libraries and first traces, `slope` the
line of least squares from there to the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from rsseg_tf.cli.shared.options import ANY_PATH
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.runs import cpu_model, git_state, write_json
from tools.faults.jobs import SETTINGS, Workshop, write_mosaic

_INTERVAL_S = 0.25
_WARM = 0.2
_LONG = ("fit.epochs=2", "fit.steps_per_epoch=500", "prune.loops=60", "prune.retrain.epochs=0")

JOBS: dict[str, tuple[str, ...]] = {
    "fit, 1,000 steps": ("fit", "-o", "long", *SETTINGS, *_LONG),
    "prune, 60 loops": ("prune", "base/dense", "-o", "pruned", *_LONG[2:]),
    "predict, mosaic of 96×40,000": ("predict", "base/model.tflite", "long.tif", "-o", "map"),
    "predict, 65,535 pixels wide": ("predict", "base/model.tflite", "wide.png", "-o", "wide"),
    "predict, 10,000 images of 32²": ("predict", "base/model.tflite", "small", "-o", "maps"),
    "predict, 1 image of 32²": ("predict", "base/model.tflite", "small/00000.png", "-o", "one"),
}


def measured(words: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run a command and return its seconds, and its resident memory in MiB over them.

    Raises:
        SystemExit: if the command fails.
    """
    started, seen = time.monotonic(), []
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "rsseg_tf.cli.main", *words], cwd=folder, stdout=said, stderr=said
        )
        while process.poll() is None:
            seen.append((time.monotonic() - started, _resident_mib(process.pid)))
            time.sleep(_INTERVAL_S)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ends with {process.returncode}: {(folder / 'said').read_text()[-1000:]}")
    return {"seconds": time.monotonic() - started, **curve(np.array(seen))}


def curve(seen: np.ndarray) -> dict[str, float]:
    """Return start, middle, end, most and slope of rows (seconds, MiB), the first fifth of the time left out."""
    warm = seen[(seen[:, 0] >= _WARM * seen[-1, 0]) & (seen[:, 1] > 0)]
    slope = np.polyfit(warm[:, 0], warm[:, 1], 1)[0] if len(warm) > 2 else 0.0
    start, middle, end = (float(warm[int(share * (len(warm) - 1)), 1]) for share in (0, 0.5, 1))
    return {
        "start_mib": start,
        "middle_mib": middle,
        "end_mib": end,
        "most_mib": float(seen[:, 1].max()),
        "slope_mib_per_min": 60 * float(slope),
    }


def _resident_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)


def _write_images(folder: Path) -> None:
    if (folder / "wide.png").exists():
        return
    rng = np.random.default_rng(0)
    write_mosaic(folder / "long.tif", height=40_000)
    for number in range(10_000):
        write_image(folder / f"small/{number:05d}.png", rng.integers(0, 256, (32, 32, 3), np.uint8))
    write_image(folder / "wide.png", rng.integers(0, 256, (64, 65_535, 3), np.uint8))


@click.command(name="memory")
@click.option("--work", type=ANY_PATH, required=True, help="Folder for networks and images.")
@click.option("--out", type=ANY_PATH, required=True, help="JSON file; what it holds is not done again.")
@click.option("--only", multiple=True, type=click.Choice(list(JOBS)), help="Some jobs alone.")
def main(work: Path, out: Path, only: tuple[str, ...]) -> None:
    """Measure the memory of long jobs, and print a row of a table for each."""
    folder = work.resolve()
    Workshop(folder)
    _write_images(folder)
    results = json.loads(out.read_text()) if out.exists() else {"cpu": cpu_model(), "git": git_state()}
    for name in only or JOBS:
        if name not in results:
            results[name] = measured(JOBS[name], folder)
            write_json(out, results)
        found = results[name]
        mib = " | ".join(f"{found[f'{when}_mib']:.0f}" for when in ("start", "middle", "end", "most"))
        click.echo(f"| {name} | {mib} | {found['slope_mib_per_min']:+.1f} | {found['seconds']:.0f} |")


if __name__ == "__main__":
    sys.exit(main())
