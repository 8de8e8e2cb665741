"""`rsseg-tf export-onnx`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.number_formats import FormatName
from rsseg_tf.steps.opening import config_for, find_keras_model


@click.command(name="export-onnx")
@options.model_argument
@options.config_option
@options.out_option("The .onnx file; by default beside MODEL, named by its type.", required=False)
@click.option(
    "--type",
    "number_format",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float32",
    show_default=True,
    help="What weights and activations are; int8 by QuantizeLinear and DequantizeLinear, with ranges of our own.",
)
@click.option("--max-drop", type=float, metavar="X", help="mIoU points that may be lost; short for export.max_drop=X.")
@options.json_option
@options.overrides_argument
def command(
    model: Path,
    config_path: Path | None,
    out: Path | None,
    number_format: FormatName,
    max_drop: float | None,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Write MODEL as an ONNX file, for QGIS (the plugin Deepness), ONNX Runtime and OpenVINO.

    MODEL is a .keras file or the folder of a finished run, whose settings are used without -c. The file takes
    float32 (1, bands, height, width) from 0 to 1 and gives the probability of each class: scaling, normalization and
    softmax are in it, and what QGIS asks for. Exits with 3 and writes nothing when it loses too much accuracy.

    For example: rsseg-tf export-onnx runs/dubai -o dubai.onnx
    """
    path = find_keras_model(model)
    words = [] if max_drop is None else [f"export.max_drop={max_drop}"]
    config = config_for(path, config_path, (*overrides, *words))
    options.quiet_tensorflow()
    from rsseg_tf.steps.export_onnx import export_onnx

    result = export_onnx(
        path, config, out or path.with_name(f"{path.stem}_{number_format}.onnx"), number_format=number_format
    )
    compared = result["agreement"]
    text = (
        f"{result['model']}: {result['type']}, {result['file_bytes'] / 1e6:.2f} MB, "
        f"{sum(result['ops'].values())} operators; "
        f"{compared['argmax']:.2%} of pixels agree with Keras, mIoU {compared['drop']:+.2f} points lost"
    )
    if result["deepness"]:
        text += f"\nnot for QGIS' plugin Deepness: {result['deepness']}"
    options.print_result(result, text, as_json=as_json)
