"""Print a Markdown table of `.tflite` files: accuracy on a split, size, operations, and latency taken in turns.

python tools/compare_models.py -c runs/dubai/config.yaml runs/dubai_float32.tflite runs/dubai_int8.tflite
"""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.benchmark.latency import benchmark
from rsseg_tf.cli.shared.options import ANY_PATH
from rsseg_tf.config import load_config
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.evaluation.scoring import Evaluation, evaluate
from rsseg_tf.inference.predict import open_predictor
from rsseg_tf.tflite.flatbuffer import read_model

THREADS = (1, 2)


@click.command()
@click.argument("models", nargs=-1, type=ANY_PATH, required=True)
@click.option("-c", "--config", "config_path", type=ANY_PATH, required=True, help="Settings of the data.")
@click.option("--split", default="test", show_default=True)
@click.option("--repeats", default=50, show_default=True)
def main(models: tuple[Path, ...], config_path: Path, split: str, repeats: int) -> None:
    """Compare MODELS on one data set and one machine."""
    config = load_config(config_path)
    dataset = open_dataset(config.data, seed=config.seed)
    results = benchmark(models, threads=THREADS, repeats=repeats)
    latency = {(Path(result.model), result.threads): (result.p50_ms, result.end_to_end_p50_ms) for result in results}
    scores = {model: evaluate(open_predictor(model, threads=2), dataset, split) for model in models}
    rows = [_row(model, scores[model], [latency[model, count] for count in THREADS]) for model in models]
    head = ["model", "accuracy %", "mIoU %", "boundary F1 %", "params M", "GMACs", "file MB"]
    head += [f"{what} ({count} thread{'s' * (count > 1)})" for count in THREADS for what in ("ms", "ms with host work")]
    _print_table(head, rows)
    click.echo()
    names = dataset.palette.names
    classes = [[model.stem, *(_percent(scores[model].iou[name]) for name in names)] for model in models]
    _print_table(["IoU %", *names], classes)
    click.echo(f"\n{results[0].cpu}; median of {repeats} runs taken in turns; split `{split}` of {config_path}.")


def _row(model: Path, score: Evaluation, latencies_ms: list[tuple[float, float]]) -> list[str]:
    graph = read_model(model)
    return [
        model.stem,
        _percent(score.accuracy),
        _percent(score.miou),
        _percent(score.boundary_f1),
        f"{graph.params / 1e6:.2f}",
        f"{graph.macs / 1e9:.2f}",
        f"{model.stat().st_size / 1e6:.2f}",
        *(f"{value:.1f}" for pair in latencies_ms for value in pair),
    ]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _print_table(head: list[str], rows: list[list[str]]) -> None:
    for line in (head, ["---"] * len(head), *rows):
        click.echo(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
