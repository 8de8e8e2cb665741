"""An ONNX graph in fewer bits: half precision, or int8 between QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ConfigError
from rsseg_tf.quantization.exchange.graph import IMAGE
from rsseg_tf.quantization.int8.calibrated import Images, Range
from rsseg_tf.quantization.int8.clipping import METHODS, MIN_MAX, finite_range
from rsseg_tf.quantization.int8.observe import observations

_ROUNDED = ("Add", "Concat", "Conv", "MaxPool", "Mul", "Pad", "Relu")
"""Not Resize, which ONNX Runtime computes several times slower in int8, nor Softmax, whose output is small."""


def in_half(model: Any) -> Any:
    """Return the ONNX model with weights and arithmetic in 16-bit floats; its input and output stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return _in_order(convert_float_to_float16(copy.deepcopy(model), keep_io_types=True))


def in_int8(model: Any, images: Images, *, method: str = MIN_MAX) -> Any:
    """Return the ONNX model with int8 weights by channel and uint8 activations, the pixels' scale exactly 1/255.

    Uint8, not int8: OpenVINO 2026.4 refuses int8 activations with an offset, and x86 multiplies unsigned by signed.

    Args:
        model: from `rsseg_tf.quantization.exchange.graph.onnx_model`.
        images: uint8 (H, W, bands) on which the ranges of activations are measured.
        method: a name in `rsseg_tf.quantization.int8.clipping.METHODS`.

    Raises:
        ConfigError: for an unknown method, or no images.
        ModelError: if an activation has no finite range.
    """
    if method not in METHODS or not images:
        raise ConfigError(f"int8 needs images and one of the methods {', '.join(METHODS)}, got `{method}`")
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    ranges = {
        name: (np.float32(each.low), np.float32(each.high)) for name, each in _ranges(model, images, method).items()
    }
    quantizer = QDQQuantizer(
        copy.deepcopy(model),
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, ranges),
        nodes_to_quantize=[],
        nodes_to_exclude=[],
        op_types_to_quantize=list(_ROUNDED),
        extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
    )
    quantizer.quantize_model()
    return _in_order(quantizer.model.model)


def _in_order(model: Any) -> Any:
    """Return a model whose nodes come behind what they read, as ONNX asks and these tools do not."""
    from onnxruntime.quantization.onnx_model import ONNXModel

    sorted_model = ONNXModel(model)
    sorted_model.topological_sort()
    return sorted_model.model


def _ranges(model: Any, images: Images, method: str) -> Mapping[str, Range]:
    reader = _TensorReader(model)
    seen = observations(reader, reader.names, images)
    return {
        **{name: finite_range(METHODS[method](each), each, method) for name, each in seen.items()},
        IMAGE: Range(0.0, 1.0),
    }


class _TensorReader:
    """Runs a float ONNX model and keeps every activation."""

    def __init__(self, model: Any) -> None:
        import onnx
        import onnxruntime

        every = copy.deepcopy(model)
        known = {tensor.name for tensor in every.graph.output}
        inner = [name for node in every.graph.node for name in node.output if name not in known]
        every.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in inner)
        self._session = onnxruntime.InferenceSession(every.SerializeToString(), providers=["CPUExecutionProvider"])
        self.names = [port.name for port in self._session.get_outputs() if port.type == "tensor(float)"]
        self._values: dict[str, NDArray[np.float32]] = {}

    def run(self, image: NDArray[np.uint8]) -> None:
        """Run the network on pixels uint8 (H, W, C)."""
        pixels = np.ascontiguousarray(np.moveaxis(image, -1, 0)[None]).astype(np.float32) / np.float32(255)
        self._values = dict(zip(self.names, self._session.run(self.names, {IMAGE: pixels}), strict=True))

    def tensor(self, index: str) -> NDArray[np.float32]:
        """Return the values of a tensor after the last run."""
        return self._values[index]
