#!/usr/bin/env bash
# OpenVINO's CPU plugin cannot compile an ONNX convolution from int8 to int8 activations with an offset, which ONNX allows.
#
# QuantizeLinear and DequantizeLinear take uint8 or int8 with any zero point. The same convolution between uint8 activations
# (zero point 131) and between int8 ones (zero point 3) is the same network, and ONNX Runtime computes the same from both.
# OpenVINO compiles the first, and ends the second in "No suitable implementations". ONNX Runtime's quantizer makes such
# files by default (activation_type QInt8).
#
# Seen with openvino 2026.4.1 on an AMX-INT8 processor, onnxruntime 1.32.0 and onnx 1.23.2 on 2026-11-29, Python 3.11:
#   uint8, offset 131: OpenVINO compiles it
#   int8, offset 0: OpenVINO compiles it
#   int8, offset 3: RuntimeError: No suitable implementations
#   ONNX Runtime: int8 and uint8 differ by 0
# Fails if that changes.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check \
  "openvino==2026.4.1" "onnxruntime==1.32.0" "onnx==1.23.2" 2>/dev/null
cat > "$here/offset.py" <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(0)
KERNEL = rng.integers(-127, 128, (16, 8, 3, 3)).astype(np.int8)
IMAGE = rng.uniform(-1, 1, (1, 8, 16, 16)).astype(np.float32)


def network(dtype, offset):
    constants = {
        "scale": np.float32(1 / 127),
        "sum_scale": np.float32(1.0),
        "zero": dtype(offset),
        "kernel": KERNEL,
        "kernel_scale": np.full(16, 0.01, np.float32),
        "kernel_zero": np.zeros(16, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["kernel", "kernel_scale", "kernel_zero"], ["w"], axis=0),
        helper.make_node("Conv", ["x", "w"], ["sum"], pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["sum", "sum_scale", "zero"], ["stored"]),
        helper.make_node("DequantizeLinear", ["stored", "sum_scale", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 8, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 16, 16])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def compiles(content):
    core = openvino.Core()
    try:
        core.compile_model(core.read_model(content), "CPU")
    except RuntimeError as error:
        reason = [line for line in str(error).splitlines() if line.startswith("No suitable")]
        return f"RuntimeError: {reason[0].split('.')[0] if reason else error}"
    return "OpenVINO compiles it"


def result(content):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": IMAGE})[0]


files = {
    "uint8, offset 131": network(np.uint8, 131),
    "int8, offset 0": network(np.int8, 0),
    "int8, offset 3": network(np.int8, 3),
}
said = {name: compiles(content) for name, content in files.items()}
for name, words in said.items():
    print(f"{name}: {words}")
far = float(np.abs(result(files["int8, offset 3"]) - result(files["uint8, offset 131"])).max())
print(f"ONNX Runtime: int8 and uint8 differ by {far:g}")
words = list(said.values())
sys.exit(0 if "No suitable" in words[2] and words[0] == words[1] == "OpenVINO compiles it" and far < 1e-4 else 1)
PY
"$here/venv/bin/python" "$here/offset.py"
