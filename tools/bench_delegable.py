"""Time int8 files of networks as their graphs are against those of the graphs that an export makes of them.

python tools/bench_delegable.py --size 128 --out delegable.json keras.applications.DenseNet121
python tools/bench_delegable.py --size 128 --without live_taps --out taps.json resnet18

By default they differ in what XNNPACK's int8 cannot take, else in the taps of kernels that never meet the picture.
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

STEPS = ("delegable", "live_taps")
"""What `rsseg_tf.quantization.convert` does to a graph before it is converted."""


def measured(backbone: str, size: int, repeats: int, *, without: str) -> dict[str, Any]:
    """Return partitions, milliseconds, megabytes and cost of both files of a backbone; `plain` is without the step."""
    import keras

    from rsseg_tf import pruning
    from rsseg_tf.models.deeplab import deeplab_v3_plus
    from rsseg_tf.quantization import convert
    from rsseg_tf.quantization.checks import proof
    from rsseg_tf.tflite.flatbuffer import parse_model

    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    model = deeplab_v3_plus(backbone, 8, (size, size, 3))
    pruning.recalibrate(model, [(images.astype(np.float32), None)])
    found: dict[str, Any] = {"backbone": backbone}
    with TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.tflite" for name in ("plain", "ours")}
        paths["ours"].write_bytes(convert.convert(model, calibration=list(images)))
        with patch.object(convert, without, lambda unchanged: unchanged):
            paths["plain"].write_bytes(convert.convert(model, calibration=list(images)))
        results = benchmark(list(paths.values()), repeats=repeats)
        for (name, path), result in zip(paths.items(), results, strict=True):
            found[name] = {"partitions": proof.prove(path).partitions, "p50_ms": result.p50_ms}
            ops = parse_model(path.read_bytes(), name=name).ops
            found[name] |= {"params": sum(op.params for op in ops), "macs": sum(op.macs for op in ops)}
            found[name]["file_bytes"] = path.stat().st_size
    return found


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a row a backbone."""
    each = ["partitions", "M params", "GMACs", "MB", "ms"]
    lines = [["backbone", *each, *(f"ours: {name}" for name in each), "× as fast"], ["---"] * 12]
    for row in rows:
        plain, ours = row["plain"], row["ours"]
        cells = [row["backbone"].rpartition(".")[2], *_cells(plain), *_cells(ours)]
        lines.append([*cells, f"{plain['p50_ms'] / ours['p50_ms']:.2f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(file: Mapping[str, Any]) -> list[str]:
    scaled = [f"{file[key] / unit:.3f}" for key, unit in (("params", 1e6), ("macs", 1e9), ("file_bytes", 1e6))]
    return [str(file["partitions"]), *scaled, f"{file['p50_ms']:.1f}"]


@click.command(name="bench_delegable")
@click.argument("backbones", nargs=-1, required=True)
@click.option("--size", type=click.IntRange(64), default=256, show_default=True, help="Pixels a side.")
@click.option("--repeats", type=click.IntRange(1), default=30, show_default=True, help="Timed runs of each file.")
@click.option("--without", type=click.Choice(STEPS), default=STEPS[0], show_default=True, help="The step to judge.")
@click.option("--out", type=ANY_PATH, required=True, help="JSON file for all figures.")
def main(backbones: tuple[str, ...], size: int, repeats: int, without: str, out: Path) -> None:
    """Time int8 files of each backbone with and without a step of the export."""
    quiet_tensorflow()
    rows = [measured(backbone, size, repeats, without=without) for backbone in backbones]
    about = {"size": size, "without": without, "cpu": cpu_model(), "versions": package_versions(), "git": git_state()}
    write_json(out, {**about, "rows": rows})
    click.echo(markdown(rows))


if __name__ == "__main__":
    sys.exit(run(command=main, name="bench_delegable"))
