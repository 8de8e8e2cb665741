"""`rsseg-tf export-tflite`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.shared import (
    ANY_PATH,
    config_for,
    config_option,
    json_option,
    model_in,
    overrides_argument,
    print_result,
    quiet_tensorflow,
)


@click.command(name="export-tflite")
@click.argument("model", type=ANY_PATH)
@config_option
@click.option("-o", "--out", type=ANY_PATH, help="The .tflite file; by default beside MODEL, named by its type.")
@click.option("--for", "target", type=click.Choice(["cpu", "edgetpu"]), help="What is to run the file.")
@json_option
@overrides_argument
def command(
    model: Path,
    config_path: Path | None,
    out: Path | None,
    target: str | None,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Write MODEL as a TFLite file and prove what is in it.

    MODEL is a .keras file or the folder of a finished run, whose settings serve where no -c is given.
    Exits with 3 and writes nothing when the file is not what its type promises, or when an operator would not map
    to the Edge TPU that it is for (--for edgetpu, or export.target=edgetpu).

    For example: rsseg-tf export-tflite runs/dubai-pruned -o dubai.tflite export.type=int8
    """
    path = model_in(model)
    config = config_for(path, config_path, (*overrides, *([f"export.target={target}"] if target else [])))
    quiet_tensorflow()
    from rsseg_tf.edge.edgetpu import format_report
    from rsseg_tf.steps.export import export

    purpose = "_for-edgetpu" if config.export.target == "edgetpu" else ""
    result = export(path, config, out or path.with_name(f"{path.stem}_{config.export.type}{purpose}.tflite"))
    compared, facts = result["agreement"], result["proof"]
    text = (
        f"{result['model']}: {result['type']}, {result['file_bytes'] / 1e6:.2f} MB, "
        f"{facts['partitions']} delegate partition(s), {len(facts['float_ops'])} float ops; "
        f"{compared['argmax']:.2%} of pixels agree with Keras, mIoU {compared['drop']:+.2f} points lost"
    )
    if result["recovered"]:
        text += f", {result['recovered']['won_back']:.2f} won back by quantization-aware training"
    mapping = f"\n\n{format_report(result['edgetpu'])}" if result["edgetpu"] else ""
    print_result(result, text + mapping, as_json=as_json)
