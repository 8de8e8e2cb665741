"""Draw what accuracy each way of slimming leaves, from the folders of compare_pruning.py at several budgets.

python tools/draw_cuts.py runs/cut-0.75 runs/cut-0.5 runs/cut-0.25 runs/cut-0.1 -o docs/cuts.png \
    --beside "narrow from the beginning=narrow.json"
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH
from rsseg_tf.errors import ConfigError
from rsseg_tf.report.pictures.figures import COLORS, MARKERS
from rsseg_tf.report.pictures.heatmap import check_matplotlib
from rsseg_tf.runs import atomic_path
from rsseg_tf.tflite.flatbuffer import read_model

DENSE = "dense"


@click.command(name="draw_cuts")
@click.argument("folders", nargs=-1, required=True, type=ANY_PATH, metavar="FOLDER…")
@click.option("--beside", multiple=True, metavar="NAME=FILE", help="JSON of `evaluate --json` of other int8 files.")
@click.option("-o", "--out", type=ANY_PATH, required=True, help="PNG file.")
def main(folders: tuple[Path, ...], beside: tuple[str, ...], out: Path) -> None:
    """Draw the test mIoU of the int8 files in each FOLDER against their share of the dense one's operations."""
    series: dict[str, list[tuple[int, float]]] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            row = json.loads(path.read_text(encoding="utf-8"))
            if "int8_test_miou" in row:
                file = folder / Path(row["int8_file"]).name
                series.setdefault(row["method"], []).append(_point(file, row["int8_test_miou"]))
    if DENSE not in series:
        raise ConfigError(
            "no dense network in the folders", hint="they are what tools/compare_pruning.py wrote to --out"
        )
    for word in beside:
        name, _, scores = word.rpartition("=")
        models: Sequence[Mapping[str, Any]] = json.loads(Path(scores).read_text(encoding="utf-8"))["models"]
        series[name] = [_point(Path(model["model"]), model["miou"]) for model in models]
    draw(series, out)


def draw(series: Mapping[str, Sequence[tuple[int, float]]], path: Path) -> None:
    """Write the figure: test mIoU against the share of operations left, a line a method, the dense network as a level.

    Args:
        series: method → multiply-accumulates and mIoU of each of its networks; `dense` is what they began as.
        path: PNG file to write.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    whole, level = series[DENSE][0]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    axis.axhline(100 * level, color="#707a89", linewidth=1, linestyle="--", label="dense")
    others = [name for name in series if name != DENSE]
    for name, color, marker in zip(others, COLORS, MARKERS, strict=False):
        points = sorted(series[name])
        shares, scores = [macs / whole for macs, _ in points], [100 * miou for _, miou in points]
        axis.plot(shares, scores, color=color, marker=marker, label=name)
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axis.set_xlabel("multiply-accumulates left")
    axis.set_ylabel("test mIoU of the int8 file, %")
    axis.grid(alpha=0.3)
    figure.legend(loc="outside right center", frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _point(file: Path, miou: float) -> tuple[int, float]:
    return read_model(file).macs, miou


if __name__ == "__main__":
    sys.exit(run(command=main, name="draw_cuts"))
