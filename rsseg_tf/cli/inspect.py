"""`rsseg-tf inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from rsseg_tf.cli.models import is_keras
from rsseg_tf.cli.shared import ANY_PATH, json_option, model_in, print_result, quiet_tensorflow


@click.command(name="inspect")
@click.argument("model", type=ANY_PATH)
@json_option
def command(model: Path, as_json: bool) -> None:
    """Print what MODEL is made of: cost of every layer, and of a .tflite file how the delegate runs it.

    MODEL is a .tflite or .keras file, or the folder of a finished run. A .tflite file needs no TensorFlow.

    For example: rsseg-tf inspect dubai.tflite
    """
    path = model_in(model)
    from rsseg_tf.edge.inspection import format_inspection, format_layers, inspect_tflite

    if not is_keras(path):
        facts = inspect_tflite(path)
        print_result(facts, format_inspection(facts), as_json=as_json)
        return
    quiet_tensorflow()
    from rsseg_tf.steps.inspect_keras import inspect_keras

    cost = inspect_keras(path)
    total = f"{path}: {cost['params']:,} parameters, {cost['macs']:,} multiply-accumulates"
    print_result(cost, f"{total}\n\n{format_layers(cost['layers'])}", as_json=as_json)
