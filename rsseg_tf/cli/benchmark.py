"""`rsseg-tf benchmark`."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.errors import ConfigError
from rsseg_tf.progress import progress_bar
from rsseg_tf.runs import require_output
from rsseg_tf.steps.opening import find_model, is_keras, open_model

if TYPE_CHECKING:
    from rsseg_tf.benchmark.latency import BenchmarkResult
    from rsseg_tf.benchmark.profile import LatencyProfile
    from rsseg_tf.benchmark.throughput import Throughput


@click.command(name="benchmark")
@click.argument("models", nargs=-1, required=True, type=options.ANY_PATH, metavar="MODEL...")
@click.option("--threads", default="1", show_default=True, help="Numbers of CPU threads, such as 1,2,4.")
@click.option(
    "--repeats", type=click.IntRange(min=1, max=10**6), default=50, show_default=True, help="Timed runs of each model."
)
@click.option(
    "--warmup", type=click.IntRange(min=0, max=10**6), default=5, show_default=True, help="Untimed runs before them."
)
@click.option("--profile", type=options.ANY_PATH, metavar="FILE", help="JSON file for the time of each operator.")
@click.option("--throughput", is_flag=True, help="Measure processes side by side too: how the cores are best split.")
@click.option(
    "--board",
    metavar="NAME",
    help="With --profile: estimate it for a board that is not at hand, and measure nothing: pi4, pi5, coral, x86-avx2, "
    "x86-vnni or x86-amx.",
)
@options.delegate_option
@click.option(
    "--runtime",
    "runtimes",
    type=click.Choice(["litert", "openvino", "onnxruntime", "auto"]),
    multiple=True,
    help="What runs each MODEL, side by side where given several times; auto for the fastest that is installed.",
)
@click.option(
    "--data",
    type=options.ANY_PATH,
    metavar="FILE",
    help="YAML file with the settings of a data set to score each model on.",
)
@options.split_option("Split of --data to score.")
@options.json_option
def command(
    models: tuple[Path, ...],
    threads: str,
    repeats: int,
    warmup: int,
    profile: Path | None,
    throughput: bool,
    board: str | None,
    delegate: str | None,
    runtimes: tuple[str, ...],
    data: Path | None,
    split: str,
    as_json: bool,
) -> None:
    """Measure latency and memory of models, taking turns so that heat and load hit all alike.

    A MODEL is a .tflite or .onnx file, or a .keras file (or run folder), which is measured as a float32 TFLite file.
    The ratio is of medians, against the first model.

    With --data, the mIoU is printed beside the latency. With --profile, one model's operators are timed one by one;
    `prune` takes the file for its latency target. --board estimates that file from what the board's cores can do:
    good for where the time goes and which widths pay, while its milliseconds may be off by a factor of two.

    With --throughput, one model is run in 1, 2, 4 … processes side by side, the cores divided among them: what
    --workers of `predict` should be.

    For example: rsseg-tf benchmark dense.tflite pruned.tflite --threads 1,4
    """
    counts = _thread_counts(threads)
    _check_profile(models, counts, profile, "a delegate" if delegate else "other runtimes" if runtimes else "")
    if throughput and (len(models) > 1 or runtimes):
        raise ConfigError(
            "`--throughput` takes one MODEL, in LiteRT", hint="run benchmark once for each, without --runtime"
        )
    if board:
        _check_board(profile, "--data" if data else "--throughput" if throughput else "")
    if profile:
        require_output(profile, kinds=[".json"], reads=models)
    if profile and board:
        _write_estimate(find_model(models[0]), board, profile, threads=counts[0], as_json=as_json)
        return
    from rsseg_tf.benchmark.latency import benchmark, format_results

    library = _delegate(delegate)
    times = {"repeats": repeats, "warmup": warmup}
    named = [find_model(model) for model in models]
    with tempfile.TemporaryDirectory() as scratch:
        files = [_as_tflite(model, Path(scratch) / f"{number}.tflite") for number, model in enumerate(named)]
        with progress_bar("benchmark") as progress:
            results = benchmark(
                files, threads=counts, delegate=library, runtimes=runtimes or ("",), progress=progress, **times
            )
        if data:
            results = _scored(results, data, split, delegate=delegate)
        measured = _profile(files[0], named[0], threads=counts[0], times=times) if profile else None
        side_by_side = _side_by_side(files[0], library) if throughput else []
    original = dict(zip(map(str, files), map(str, named), strict=True))
    results = [dataclasses.replace(result, model=original[result.model]) for result in results]
    text = format_results(results)
    if profile and measured:
        from rsseg_tf.benchmark.profile import format_profile, save_profile

        save_profile(profile, measured)
        text = f"{text}\n\n{format_profile(measured)}"
    if side_by_side:
        from rsseg_tf.benchmark.throughput import format_throughput

        text = f"{text}\n\n{format_throughput(side_by_side)}"
    values = {
        "results": [result.to_dict() for result in results],
        "profile": measured and measured.to_dict(),
        "throughput": [each.to_dict() for each in side_by_side],
    }
    options.print_result(values, text, as_json=as_json)


def _check_profile(models: Sequence[Path], counts: Sequence[int], profile: Path | None, other: str) -> None:
    if profile and (len(models) > 1 or len(counts) > 1):
        raise ConfigError("`--profile` takes one MODEL and one number of threads", hint="run benchmark once for each")
    if profile and other:
        raise ConfigError(f"`--profile` times LiteRT on the CPU, not {other}", hint="leave one of the two out")


def _check_board(profile: Path | None, measuring: str) -> None:
    if not profile:
        raise ConfigError("`--board` is for `--profile FILE`", hint="add it, or leave --board out to measure here")
    if measuring:
        raise ConfigError(f"`--board` measures nothing, `{measuring}` does", hint="leave one of the two out")


def _write_estimate(model: Path, board: str, profile: Path, *, threads: int, as_json: bool) -> None:
    from rsseg_tf.benchmark.boards import estimate
    from rsseg_tf.benchmark.profile import format_profile, save_profile

    with tempfile.TemporaryDirectory() as scratch:
        file = _as_tflite(model, Path(scratch) / "model.tflite")
        found = dataclasses.replace(estimate(file, board, threads=threads), model=str(model))
    save_profile(profile, found)
    options.print_result({"results": [], "profile": found.to_dict()}, format_profile(found), as_json=as_json)


def _profile(file: Path, name: Path, *, threads: int, times: Mapping[str, int]) -> LatencyProfile:
    """Return the latency of every operator of `file`, which the profile calls `name`."""
    from rsseg_tf.benchmark.profile import profile

    with progress_bar("profile") as progress:
        measured = profile(file, threads=threads, progress=progress, **times)
    return dataclasses.replace(measured, model=str(name))


def _side_by_side(file: Path, delegate: Path | None) -> list[Throughput]:
    """Return the images a second of every split of this machine's cores."""
    from rsseg_tf.benchmark.system import read_system
    from rsseg_tf.benchmark.throughput import splits_of, throughput

    with progress_bar("throughput") as progress:
        return throughput(file, splits_of(read_system().cores), delegate=delegate, progress=progress)


def _delegate(word: str | None) -> Path | None:
    from rsseg_tf.tflite.delegates import delegate_library

    return delegate_library(word) if word else None


def _scored(
    results: Sequence[BenchmarkResult], settings: Path, split: str, *, delegate: str | None
) -> list[BenchmarkResult]:
    """Return the results with the mIoU of each model by each runtime, measured once however many threads were tried."""
    from rsseg_tf.config import load_config
    from rsseg_tf.datasets.catalog import open_dataset
    from rsseg_tf.evaluation.scoring import evaluate

    config = load_config(settings, ())
    dataset = open_dataset(config.data, seed=config.seed)
    scores: dict[tuple[str, str], float] = {}
    for result in results:
        key = (result.model, result.runtime)
        if key not in scores:
            predictor = open_model(
                result.model, config, threads=result.threads, delegate=delegate, runtime=result.runtime
            )
            with progress_bar(f"score {Path(result.model).name}") as progress:
                scores[key] = evaluate(predictor, dataset, split, progress=progress).miou
    return [dataclasses.replace(result, miou=scores[result.model, result.runtime]) for result in results]


def _thread_counts(text: str) -> tuple[int, ...]:
    words = text.split(",")
    counts = tuple(int(word) for word in words if word.strip().isdecimal() and len(word) <= 4)
    if len(counts) < len(words) or not all(1 <= count <= options.MOST_THREADS for count in counts):
        limits = f"whole numbers from 1 to {options.MOST_THREADS:,}"
        raise ConfigError(f"`--threads` takes {limits}, got `{text}`", hint="for example --threads 1,2")
    return counts


def _as_tflite(model: Path, scratch: Path) -> Path:
    """Return the file to measure: `model` itself, or what it becomes in float32."""
    if not is_keras(model):
        return model
    options.quiet_tensorflow()
    from rsseg_tf.models.weights.pretrained import load_segmenter
    from rsseg_tf.quantization.convert import convert

    scratch.write_bytes(convert(load_segmenter(model, output=None), number_format="float32"))
    return scratch
