"""How TensorFlow carries out the graphs of Keras models: the same results faster, or in one order only."""

from rsseg_tf.tracing.dilation import native_dilation

__all__ = ["native_dilation"]
