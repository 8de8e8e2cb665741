"""Print what each way to make an int8 file costs and wins back, as a Markdown table and as JSON beside it.

python tools/repair_table.py runs/dubai -o dubai_repair.json export.calibration_samples=64 export.check_samples=8
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rsseg_tf.cli.shared.options import ANY_PATH, config_option, overrides_argument
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.metrics import ConfusionMatrix
from rsseg_tf.models.weights.pretrained import load_keras_model
from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.convert import run_converter
from rsseg_tf.quantization.freeze import frozen_function
from rsseg_tf.quantization.int8 import clipping
from rsseg_tf.quantization.int8.calibrated import Images, with_range_slots
from rsseg_tf.quantization.int8.equalize import equalized
from rsseg_tf.quantization.int8.noise import ChannelNoise
from rsseg_tf.quantization.int8.observe import observe
from rsseg_tf.quantization.int16 import int16_file
from rsseg_tf.quantization.repair import int8_file
from rsseg_tf.runs import write_json
from rsseg_tf.steps.opening import config_for, find_model
from rsseg_tf.steps.shared.keras_predictor import model_infer
from rsseg_tf.steps.shared.windows import calibration_of, windows

ERROR_SAMPLES = 8
KEPT = (1, 3)


@dataclass(frozen=True)
class Check:
    """What the files are compared with: images, masks, and the Keras model's logits for them."""

    images: Images
    masks: Sequence[NDArray[np.uint8]]
    logits: Sequence[NDArray[np.float32]]


@click.command()
@click.argument("model", type=ANY_PATH)
@config_option
@click.option("-o", "--out", type=ANY_PATH, required=True, help="JSON file for the figures and the layers' errors.")
@overrides_argument
def main(model: Path, config_path: Path | None, out: Path, overrides: tuple[str, ...]) -> None:
    """Compare calibration methods, layers kept float and int16x8 on MODEL."""
    path = find_model(model)
    config = config_for(path, config_path, overrides)
    dataset = open_dataset(config.data, seed=config.seed)
    network = load_keras_model(path)
    calibration = calibration_of(dataset, config)
    pairs = windows(dataset, config, "val", count=config.export.check_samples)
    infer = model_infer(network)
    check = Check([i for _, i, _ in pairs], [m for _, _, m in pairs], [infer(i[None])[0] for _, i, _ in pairs])
    rows, errors = [], []
    for name, content, details in _files(network, calibration.images):
        errors = details.pop("errors", errors)
        rows.append({"file": name, **details, **_measured(content, check, classes=len(dataset.palette.names))})
        _print_row(rows)
    write_json(out, {"rows": rows, "layer_errors": errors, "calibration": calibration.record()})


def _files(network: keras.Model, images: Images) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """Yield name, TFLite file and what else there is to say of it."""
    names = [layer.name for layer in network.layers]
    function = frozen_function(network)
    yield "float32", run_converter(function, lambda _converter: None), {}
    yield "int8, TensorFlow's calibrator", _by_tensorflow(function, images), {}
    slots = with_range_slots(function, images[0])
    seen = observe(slots, images)
    for method in clipping.METHODS:
        yield f"int8, {method}", int8_file(clipping.with_chosen(slots, seen, method=method)).content, {}
    calibrated = clipping.with_chosen(slots, seen, method=clipping.MIN_MAX)
    yield "int8, bias correction", int8_file(calibrated, correct_on=images).content, {}
    yield "int8, gptq", int8_file(calibrated, correct_on=images, together=True).content, {}
    for count in KEPT:
        made = int8_file(calibrated, images=images[:ERROR_SAMPLES], layer_names=names, keep_float=count)
        errors = [error.record() for error in made.errors]
        yield f"int8, keep_float={count}", made.content, {"float_layers": made.float_layers, "errors": errors}
    even = clipping.with_method(equalized(slots, images), images, method=clipping.MIN_MAX)
    yield "int8, equalized", int8_file(even).content, {}
    yield "int8, equalized, bias correction", int8_file(even, correct_on=images).content, {}
    yield "int16x8", int16_file(function, images), {}


def _by_tensorflow(function: Any, images: Images) -> bytes:
    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
        converter.representative_dataset = lambda: iter([[image.astype(np.float32)[None]] for image in images])

    return run_converter(function, configure)


def _measured(content: bytes, check: Check, *, classes: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        runner, facts = TFLiteRunner(path), proof.prove(path)
        noise, same = ChannelNoise(), []
        ours, theirs = ConfusionMatrix(classes), ConfusionMatrix(classes)
        for image, mask, expected in zip(check.images, check.masks, check.logits, strict=True):
            got = runner.logits(image)
            noise.add(expected, got)
            ours.update(mask, got.argmax(axis=-1).astype(np.uint8))
            theirs.update(mask, expected.argmax(axis=-1).astype(np.uint8))
            same.append((got.argmax(axis=-1) == expected.argmax(axis=-1)).mean())
    return {
        "logits_db": float(noise.channel_db().mean()),
        "agreement": float(np.mean(same)),
        "drop": 100 * float(theirs.miou - ours.miou),
        "partitions": facts.partitions,
        "float_ops": len(facts.float_ops),
        "file_bytes": len(content),
    }


def _print_row(rows: Sequence[dict[str, Any]]) -> None:
    """Append the newest row, under a head if it is the first."""
    if len(rows) == 1:
        click.echo("| file | logits dB | pixels that agree % | mIoU points lost | partitions | float ops | MB |")
        click.echo("| --- | --- | --- | --- | --- | --- | --- |")
    row = rows[-1]
    figures = (f"{row['logits_db']:.1f}", f"{100 * row['agreement']:.3f}", f"{row['drop']:.3f}")
    counts = (row["partitions"], row["float_ops"], f"{row['file_bytes'] / 1e6:.2f}")
    click.echo(f"| {' | '.join(map(str, (row['file'], *figures, *counts)))} |")


if __name__ == "__main__":
    main()
