"""`rsseg-tf ranges`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.shared.options import (
    ANY_PATH,
    config_option,
    json_option,
    overrides_argument,
    print_result,
    quiet_tensorflow,
)
from rsseg_tf.steps.opening import config_for, find_model


@click.command(name="ranges")
@click.argument("model", type=ANY_PATH)
@config_option
@click.option("-o", "--out", type=ANY_PATH, required=True, help="Folder for ranges.json, ranges.png and ranges.svg.")
@click.option("--evaluate", "split", metavar="SPLIT", help="Score float32 and power-of-two on a split, such as test.")
@json_option
@overrides_argument
def command(
    model: Path, config_path: Path | None, out: Path, split: str | None, as_json: bool, overrides: tuple[str, ...]
) -> None:
    """Show which bits the numbers of MODEL need, as the paper's Figure 1 does.

    Counts where the most significant bits of all weights, biases and activations lie, and places 8 bits over
    them by the paper's rule; --evaluate simulates those. MODEL is a .keras file or the folder of a finished run,
    whose settings serve where no -c is given.

    For example: rsseg-tf ranges runs/dubai -o ranges --evaluate test
    """
    path = find_model(model)
    config = config_for(path, config_path, overrides)
    quiet_tensorflow()
    from rsseg_tf.steps.ranges import format_ranges, ranges

    result = ranges(path, config, out, split=split)
    print_result(result, format_ranges(result), as_json=as_json)
