"""Networks in the runtimes that peers use, timed in turns and scored alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BURST = 5
"""Runs a turn."""

Image = NDArray[np.uint8]
Network = Callable[[Image], NDArray[Any]]
"""Pixels uint8 (h, w, 3) → scores (h, w, C)."""


def onnx_int8(path: Path, name: str, images: Iterable[NDArray[np.float32]]) -> Path:
    """Return the QDQ file that ONNX Runtime makes of a float one beside it, int8 weights per channel.

    Args:
        path: of the float file.
        name: of its input.
        images: what ranges are measured on.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared, quantized = path.with_suffix(".prepared.onnx"), path.with_suffix(".int8.onnx")
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = iter(images)

        def get_next(self) -> Mapping[str, Any] | None:
            image = next(self._images, None)
            return None if image is None else {name: image}

    quantize_static(
        str(prepared),
        str(quantized),
        Images(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return quantized


def litert(path: Path, threads: int, runtime: str = "litert") -> Network:
    """Return a `.tflite` in LiteRT with XNNPACK, or in another runtime of ours that takes it."""
    from rsseg_tf.inference.runner import TFLiteRunner

    return TFLiteRunner(path, threads=threads, runtime=runtime).scores


def onnx_runtime(path: Path, threads: int) -> Network:
    """Return an ONNX file in ONNX Runtime's CPU provider."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: np.asarray(session.run(None, {name: image[None].astype(np.float32)})[0][0])


def openvino_runtime(path: Path, threads: int) -> Network:
    """Return an OpenVINO model on its CPU device, set for latency."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    return lambda image: np.asarray(compiled(image[None].astype(np.float32))[0][0])


def latencies(networks: Mapping[str, Network], image: Image, repeats: int) -> dict[str, float]:
    """Return median milliseconds of each, which take turns of a few runs."""
    taken: dict[str, list[float]] = {name: [] for name in networks}
    for turn in range(-1, repeats):
        for name, network in networks.items():
            for _ in range(BURST):
                started = time.perf_counter()
                network(image)
                if turn >= 0:
                    taken[name].append(1e3 * (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in taken.items()}


def agreement(network: Network, reference: Network, images: Iterable[Image]) -> float:
    """Return the share of the pixels of some images, (h, w, 3) each, that two networks have the same class for."""
    same = [np.mean(network(image).argmax(-1) == reference(image).argmax(-1)) for image in images]
    return float(np.mean(same))


def score(network: Network, config_path: Path, overrides: Sequence[str], split: str) -> dict[str, Any]:
    """Return scores of a network on whole images of a split."""
    from rsseg_tf.config import load_config
    from rsseg_tf.datasets.catalog import open_dataset
    from rsseg_tf.evaluation.scoring import evaluate
    from rsseg_tf.inference.predict import TiledPredictor, batched

    config = load_config(config_path, overrides)
    dataset = open_dataset(config.data, seed=config.seed)
    height, width = config.data.input_size
    overlap = config.evaluate.overlap
    predictor = TiledPredictor(batched(network), dataset.palette, (height, width), config.data.fitting, overlap)
    return evaluate(predictor, dataset, split).to_dict()
