"""`rsseg-tf benchmark`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.progress import progress_bar
from rsseg_tf.cli.shared import ANY_PATH, json_option, print_result
from rsseg_tf.errors import ConfigError


@click.command(name="benchmark")
@click.argument("models", nargs=-1, required=True, type=ANY_PATH, metavar="MODEL.tflite...")
@click.option("--threads", default="1", show_default=True, help="Numbers of CPU threads, such as 1,2,4.")
@click.option("--repeats", type=click.IntRange(min=1), default=50, show_default=True, help="Timed runs of each model.")
@click.option("--warmup", type=click.IntRange(min=0), default=5, show_default=True, help="Untimed runs before them.")
@json_option
def command(models: tuple[Path, ...], threads: str, repeats: int, warmup: int, as_json: bool) -> None:
    """Measure latency and memory of TFLite files, taking turns so that heat and load hit all alike.

    The ratio is of medians, against the first model.

    For example: rsseg-tf benchmark dense.tflite pruned.tflite --threads 1,4
    """
    counts = _thread_counts(threads)
    from rsseg_tf.edge.bench import benchmark, format_results

    with progress_bar("benchmark") as progress:
        results = benchmark(models, threads=counts, repeats=repeats, warmup=warmup, progress=progress)
    print_result({"results": [result.to_dict() for result in results]}, format_results(results), as_json=as_json)


def _thread_counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise ConfigError(f"`--threads` takes whole numbers, got `{text}`", hint="for example --threads 1,2") from error
