"""`rsseg-tf fit`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.config import load_config
from rsseg_tf.config.training import check_network
from rsseg_tf.steps.opening import find_teacher


@click.command(name="fit")
@options.config_option
@options.out_option()
@options.overwrite_option
@options.json_option
@options.overrides_argument
def command(config_path: Path | None, out: Path, overwrite: bool, as_json: bool, overrides: tuple[str, ...]) -> None:
    """Train a segmentation network; the same command resumes it after a kill.

    For example: rsseg-tf fit -c configs/dubai_r18.yaml -o runs/dubai fit.epochs=10
    """
    config = load_config(config_path, overrides)
    check_network(config.model)
    find_teacher(config.fit.distill, section="fit.distill", out=out)  # a wrong path shows before TensorFlow starts
    options.quiet_tensorflow()
    from rsseg_tf.steps.fit import fit

    result = fit(config, out, overwrite=overwrite)
    text = (
        f"{result['model']}: val mIoU {100 * result['val_miou']:.2f} in epoch {result['best_epoch']}, "
        f"{result['params']:,} parameters, {result['macs'] / 1e9:.2f} GMACs"
    )
    options.print_result(result, text, as_json=as_json)
