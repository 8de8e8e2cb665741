"""`rsseg-tf prune`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.shared import (
    ANY_PATH,
    config_for,
    config_option,
    json_option,
    model_in,
    out_option,
    overrides_argument,
    overwrite_option,
    print_result,
)


@click.command(name="prune")
@click.argument("model", type=ANY_PATH)
@config_option
@out_option
@overwrite_option
@json_option
@overrides_argument
def command(
    model: Path, config_path: Path | None, out: Path, overwrite: bool, as_json: bool, overrides: tuple[str, ...]
) -> None:
    """Remove the channels of MODEL that matter least, then retrain.

    MODEL is a .keras file or the folder of a finished run, whose settings serve where no -c is given.
    The same command resumes after a kill.

    For example: rsseg-tf prune runs/dubai -o runs/dubai-pruned prune.macs=0.5
    """
    path = model_in(model)
    config = config_for(path, config_path, overrides)
    from rsseg_tf.steps.prune import prune

    result = prune(path, config, out, overwrite=overwrite)
    text = (
        f"{result['model']}: val mIoU {100 * result['val_miou']:.2f} in epoch {result['best_epoch']}, "
        f"{result['params']:,} parameters ({result['params'] / result['dense_params']:.1%} of the dense), "
        f"{result['macs'] / 1e9:.2f} GMACs ({result['macs'] / result['dense_macs']:.1%})"
    )
    print_result(result, text, as_json=as_json)
