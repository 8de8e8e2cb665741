"""Prune half of the groups of keras.applications' CNNs, of our networks and of others', and print how exact that is.

One process a network, one JSON file each in --out; a run that was stopped resumes with what is missing. Where a
network does not hold the law, the exit code is 3. The table has the share of the parameters that can go at most, and
the int8 partitions of the dense and the slim network as well.

PYTHONPATH=. python -m tools.prune_applications --out runs/applications
PYTHONPATH=. python -m tools.prune_applications --out runs/zoo --only '[Kk]eras*'    # what tools/zoo.py builds
"""

from __future__ import annotations

import fnmatch
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import keras
import numpy as np

from rsseg_tf import pruning
from rsseg_tf.cli.shared.options import ANY_PATH
from rsseg_tf.errors import RssegError
from rsseg_tf.graphs import channelwise
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.runs import cpu_model, write_json
from tools.zoo import FOREIGN

SMALLEST_INPUT = {
    **dict.fromkeys(("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"), 32),
    **dict.fromkeys(("ResNet50V2", "ResNet101V2", "ResNet152V2"), 32),
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
    "Xception": 71,
    **dict.fromkeys(("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large"), 32),
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201", "NASNetMobile", "NASNetLarge"), 32),
    **{f"EfficientNetB{number}": 32 for number in range(8)},
    **{f"EfficientNetV2{name}": 32 for name in ("B0", "B1", "B2", "B3", "S", "M", "L")},
    **{f"ConvNeXt{name}": 32 for name in ("Tiny", "Small", "Base", "Large", "XLarge")},
}
"""Network of keras.applications → height and width of the smallest input that it takes."""

_HEADS = {
    "bilinear": {"upsampling": "bilinear"},
    "transposed": {"upsampling": "transposed"},
    "image pooling": {"upsampling": "bilinear", "image_pooling": True},
}


def _application(name: str) -> keras.Model:
    size = SMALLEST_INPUT[name]
    # Without its softmax, which would hide small errors, and large ones behind a 1.
    return getattr(keras.applications, name)(weights=None, classifier_activation=None, input_shape=(size, size, 3))


NETWORKS: Mapping[str, Callable[[], keras.Model]] = {
    **{name: functools.partial(_application, name) for name in SMALLEST_INPUT},
    **{
        f"DeepLabV3+ {backbone} {head}": functools.partial(deeplab_v3_plus, backbone, 8, (32, 32, 3), **options)
        for backbone in ("resnet18", "resnet50")
        for head, options in _HEADS.items()
    },
    **FOREIGN,
}
"""Name → how the network is built."""


def examine(name: str) -> dict[str, Any]:
    """Return one network's row: its groups, what pruning half of them leaves, and how exact that is."""
    start = time.monotonic()
    model = NETWORKS[name]()
    pruning.randomize(model)
    model = channelwise(model)
    groups = pruning.find_groups(model)
    plan = pruning.random_plan(groups, 0.5, seed=0)
    verification = pruning.verify(model, plan)
    slim = pruning.rebuild(model, plan)
    return {
        "name": name,
        "input_size": list(model.inputs[0].shape[1:3]),
        "groups": len(groups),
        "families": len(groups.families),
        "frozen": dict(groups.frozen),
        "params": plan.dense_cost["params"],
        "can_go": 1 - pruning.largest_cut(groups).share("params"),
        "int8_partitions": [_partitions(each) for each in (model, slim)] if name in FOREIGN else [None, None],
        **asdict(verification),
        "largest_error": verification.largest_error,
        "holds": verification.holds,
        "seconds": time.monotonic() - start,
    }


def _partitions(model: keras.Model) -> int | str:
    """Return the partitions that XNNPACK makes of an int8 file of a network's last output; why, where there is none."""
    from rsseg_tf.quantization.checks import proof
    from rsseg_tf.quantization.convert import convert

    model = keras.Model(model.inputs, model.outputs[-1], name=model.name)
    shape = model.inputs[0].shape[1:]
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder, "model.tflite")
            path.write_bytes(convert(model, calibration=list(images)))
            return proof.prove(path).partitions
    except RssegError as error:
        return error.message


@click.command()
@click.option("-o", "--out", type=ANY_PATH, required=True, help="Folder of the JSON files.")
@click.option("--only", default="*", metavar="PATTERN", help="Names to examine, as in a shell.")
@click.option("--threads", default=1, show_default=True, help="Threads of each operation.")
@click.option("--worker", hidden=True, type=click.Choice(list(NETWORKS)))
def main(out: Path, only: str, threads: int, worker: str | None) -> None:
    """Examine every network, each in a process of its own, and print the table."""
    if worker:
        write_json(_file(out, worker), examine(worker))
        return
    wanted = [name for name in NETWORKS if fnmatch.fnmatchcase(name, only)]
    for name in wanted:
        if not _file(out, name).is_file():
            click.echo(name, err=True)
            _examine_apart(name, out, threads)
    rows = {name: json.loads(_file(out, name).read_text()) for name in wanted if _file(out, name).is_file()}
    click.echo(table(rows))
    click.echo(f"\n{len(rows)} of {len(wanted)} networks examined; {cpu_model()}, {threads} thread(s) an operation.")
    if len(rows) < len(wanted):
        sys.exit(1)
    if not all(row["holds"] for row in rows.values()):
        sys.exit(3)


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the rows as Markdown."""
    head = ("network", "input", "groups", "families", "frozen layers", "params before", "can go", "params after")
    lines = [(*head, "as predicted", "signal", "largest error", "int8 partitions", "seconds"), ("---",) * 13]
    lines += [_cells(row) for row in rows.values()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    error = row["largest_error"]
    return (
        row["name"],
        "×".join(map(str, row["input_size"])),
        f"{row['groups']:,}",
        f"{row['families']:,}",
        str(len(row["frozen"])),
        f"{row['params']:,}",
        f"{row['can_go']:.1%}",
        f"{row['params_built']:,}",
        "yes" if row["cost_as_predicted"] else "**no**",
        f"{row['signal']:.2g}",
        "**NaN**" if error is None else f"{error:.1e}" if row["holds"] else f"**{error:.1e}**",
        " → ".join(str(number) if isinstance(number, int) else "–" for number in row["int8_partitions"]),
        f"{row['seconds']:.0f}",
    )


def _examine_apart(name: str, out: Path, threads: int) -> None:
    """Examine a network in a process of its own, whose memory goes when it ends."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.prune_applications", "--out", str(out), "--worker", name],
        env={**os.environ, "TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": "1"},
        check=False,
    )
    if done.returncode:
        click.echo(f"{name} ended with {done.returncode}", err=True)


def _file(out: Path, name: str) -> Path:
    return out / f"{name.replace(' ', '_')}.json"


if __name__ == "__main__":
    main()
