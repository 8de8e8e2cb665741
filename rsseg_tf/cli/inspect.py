"""`rsseg-tf inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.errors import ConfigError
from rsseg_tf.number_formats import ACCELERATORS
from rsseg_tf.steps.opening import find_model, is_keras


@click.command(name="inspect")
@options.model_argument
@click.option("--edgetpu", is_flag=True, help="Estimate how much of a .tflite file the Edge TPU would run.")
@click.option(
    "--ethosu",
    type=click.Choice(ACCELERATORS),
    metavar="NAME",
    help="Have Arm's Vela say what it makes of an int8 file, for ethos-u55-256, ethos-u65-512, ethos-u85-256 …",
)
@click.option("--groups", is_flag=True, help="List what pruning can remove from a .keras file, and the largest cut.")
@click.option(
    "--agree",
    "images",
    type=options.ANY_PATH,
    multiple=True,
    metavar="IMAGE",
    help="Run an int8 file on IMAGE by XNNPACK's, the built-in and the reference kernels; may be given several times.",
)
@click.option(
    "--kernel-steps",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Of 255 that an operator may differ by from the reference (--agree).",
)
@options.json_option
def command(
    model: Path,
    edgetpu: bool,
    ethosu: str | None,
    groups: bool,
    images: tuple[Path, ...],
    kernel_steps: int,
    as_json: bool,
) -> None:
    """Print what MODEL is made of: the cost of every layer, and for a .tflite file how the delegate runs it.

    MODEL is a .tflite or .keras file, or the folder of a finished run. A .tflite file needs no TensorFlow.
    This is a report, not a check: it exits with 0 whatever it finds, but for --agree, which exits with 3 where the
    kernels of some runtime make another picture of the file.

    For example: rsseg-tf inspect dubai.tflite
    """
    path = find_model(model)
    if path.suffix.lower() == ".onnx":
        raise ConfigError(
            f"`{path}` is an ONNX file, which inspect does not take apart",
            hint="inspect the .keras file, or a .tflite file that export-tflite writes of it",
        )
    from rsseg_tf.tflite.inspection import format_inspection, inspect_tflite

    if groups:
        _print_groups(path, as_json=as_json)
        return
    if not is_keras(path):
        if ethosu:
            _print_vela(path, ethosu, as_json=as_json)
            return
        if images:
            _print_agreement(path, images, most_steps=kernel_steps, as_json=as_json)
            return
        facts = inspect_tflite(path, edgetpu=edgetpu)
        options.print_result(facts, format_inspection(facts), as_json=as_json)
        return
    if edgetpu or ethosu or images:
        word, target = ("--edgetpu", " --for edgetpu") if edgetpu else ("--ethosu" if ethosu else "--agree", "")
        raise ConfigError(
            f"`{word}` reads .tflite files, got `{path}`", hint=f"write one with export-tflite {path}{target}"
        )
    options.quiet_tensorflow()
    from rsseg_tf.steps.inspect_keras import format_cost, inspect_keras

    cost = inspect_keras(path)
    options.print_result(cost, format_cost(path, cost), as_json=as_json)


def _print_agreement(path: Path, images: tuple[Path, ...], *, most_steps: int, as_json: bool) -> None:
    from rsseg_tf.steps.kernel_agreement import kernel_agreement
    from rsseg_tf.tflite.kernels import format_agreement, require_same

    found = kernel_agreement(path, images)
    options.print_result({"model": str(path), **found.record()}, format_agreement(found.record()), as_json=as_json)
    require_same(found, most_steps=most_steps, setting="--kernel-steps")


def _print_vela(path: Path, accelerator: str, *, as_json: bool) -> None:
    from rsseg_tf.tflite.ethosu.vela import estimate, format_vela
    from rsseg_tf.tflite.flatbuffer import read_content
    from rsseg_tf.tflite.metadata import metadata_in

    metadata = metadata_in(read_content(path), path=path)
    found = estimate(path, accelerator, layer_names=metadata.layers if metadata else ()).record()
    options.print_result({"model": str(path), **found}, format_vela(found), as_json=as_json)


def _print_groups(path: Path, *, as_json: bool) -> None:
    if not is_keras(path):
        raise ConfigError(
            f"`--groups` reads .keras files, got `{path}`", hint="give the .keras file that it was exported from"
        )
    options.quiet_tensorflow()
    from rsseg_tf.steps.inspect_keras import inspect_groups

    facts, text = inspect_groups(path)
    options.print_result(facts, text, as_json=as_json)
