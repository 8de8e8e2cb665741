"""`rsseg-tf export-tflite`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.config.export import Target
from rsseg_tf.number_formats import FORMATS
from rsseg_tf.steps.opening import config_for, find_keras_model
from rsseg_tf.text import text_table

_WIDTH = max(map(len, FORMATS))
_TYPES = "\n".join(f"  {name:<{_WIDTH}}  {known.title}" for name, known in FORMATS.items())


@click.command(name="export-tflite", epilog=f"\b\nThe types (export.type=…):\n{_TYPES}")
@options.model_argument
@options.config_option
@options.out_option("The .tflite file; by default beside MODEL, named by its type.", required=False)
@click.option("--for", "target", type=click.Choice(get_args(Target)), help="Target processor.")
@click.option(
    "--layer-error", type=int, metavar="N", help="Layers to list, worst first; short for export.layer_error=N."
)
@click.option(
    "--keep-float", type=int, metavar="N", help="Worst layers to leave in float; short for export.keep_float=N."
)
@click.option("--max-drop", type=float, metavar="X", help="mIoU points that may be lost; short for export.max_drop=X.")
@click.option(
    "--recover", type=click.Choice(["none", "qat"]), help="What to do if more is lost; short for export.recover."
)
@options.json_option
@options.overrides_argument
def command(
    model: Path,
    config_path: Path | None,
    out: Path | None,
    as_json: bool,
    overrides: tuple[str, ...],
    **shortcuts: float | str | None,
) -> None:
    """Write MODEL as a TFLite file and prove what is in it.

    MODEL is a .keras file or the folder of a finished run, whose settings are used without -c.
    Exits with 3 and writes nothing when the file is not what its type promises, when the kernels of other runtimes
    make another picture of it, or, with --for (or export.target), when an operator would not map to that processor.
    A quantization-aware training that was stopped is resumed by the same command.

    For example: rsseg-tf export-tflite runs/dubai-pruned -o dubai.tflite export.type=int8
    """
    path = find_keras_model(model)
    words = [f"export.{name}={value}" for name, value in shortcuts.items() if value is not None]
    config = config_for(path, config_path, (*overrides, *words))
    options.quiet_tensorflow()
    from rsseg_tf.steps.export import export
    from rsseg_tf.tflite.edgetpu.lint import format_report
    from rsseg_tf.tflite.ethosu.vela import format_vela
    from rsseg_tf.tflite.kernels import format_agreement

    target = config.export.target
    purpose = "" if target == "cpu" else f"_for-{target}"
    result = export(path, config, out or path.with_name(f"{path.stem}_{config.export.type}{purpose}.tflite"))
    compared, facts = result["agreement"], result["proof"]
    text = (
        f"{result['model']}: {result['type']}, {result['file_bytes'] / 1e6:.2f} MB, "
        f"{facts['partitions']} delegate partition(s), {len(facts['float_ops'])} float ops; "
        f"{compared['argmax']:.2%} of pixels agree with Keras, mIoU {compared['drop']:+.2f} points lost"
    )
    if result["recovered"]:
        text += f", {result['recovered']['won_back']:.2f} won back by quantization-aware training"
    if facts["float_inside"]:
        inside = ", ".join(f"{count} {op}" for op, count in facts["float_inside"].items())
        text += f"\nstays float within the delegate's piece, which has no int8 of it or lies between such: {inside}"
    found, asked = (result["calibration"] or {}).get("samples"), config.export.calibration_samples
    if found is not None and found < asked:
        text += (
            f"\ncalibrated on only {found} training windows, {asked} were asked for: check the file on a whole split"
        )
    if result["kernels"]:
        text += f"\n{format_agreement(result['kernels'])}"
    if result["micro_arena_bytes"]:
        text += f"\nactivation memory by TFLite Micro {result['micro_arena_bytes'] / 1e6:.2f} MB"
    table = format_layer_errors(result["layer_errors"][: config.export.layer_error])
    mapping = format_report(result["edgetpu"]) if result["edgetpu"] else ""
    mapping = format_vela(result["ethosu"]) if result["ethosu"] else mapping
    options.print_result(result, "\n\n".join(filter(None, [text, table, mapping])), as_json=as_json)


def format_layer_errors(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return layers and their signal-to-noise ratios as a text table; empty without any."""
    if not errors:
        return ""
    return text_table([("layer", "operator", "alone dB", "so far dB", "weights dB"), *map(_row, errors)], align="<<")


def _row(error: Mapping[str, Any]) -> tuple[str, ...]:
    figures = (error["local_db"], error["cumulative_db"], error["weights_db"])
    return (error["layer"], error["op"], *("–" if figure is None else f"{figure:.1f}" for figure in figures))
