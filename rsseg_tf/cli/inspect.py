"""`rsseg-tf inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.models import is_keras
from rsseg_tf.cli.shared import ANY_PATH, json_option, model_in, print_result, quiet_tensorflow
from rsseg_tf.errors import ConfigError


@click.command(name="inspect")
@click.argument("model", type=ANY_PATH)
@click.option("--edgetpu", is_flag=True, help="Estimate what the Edge TPU would run of a .tflite file.")
@json_option
def command(model: Path, edgetpu: bool, as_json: bool) -> None:
    """Print what MODEL is made of: cost of every layer, and of a .tflite file how the delegate runs it.

    MODEL is a .tflite or .keras file, or the folder of a finished run. A .tflite file needs no TensorFlow.
    This is a report, not a check: it exits with 0 whatever the file is like.

    For example: rsseg-tf inspect dubai.tflite
    """
    path = model_in(model)
    from rsseg_tf.edge.inspection import format_inspection, format_layers, inspect_tflite

    if not is_keras(path):
        facts = inspect_tflite(path, edgetpu=edgetpu)
        print_result(facts, format_inspection(facts), as_json=as_json)
        return
    if edgetpu:
        raise ConfigError(
            f"`--edgetpu` reads .tflite files, got `{path}`", hint=f"write one with export-tflite {path} --for edgetpu"
        )
    quiet_tensorflow()
    from rsseg_tf.steps.inspect_keras import inspect_keras

    cost = inspect_keras(path)
    total = f"{path}: {cost['params']:,} parameters, {cost['macs']:,} multiply-accumulates"
    print_result(cost, f"{total}\n\n{format_layers(cost['layers'])}", as_json=as_json)
