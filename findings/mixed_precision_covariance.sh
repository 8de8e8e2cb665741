#!/usr/bin/env bash
# Mixed precision by graph rewriting makes a covariance indefinite, though its factors were cast to float32 by hand.
#
# `tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})` is global: TensorFlow's
# graph optimizer then computes every matrix product of every tf.function in bfloat16 and rounds the result to it, also one
# that is no layer of a network but statistics on the side, such as the products of channels for a regression. A cast to
# float32 before the product does not help (the rewriting adds its own after it), one to float64 does. With means well above
# the deviations, 8 bits of the products leave less than nothing of the smallest variances: solving with such a matrix
# plus a small ridge gives wild answers, and nothing warns.
#
# Seen with tensorflow 2.21.0 on 2026-11-29, Python 3.11, x86-64 with AVX-512 (elsewhere TensorFlow leaves float32 as it is):
#   smallest eigenvalue of the covariance of 64 channels, true value 9.29e-07, largest 2.546
#   option off, float32: 4.55e-06
#   option on,  float32: -0.0699
#   option on,  float64: 9.29e-07
# Fails if that changes.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check "tensorflow==2.21.0" 2>/dev/null
cat > "$here/covariance.py" <<'PY'
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import numpy as np
import tensorflow as tf

rng = np.random.default_rng(0)
rows = (3 + rng.normal(size=(3456, 64)) @ rng.normal(size=(64, 64)) * 0.1).astype(np.float32)


def smallest(kind):
    @tf.function
    def sums(values):
        cast = tf.cast(values, kind)
        return tf.reduce_sum(cast, 0), tf.matmul(cast, cast, transpose_a=True)

    total, products = (np.asarray(each, np.float64) for each in sums(rows))
    mean = total / len(rows)
    return np.linalg.eigvalsh(products / len(rows) - np.outer(mean, mean))[0]


true = np.linalg.eigvalsh(np.cov(rows.T.astype(np.float64), bias=True))
off = smallest(tf.float32)
tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})
on, wide = smallest(tf.float32), smallest(tf.float64)
print(f"smallest eigenvalue of the covariance of 64 channels, true value {true[0]:.3g}, largest {true[-1]:.4g}")
print(f"option off, float32: {off:.3g}")
print(f"option on,  float32: {on:.3g}")
print(f"option on,  float64: {wide:.3g}")
flags = open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""
if "avx512" not in flags:
    print("no AVX-512 here: nothing is rewritten")
    sys.exit(0)
sys.exit(not (0 < off < 1e-4 and on < -0.01 and abs(wide - true[0]) < 1e-7))
PY
"$here/venv/bin/python" "$here/covariance.py" 2>/dev/null
