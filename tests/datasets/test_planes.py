import numpy as np
import pytest

from rsseg_tf.datasets.planes import interleaved, planes


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
@pytest.mark.parametrize("bands", [1, 3, 5, 600])
def test_planes_and_pixels_are_the_same_numbers(dtype, bands):
    pixels = np.random.default_rng(0).integers(0, 100, (4, 6, bands)).astype(dtype)
    apart = planes(pixels)
    assert len(apart) == bands
    for number, plane in enumerate(apart):
        np.testing.assert_array_equal(plane, pixels[..., number])
    together = interleaved(np.moveaxis(pixels, -1, 0))
    assert together.dtype == dtype
    assert together.flags.c_contiguous
    np.testing.assert_array_equal(together, pixels)
