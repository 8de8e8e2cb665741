"""`rsseg-tf prune`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.config import Config
from rsseg_tf.errors import ConfigError
from rsseg_tf.progress import progress_bar
from rsseg_tf.steps.opening import config_for, find_keras_model, find_teacher


@click.command(name="prune")
@options.model_argument
@options.config_option
@options.out_option("Folder of the run; needed unless --oracle is given.", required=False)
@options.overwrite_option
@click.option("--oracle", is_flag=True, help="Compare every criterion with true loss changes, and prune nothing.")
@click.option(
    "--oracle-groups",
    type=click.IntRange(min=0, max=10**6),
    default=200,
    show_default=True,
    help="Groups that --oracle removes; 0 for all.",
)
@options.json_option
@options.overrides_argument
def command(
    model: Path,
    config_path: Path | None,
    out: Path | None,
    overwrite: bool,
    oracle: bool,
    oracle_groups: int,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Remove the channels of MODEL that matter least, then retrain.

    MODEL is a .keras file or the folder of a finished run, whose settings are used without -c.
    The same command resumes after a kill.

    For example: rsseg-tf prune runs/dubai -o runs/dubai-pruned prune.macs=0.5
    """
    path = find_keras_model(model)
    config = config_for(path, config_path, overrides)
    if oracle:
        _print_oracle(path, config, groups=oracle_groups, as_json=as_json)
        return
    if out is None:
        raise ConfigError("no folder for the run", hint="give one with --out")
    find_teacher(config.prune.distill, section="prune.distill", out=out)  # a wrong path shows before TensorFlow starts
    options.quiet_tensorflow()
    from rsseg_tf.steps.prune import prune

    result = prune(path, config, out, overwrite=overwrite)
    text = (
        f"{result['model']}: val mIoU {100 * result['val_miou']:.2f} {_place(result)}, "
        f"{result['params']:,} parameters ({result['params'] / result['dense_params']:.1%} of the dense), "
        f"{result['macs'] / 1e9:.2f} GMACs ({result['macs'] / result['dense_macs']:.1%})"
    )
    if "latency_ms" in result:
        text += f", {result['latency_ms']:.1f} ms of {result['dense_latency_ms']:.1f} (estimated from the profile)"
    if "arena_bytes" in result:
        text += f", {result['arena_bytes'] / 1e6:.2f} MB of activations of {result['dense_arena_bytes'] / 1e6:.2f}"
    for kind, control in result.get("controls", {}).items():
        text += (
            f"\ncontrol-{kind}, the dense model trained on: val mIoU {100 * control['val_miou']:.2f} "
            f"{_place(control)}; the pruned one differs by {100 * control['difference']:+.2f} points"
        )
    options.print_result(result, text, as_json=as_json)


def _place(found: Mapping[str, Any]) -> str:
    """Return which weights a retraining left."""
    if found.get("averaged"):
        return f"by the mean of the weights before and after epoch {found['best_epoch']}"
    return f"in epoch {found['best_epoch']}" if found["best_epoch"] else "before any retraining"


def _print_oracle(path: Path, config: Config, *, groups: int, as_json: bool) -> None:
    options.quiet_tensorflow()
    from rsseg_tf.steps.oracle import compare_criteria, format_criteria

    with progress_bar("oracle") as progress:
        result = compare_criteria(path, config, limit=groups, progress=progress)
    options.print_result(result, format_criteria(result), as_json=as_json)
