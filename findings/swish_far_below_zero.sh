#!/usr/bin/env bash
# TensorFlow's converter gives a swish that is nearly off an int8 step 100,000 times too fine, and XNNPACK leaves it out.
#
# x · sigmoid(x) of a channel far below zero is next to nothing, and the converter's calibration takes that for the range of
# the MUL. The sigmoid's output has a step of 1/256 whatever was seen of it (TFLite fixes it), so the product of the two inputs'
# steps is what the result can tell apart, and its own step is a small part of that. XNNPACK takes a MUL only where the
# product of the input steps is under 256 output steps: it leaves this one to TFLite's kernels, which cuts the delegate's piece in
# two. No message says so. Squeeze-and-excite blocks with swish end so when some of their channels are off, pruned ones above all.
#
# Seen with tensorflow 2.21.0 and ai-edge-litert 2.3.0 on 2026-11-30, x86-64, Python 3.11:
#   bias 0: product of the input steps / step of the MUL 0.00743, pieces 1
#   bias -200: product of the input steps / step of the MUL 3.94e+05, pieces 2
# Fails if that changes.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check "tensorflow==2.21.0" "ai-edge-litert==2.3.0" 2>/dev/null
cat > "$here/swish.py" <<'PY'
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

rng = np.random.default_rng(0)
tf.keras.utils.set_random_seed(0)


def converted(bias):
    image = tf.keras.Input((8, 8, 3), batch_size=1)
    wide = tf.keras.layers.Conv2D(4, 1, bias_initializer=tf.keras.initializers.Constant(bias))
    x = wide(image)
    x = tf.keras.layers.Conv2D(2, 1)(x * tf.keras.layers.Activation("sigmoid")(x))
    model = tf.keras.Model(image, x)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([rng.uniform(0, 1, (1, 8, 8, 3)).astype(np.float32)] for _ in range(8))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def seen(content):
    """Return the product of the MUL's input steps over its own step, and how many pieces the delegate has."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    ops = interpreter._get_ops_details()
    steps = {each["index"]: each["quantization"][0] for each in interpreter.get_tensor_details()}
    product = next(op for op in ops if op["op_name"] == "MUL")
    first, second = (steps[int(index)] for index in product["inputs"])
    return first * second / steps[int(product["outputs"][0])], sum(op["op_name"] == "DELEGATE" for op in ops)


for bias, is_off in ((0.0, False), (-200.0, True)):
    ratio, pieces = seen(converted(bias))
    print(f"bias {bias:.0f}: product of the input steps / step of the MUL {ratio:.3g}, pieces {pieces}")
    assert (ratio > 1e5) == is_off and (ratio < 256) != is_off, ratio
    assert pieces == (2 if is_off else 1), pieces
print("as described")
PY
"$here/venv/bin/python" "$here/swish.py" 2>/dev/null | grep "^bias\|^as"
