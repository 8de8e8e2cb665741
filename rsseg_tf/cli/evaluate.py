"""`rsseg-tf evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rsseg_tf.cli.models import open_for_data
from rsseg_tf.cli.progress import progress_bar
from rsseg_tf.cli.shared import (
    ANY_PATH,
    config_for,
    config_option,
    delegate_option,
    foreign_options,
    json_option,
    model_in,
    overrides_argument,
    print_result,
    threads_option,
)


@click.command(name="evaluate")
@click.argument("model", type=ANY_PATH)
@config_option
@click.option("--split", default="test", show_default=True, help="Which images to score.")
@threads_option
@delegate_option
@foreign_options
@json_option
@overrides_argument
def command(model: Path, config_path: Path | None, split: str, overrides: tuple[str, ...], **options: Any) -> None:
    """Score MODEL on a split: accuracy, IoU and boundary F1 of every class.

    MODEL is a .tflite or .keras file, or the folder of a finished run, whose settings serve where no -c
    is given. A .tflite file needs no TensorFlow.

    For example: rsseg-tf evaluate dubai.tflite -c configs/dubai_r18.yaml --split test
    """
    path = model_in(model)
    config = config_for(path, config_path, overrides)
    from rsseg_tf.datasets.catalog import open_dataset
    from rsseg_tf.edge.evaluate import evaluate

    dataset = open_dataset(config.data, seed=config.seed)
    predictor = open_for_data(path, config, options, palette=dataset.palette)
    tolerance = config.evaluate.boundary_tolerance
    with progress_bar(f"evaluate {split}") as progress:
        evaluation = evaluate(predictor, dataset, split, tolerance=tolerance, progress=progress)
    print_result({"model": str(path), **evaluation.to_dict()}, evaluation.table(), as_json=options["as_json"])
