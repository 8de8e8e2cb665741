"""What the taps of a kernel meet, against TensorFlow's convolution."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from rsseg_tf.quantization.int8.taps import Taps


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(
    ("kernel", "strides", "dilations"),
    [((3, 3), (1, 1), (1, 1)), ((3, 2), (2, 1), (1, 1)), ((3, 3), (1, 1), (2, 3)), ((1, 1), (2, 2), (1, 1))],
)
def test_kernels_times_what_they_meet_are_the_convolution(kernel, strides, dilations, padding):
    rng = np.random.default_rng(0)
    values, filters = rng.normal(size=(9, 12, 3)), rng.normal(size=(*kernel, 3, 4))
    expected = tf.nn.conv2d(values[None], filters, strides=strides, padding=padding, dilations=dilations)[0].numpy()
    taps = Taps(kernel, strides, dilations, expected.shape[:2])
    chosen = rng.permutation(expected.shape[0] * expected.shape[1])

    met = taps.samples(values, chosen)

    np.testing.assert_allclose(np.einsum("nhwc,hwco->no", met, filters), expected.reshape(-1, 4)[chosen])
    np.testing.assert_allclose(taps.means(values), met.mean(axis=0), atol=1e-12)
