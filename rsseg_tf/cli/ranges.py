"""`rsseg-tf ranges`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.steps.opening import config_for, find_keras_model


@click.command(name="ranges")
@options.model_argument
@options.config_option
@options.out_option("Folder for ranges.json, ranges.png and ranges.svg.")
@click.option(
    "--evaluate", "split", metavar="SPLIT", help="Split to score the float32 and power-of-two models on, such as test."
)
@options.json_option
@options.overrides_argument
def command(
    model: Path, config_path: Path | None, out: Path, split: str | None, as_json: bool, overrides: tuple[str, ...]
) -> None:
    """Show which bits the numbers of MODEL need, as the paper's Figure 1 does.

    Counts where the most significant bits of all weights, biases and activations lie, and places 8 bits over
    them by the paper's rule; --evaluate simulates those. MODEL is a .keras file or the folder of a finished run,
    whose settings are used without -c.

    For example: rsseg-tf ranges runs/dubai -o ranges --evaluate test
    """
    path = find_keras_model(model)
    config = config_for(path, config_path, overrides)
    options.quiet_tensorflow()
    from rsseg_tf.steps.ranges import format_ranges, ranges

    result = ranges(path, config, out, split=split)
    options.print_result(result, format_ranges(result), as_json=as_json)
