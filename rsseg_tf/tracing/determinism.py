"""Computing in one order only, so that equal runs end with equal bits."""

from __future__ import annotations

import tensorflow as tf


def use_determinism(asked: bool) -> None:
    """Make TensorFlow compute in one order only from now on, if that is asked for.

    It holds for the process: TensorFlow has no way back. Call it before the model is built.
    """
    if asked:
        tf.config.experimental.enable_op_determinism()
