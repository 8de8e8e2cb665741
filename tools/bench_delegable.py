"""Time int8 files of networks that XNNPACK's int8 cannot take as they are against those that it runs in one piece.

python tools/bench_delegable.py --size 128 --out delegable.json keras.applications.DenseNet121

Both files are of one DeepLabV3+ with random weights and the batch statistics of noise, and are timed in turns on one
thread.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import click
import numpy as np

from rsseg_tf.benchmark.latency import benchmark
from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH, quiet_tensorflow
from rsseg_tf.runs import cpu_model, git_state, package_versions, write_json


def measured(backbone: str, size: int, repeats: int) -> dict[str, Any]:
    """Return partitions, milliseconds and megabytes of both files of a backbone."""
    import keras

    from rsseg_tf import pruning
    from rsseg_tf.models.deeplab import deeplab_v3_plus
    from rsseg_tf.quantization import convert
    from rsseg_tf.quantization.checks import proof

    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    model = deeplab_v3_plus(backbone, 8, (size, size, 3))
    pruning.recalibrate(model, [(images.astype(np.float32), None)])
    found: dict[str, Any] = {"backbone": backbone}
    with TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.tflite" for name in ("plain", "ours")}
        paths["ours"].write_bytes(convert.convert(model, calibration=list(images)))
        with patch.object(convert, "delegable", lambda unchanged: unchanged):
            paths["plain"].write_bytes(convert.convert(model, calibration=list(images)))
        results = benchmark(list(paths.values()), repeats=repeats)
        for (name, path), result in zip(paths.items(), results, strict=True):
            found[name] = {"partitions": proof.prove(path).partitions, "p50_ms": result.p50_ms}
            found[name]["file_mb"] = path.stat().st_size / 1e6
    return found


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a row a backbone."""
    lines = [["backbone", "partitions", "ms", "ours: partitions", "ms", "× as fast"], ["---"] * 6]
    for row in rows:
        plain, ours = row["plain"], row["ours"]
        cells = [row["backbone"].rpartition(".")[2], plain["partitions"], f"{plain['p50_ms']:.1f}"]
        cells += [ours["partitions"], f"{ours['p50_ms']:.1f}", f"{plain['p50_ms'] / ours['p50_ms']:.2f}"]
        lines.append([str(cell) for cell in cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@click.command(name="bench_delegable")
@click.argument("backbones", nargs=-1, required=True)
@click.option("--size", type=click.IntRange(64), default=256, show_default=True, help="Pixels a side.")
@click.option("--repeats", type=click.IntRange(1), default=30, show_default=True, help="Timed runs of each file.")
@click.option("--out", type=ANY_PATH, required=True, help="JSON file for all figures.")
def main(backbones: tuple[str, ...], size: int, repeats: int, out: Path) -> None:
    """Time int8 files of each backbone as its graph is, and as XNNPACK takes it whole."""
    quiet_tensorflow()
    rows = [measured(backbone, size, repeats) for backbone in backbones]
    about = {"size": size, "cpu": cpu_model(), "versions": package_versions(), "git": git_state()}
    write_json(out, {**about, "rows": rows})
    click.echo(markdown(rows))


if __name__ == "__main__":
    sys.exit(run(command=main, name="bench_delegable"))
