#!/usr/bin/env bash
# An optimizer of Keras 3 trains the variables of a tf_keras (Keras 2) model as they are, to the same bits as tf_keras' own.
#
# The two are separate packages with separate variable classes that know nothing of each other. But Keras 3's
# TensorFlow optimizers take any tf.Variable in `build` and `apply`. So a training loop written for Keras 3 also serves what
# only tf_keras has, such as the quantization-aware models of tensorflow-model-optimization.
#
# Seen with keras 3.15.1, tf-keras 2.21.0, tensorflow 2.21.0 on 2026-11-28, Python 3.11, x86-64:
#   AdamW: loss 10.3581 -> 5.8020 in 20 steps, largest difference to tf_keras' own optimizer 0
#   SGD with momentum: loss 10.3581 -> 1.4570 in 20 steps, largest difference to tf_keras' own optimizer 0
# Fails if that changes.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check "tensorflow==2.21.0" "keras==3.15.1" "tf-keras==2.21.0" 2>/dev/null
cat > "$here/two_kerases.py" <<'PY'
import os
import sys
import warnings

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
warnings.simplefilter("ignore")
import keras
import numpy as np
import tensorflow as tf
import tf_keras

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 4)).astype(np.float32)
y = (x @ rng.normal(size=(4, 1))).astype(np.float32)


def model():
    tf_keras.utils.set_random_seed(0)
    dense = tf_keras.layers.Dense
    return tf_keras.Sequential([dense(8, activation="relu", input_shape=(4,)), dense(1)])


def loss_and_gradients(network):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((network(x) - y) ** 2)
    return float(loss), tape.gradient(loss, network.trainable_variables)


def compared(name, of_keras_3, of_tf_keras):
    ours, theirs = model(), model()
    of_keras_3.build(ours.trainable_variables)
    first = loss_and_gradients(ours)[0]
    for _ in range(20):
        of_keras_3.apply(loss_and_gradients(ours)[1], ours.trainable_variables)
        of_tf_keras.apply_gradients(zip(loss_and_gradients(theirs)[1], theirs.trainable_variables))
    last = loss_and_gradients(ours)[0]
    pairs = zip(ours.get_weights(), theirs.get_weights())
    difference = max(float(np.abs(a - b).max()) for a, b in pairs)
    print(f"{name}: loss {first:.4f} -> {last:.4f} in 20 steps, largest difference to tf_keras' own optimizer {difference:.1g}")
    return last < 0.9 * first and difference < 1e-6


print("keras", keras.__version__, "tf_keras", tf_keras.__version__, "tensorflow", tf.__version__)
new, old = keras.optimizers, tf_keras.optimizers
held = [
    compared("AdamW", new.AdamW(0.01, weight_decay=0.0), old.AdamW(0.01, weight_decay=0.0)),
    compared("SGD with momentum", new.SGD(0.01, momentum=0.9), old.SGD(0.01, momentum=0.9)),
]
sys.exit(0 if all(held) else 1)
PY
"$here/venv/bin/python" "$here/two_kerases.py" 2>/dev/null
