"""Options of commands whose work can be dealt to workers, and the workers that they stand for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rsseg_tf.cli.shared.options import MOST_THREADS
from rsseg_tf.errors import ConfigError
from rsseg_tf.progress import progress_bar, say
from rsseg_tf.steps.opening import is_keras

if TYPE_CHECKING:
    from rsseg_tf.cluster.engine import Cluster
    from rsseg_tf.cluster.worker import Model
    from rsseg_tf.inference.predict import TiledPredictor

Command = TypeVar("Command", bound=Callable[..., Any])

AUTO = 0
"""The number of workers that stands for the fastest."""


class _Workers(click.IntRange):
    """A number of workers, or `auto`."""

    name = "workers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number that a word stands for."""
        return AUTO if value == "auto" else super().convert(value, param, ctx)


def workers_options(command: Command) -> Command:
    """Return a command with `--workers` and `--cluster`."""
    for option in (
        click.option(
            "--cluster",
            "address",
            metavar="tcp://HOST:PORT",
            help="Deal the work to a Dask scheduler's workers (.tflite).",
        ),
        click.option(
            "--workers",
            type=_Workers(min=1, max=MOST_THREADS),
            metavar="N|auto",
            help="Deal the work to N processes, which share the cores (.tflite); auto measures how many pay.",
        ),
    ):
        command = option(command)
    return command


def are_wanted(workers: int | None, address: str | None, models: Sequence[Path]) -> bool:
    """Return whether the work is to be dealt to workers.

    Raises:
        ConfigError: if both kinds are asked for, or a model is not one that workers open.
    """
    if workers is not None and address:
        raise ConfigError("workers are started here or are those of a cluster", hint="give --workers or --cluster")
    if workers is None and not address:
        return False
    if any(map(is_keras, models)):
        raise ConfigError("workers open .tflite files alone", hint="export the model: rsseg-tf export-tflite")
    return True


@contextlib.contextmanager
def opened_workers(
    workers: int | None, address: str | None, model: Path, opening: Mapping[str, Any]
) -> Iterator[tuple[Cluster, dict[str, Any]]]:
    """Yield workers, and how each is to open models: threads that nobody asked for are the cores, divided.

    Args:
        workers: how many to start here, `AUTO` for as many as are fastest; None for those of `address`.
        address: of a scheduler.
        model: that the fastest number is measured with.
        opening: how models would be opened here.

    Raises:
        RssegError: as `rsseg_tf.cluster.engine.open_cluster`.
    """
    from rsseg_tf.benchmark.system import read_system
    from rsseg_tf.cluster.engine import open_cluster

    cores, opening = read_system().cores, dict(opening)
    is_usual = _is_usual("threads")
    if workers == AUTO:
        workers, threads = _fastest(model, cores, opening)
    else:
        threads = max(1, cores // workers) if workers else opening["threads"]
    opening["threads"] = threads if is_usual else opening["threads"]
    with open_cluster(workers=workers or 0, address=address or "") as cluster:
        if cluster.dashboard:
            say(f"{cluster.workers} workers; what they do: {cluster.dashboard}")
        yield cluster, opening


def model_for(path: Path, predictor: TiledPredictor, opening: Mapping[str, Any]) -> Model:
    """Return a model as workers are to open it."""
    from rsseg_tf.cluster.worker import Model

    return Model(str(path.absolute()), predictor.model_sha256, tuple(sorted(opening.items())))


def _is_usual(option: str) -> bool:
    context = click.get_current_context()
    return context.get_parameter_source(option) is click.core.ParameterSource.DEFAULT


def _fastest(model: Path, cores: int, opening: Mapping[str, Any]) -> tuple[int, int]:
    """Return the number of processes, and threads of each, that are the fastest here; measured, and said."""
    from rsseg_tf.benchmark.throughput import splits_of, throughput
    from rsseg_tf.tflite.delegates import delegate_library

    library = delegate_library(opening["delegate"]) if opening["delegate"] else None
    splits = [split for split in splits_of(cores) if split != (1, 1)] or [(1, 1)]
    with progress_bar("choose the number of workers") as progress:
        found = throughput(model, splits, delegate=library, turns=1, progress=progress)
    best = max(found, key=lambda each: each.images_per_s)
    rates = ", ".join(f"{each.processes} × {each.threads}: {each.megapixels_per_s:.1f} MP/s" for each in found)
    say(f"the fastest of workers × threads here is {best.processes} × {best.threads} ({rates})")
    return best.processes, best.threads
