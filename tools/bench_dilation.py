"""Time gradient steps and predictions with dilated convolutions in one op against Keras' own, in turns, in one run.

python tools/bench_dilation.py --backbone resnet18 --size 256 --precision auto --out dilation_r18.json

Both steps train their own copy of one seeded network on the same batch of noise; that their first losses agree is
checked before anything is timed.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from bench_work import Batch, Work, dense_model, gradient_step, random_batches

from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH, quiet_tensorflow
from rsseg_tf.errors import RssegError
from rsseg_tf.runs import cpu_model, git_state, package_versions, write_json

WAYS = {"keras": False, "native": True}

_AGREE = 0.01
"""Greatest difference of the first losses, relative: bfloat16 rounds to 3 digits."""


def in_turns(ways: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Return seconds of each way, `repeats` times, one after the other; a first call of each is not counted.

    Raises:
        RssegError: if the first calls do not come to the same number.
    """
    first = {name: call() for name, call in ways.items()}
    reference = next(iter(first.values()))
    if not all(abs(value - reference) <= _AGREE * abs(reference) for value in first.values()):
        raise RssegError(f"the ways do not compute the same: {first}")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, call in ways.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def training(work: Work, batch: Batch) -> dict[str, Callable[[], float]]:
    """Return a gradient step in each way."""
    steps = {name: gradient_step(dense_model(work), native=native) for name, native in WAYS.items()}
    return {name: lambda step=step: step(batch) for name, step in steps.items()}


def predicting(work: Work, batch: Batch) -> dict[str, Callable[[], float]]:
    """Return a forward pass in inference mode in each way, to the mean of its squared logits."""
    import tensorflow as tf

    from rsseg_tf.tracing import native_dilation

    images = tf.convert_to_tensor(batch[0])

    def forward(native: bool) -> Callable[[], float]:
        model = dense_model(work)
        traced = tf.function(lambda x: tf.reduce_mean(model(x, training=False) ** 2))

        def call() -> float:
            with native_dilation(model) if native else nullcontext():
                return float(traced(images))

        return call

    return {name: forward(native) for name, native in WAYS.items()}


def markdown(work: Work, parts: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return medians in seconds, and their ratio, as a table of one row a part."""
    lines = [["network", "", "Keras' own, s", "one op, s", "ratio"], ["---"] * 5]
    for part, seconds in parts.items():
        keras, native = (statistics.median(seconds[name]) for name in WAYS)
        network = f"{work.backbone} {work.size}², batch {work.batch}, {work.precision}"
        lines.append([network, part, f"{keras:.3f}", f"{native:.3f}", f"{keras / native:.1f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@click.command(name="bench_dilation")
@click.option("--backbone", type=click.Choice(["resnet18", "resnet50"]), default="resnet18", show_default=True)
@click.option("--size", type=click.IntRange(32), default=256, show_default=True, help="Pixels a side.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Images a batch.")
@click.option("--precision", type=click.Choice(["float32", "bfloat16", "auto"]), default="float32", show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Timed calls of each.")
@click.option("--out", type=ANY_PATH, required=True, help="JSON file for all times.")
def main(backbone: str, size: int, batch: int, precision: str, repeats: int, out: Path) -> None:
    """Time gradient steps and predictions with dilated convolutions in one op against Keras' own."""
    quiet_tensorflow()
    from rsseg_tf.tracing.precision import use_precision

    work = Work(backbone, size, batch, loops=0, batches=1, macs=1.0, precision=use_precision(precision))
    (data,) = random_batches(work)
    parts: dict[str, Any] = {}
    for part, ways in (("gradient step", training), ("prediction", predicting)):
        parts[part] = in_turns(ways(work, data), repeats)
    about = {"work": asdict(work), "cpu": cpu_model(), "versions": package_versions(), "git": git_state()}
    write_json(out, {**about, "seconds": parts})
    click.echo(markdown(work, parts))


if __name__ == "__main__":
    sys.exit(run(command=main, name="bench_dilation"))
