#!/usr/bin/env bash
# The spatial reduction in keras_cv's SegFormer reads other pixels, and other channels, than the square that it stands for.
#
# Keys and values of SegFormer's attention are made of squares of sr_ratio x sr_ratio pixels. The layer transposes its tokens to
# (channels, positions), as the authors' does for PyTorch's order of axes, and then takes that for (height, width, channels). So a
# convolution reads runs of one channel where it should read pixels, and the result is laid out wrongly once more. It also takes
# every picture for a square. KerasHub's layer does neither. A channel cannot be pruned there, and published weights do not fit.
#
# Seen with keras-cv 0.9.0, keras 3.15.1, tensorflow 2.21.0 on 2026-11-29, Python 3.11, x86-64:
#   what the reduction of 4x4 pixels by 2 sees is the map itself: False, the transposed tokens in its shape: True
# Fails if that changes.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check "tensorflow==2.21.0" "keras==3.15.1" "keras-cv==0.9.0" 2>/dev/null
cat > "$here/reduction.py" <<'PY'
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import keras_cv
import numpy as np

layer = keras_cv.layers.SegFormerMultiheadAttention(project_dim=4, num_heads=1, sr_ratio=2)
image = np.random.default_rng(0).normal(size=(1, 4, 4, 4)).astype(np.float32)
tokens = image.reshape(1, 16, 4)
layer(tokens)  # builds it
seen = []
reduce = layer.sr.call
layer.sr.call = lambda x: (seen.append(np.asarray(x)), reduce(x))[1]
layer(tokens)

is_map = bool(np.array_equal(seen[0], image))
is_scrambled = bool(np.array_equal(seen[0], tokens.transpose(0, 2, 1).reshape(1, 4, 4, 4)))
print(
    "what the reduction of 4x4 pixels by 2 sees is the map itself:",
    f"{is_map}, the transposed tokens in its shape: {is_scrambled}",
)
sys.exit((is_map, is_scrambled) != (False, True))
PY
"$here/venv/bin/python" "$here/reduction.py"
