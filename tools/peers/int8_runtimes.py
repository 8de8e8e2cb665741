"""Our int8 file beside those that other tools make of the same trained network.

python tools/peers/int8_runtimes.py --venv peers/int8 -c runs/dubai/config.yaml --model runs/dubai/model.keras \
    --out peers/int8_r18.json

All are calibrated on the same images. *Plain* is `TFLiteConverter.from_keras_model`, as TensorFlow's guide has it;
ai-edge-quantizer makes int8 of the float `.tflite` by its static recipe. The same file goes to ONNX by tf2onnx and is
quantized per channel as QDQ; NNCF quantizes it for OpenVINO. Latency is taken in turns in one process; scores are of
whole images, tiled and blended by the same code for all. Beside them stands the share of the pixels of some windows
that have the class of the float file.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from own_venv import OwnVenv, add_model_arguments, is_finished, is_inside, write_result
from runtimes import (
    BURST,
    Image,
    Network,
    agreement,
    latencies,
    litert,
    onnx_int8,
    onnx_runtime,
    openvino_runtime,
    score,
)

REQUIREMENTS = (
    "tensorflow==2.21.0",
    "tf2onnx==1.17.0",
    "onnx==1.23.2",
    "onnxruntime==1.32.0",
    "openvino==2026.4.1",
    "nncf==3.4.0",
    "ai-edge-litert==2.3.0",
    "ai-edge-quantizer==0.10.0",
    "opencv-python-headless==5.0.0.93",
    "click",
    "PyYAML",
)
ROOT = Path(__file__).parents[2]
FOLDER = "RSSEG_INT8_FOLDER"
FLOAT, OURS, PLAIN = "float32.tflite", "ours.tflite", "plain.tflite"
IMAGES, WINDOWS = "images.npy", "windows.npy"


def write_files(options: argparse.Namespace, folder: Path) -> None:
    """Write the images, the float file and what needs TensorFlow for int8, for the other environment."""
    from rsseg_tf.config import load_config
    from rsseg_tf.datasets.catalog import open_dataset
    from rsseg_tf.models.weights.pretrained import load_keras_model
    from rsseg_tf.quantization.convert import convert
    from rsseg_tf.steps.shared.windows import calibration_of, windows
    from rsseg_tf.tflite.front.signature import with_signature

    config = load_config(options.config, options.overrides)
    dataset = open_dataset(config.data, seed=config.seed)
    images = calibration_of(dataset, config).images
    drawn = windows(dataset, config, options.split, count=options.windows)
    np.save(folder / WINDOWS, np.stack([image for _name, image, _mask in drawn]))
    model = load_keras_model(options.model)
    np.save(folder / IMAGES, np.stack(images))
    (folder / FLOAT).write_bytes(with_signature(convert(model, number_format="float32"), head="logits"))
    (folder / OURS).write_bytes(convert(model, calibration=images))
    (folder / PLAIN).write_bytes(plain_export(model, images))


def plain_export(model: Any, images: tuple[Image, ...]) -> bytes:
    """Return the full-integer `.tflite` that TensorFlow's own recipe gives of a Keras model."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.int8
    flatbuffer: bytes = converter.convert()
    return flatbuffer


def edge_int8(folder: Path) -> Path:
    """Return the file that ai-edge-quantizer's static recipe for int8 makes of the float network."""
    from ai_edge_quantizer import quantizer, recipe

    from rsseg_tf.tflite.front.signature import IMAGE, SIGNATURE

    frames = [{IMAGE: image[None].astype(np.float32)} for image in np.load(folder / IMAGES)]
    made = quantizer.Quantizer(str(folder / FLOAT), recipe.static_wi8_ai8())
    ranges = made.calibrate({SIGNATURE: frames})
    path = folder / "edge.tflite"
    made.quantize(ranges).export_model(str(path), overwrite=True)
    return path


def onnx_of_tflite(path: Path) -> Path:
    """Return the ONNX file that tf2onnx makes of a float `.tflite` beside it."""
    plain = path.with_suffix(".onnx")
    command = [sys.executable, "-m", "tf2onnx.convert", "--tflite", str(path), "--output", str(plain)]
    subprocess.run([*command, "--opset", "17"], check=True, capture_output=True)
    return plain


def openvino_int8(folder: Path) -> Path:
    """Return the file that NNCF's post-training quantization makes of the float network."""
    import nncf
    import openvino

    images = np.load(folder / IMAGES)
    dataset = nncf.Dataset(list(images), lambda image: image[None].astype(np.float32))
    model = nncf.quantize(openvino.Core().read_model(folder / FLOAT), dataset, subset_size=len(images))
    path = folder / "int8.xml"
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Make the other int8 files, time and score all."""
    from rsseg_tf.inference.runner import TFLiteRunner

    folder = Path(os.environ[FOLDER])
    frames = (frame[None].astype(np.float32) for frame in np.load(folder / IMAGES))
    onnx_file, openvino_file = onnx_int8(onnx_of_tflite(folder / FLOAT), "image", frames), openvino_int8(folder)
    openers: dict[str, tuple[Callable[[Path, int], Network], Path]] = {
        "ours": (litert, folder / OURS),
        "plain TFLite": (litert, folder / PLAIN),
        "ai-edge-quantizer": (litert, edge_int8(folder)),
        "ONNX Runtime": (onnx_runtime, onnx_file),
        "OpenVINO": (openvino_runtime, openvino_file),
    }
    image = np.load(folder / IMAGES)[0]
    rows: dict[str, dict[str, Any]] = {name: {"bytes": _bytes(path)} for name, (_, path) in openers.items()}
    for name in ("ours", "plain TFLite", "ai-edge-quantizer"):
        rows[name]["partitions"] = TFLiteRunner(openers[name][1]).partitions()[0]
    for threads in options.threads:
        medians = latencies(
            {name: opener(path, threads) for name, (opener, path) in openers.items()}, image, options.repeats
        )
        for name, median in medians.items():
            rows[name][f"p50_ms_{threads}"] = median
    windows, reference = np.load(folder / WINDOWS), litert(folder / FLOAT, max(options.threads))
    for name, (opener, path) in openers.items():
        network = opener(path, max(options.threads))
        rows[name]["agreement"] = agreement(network, reference, windows)
        rows[name]["scores"] = score(network, options.config, options.overrides, options.split)
    packages = ("ai-edge-litert", "ai-edge-quantizer", "onnxruntime", "openvino", "nncf", "tf2onnx", "tensorflow")
    return {"rows": rows, "versions": {name: importlib.metadata.version(name) for name in packages}}


def _bytes(path: Path) -> int:
    weights = path.with_suffix(".bin")
    return path.stat().st_size + (weights.stat().st_size if path.suffix == ".xml" else 0)


def table(rows: Mapping[str, Mapping[str, Any]], threads: list[int]) -> str:
    """Return the rows as a Markdown table, latencies also as multiples of ours."""
    head = [
        "int8 by",
        "pixels as float %",
        "mIoU %",
        "boundary F1 %",
        "file MB",
        *(f"ms ({count} threads)" for count in threads),
        "× ours",
    ]
    lines = [head, ["---"] * len(head)]
    for name, row in rows.items():
        keys = [f"p50_ms_{count}" for count in threads]
        shares = [row["agreement"], *(row["scores"][key] for key in ("miou", "boundary_f1"))]
        cells = [f"{100 * share:.2f}" for share in shares]
        cells += [f"{row['bytes'] / 1e6:.2f}", *(f"{row[key]:.1f}" for key in keys)]
        lines.append([name, *cells, " / ".join(f"{row[key] / rows['ours'][key]:.2f}" for key in keys)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description="Compare int8 files of one network across runtimes, in turns.")
    add_model_arguments(made)
    made.add_argument("--split", default="test", help="of the data that is scored; default test")
    made.add_argument("--windows", type=int, default=80, help="of it that classes are compared on; default 80")
    made.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="default 1 2")
    made.add_argument("--repeats", type=int, default=10, help=f"turns of {BURST} runs each; default 10")
    return made


def main() -> int:
    """Write the files, make the environment and run there; or measure where this is it."""
    options = parser().parse_args()
    if is_inside():
        result = measure(options)
        write_result(options.out, result)
        print(table(result["rows"], options.threads))
        return 0
    if is_finished(options.out):
        return 0
    venv = OwnVenv(options.venv, REQUIREMENTS)
    venv.make()
    with tempfile.TemporaryDirectory() as folder:
        write_files(options, Path(folder))
        return venv.run(Path(__file__), sys.argv[1:], {"PYTHONPATH": str(ROOT), FOLDER: folder})


if __name__ == "__main__":
    sys.exit(main())
