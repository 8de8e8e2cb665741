import numpy as np
import pytest
import tensorflow as tf

from rsseg_tf.tracing.precision import native_precision, use_precision


@pytest.fixture(autouse=True)
def float32_afterwards():
    yield
    use_precision("float32")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: sse avx512_bf16 amx_tile\n", "bfloat16"),
        ("flags\t\t: sse avx2\n", "float32"),
        ("Features\t: fp asimd\n", "float32"),
    ],
)
def test_auto_follows_the_processors_flags(tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)

    assert native_precision(tmp_path / "cpuinfo") == expected


def test_without_a_list_of_flags_it_is_float32(tmp_path):
    assert native_precision(tmp_path / "nowhere") == "float32"


def test_bfloat16_rounds_convolutions_and_float32_does_not():
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(1, 32, 32, 16)), tf.float32)
    kernel = tf.constant(rng.normal(size=(3, 3, 16, 16)), tf.float32)
    results = {}
    for precision in ("float32", "bfloat16"):
        use_precision(precision)
        convolve = tf.function(lambda x: tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")))
        results[precision] = convolve(images).numpy()
    error = np.abs(results["bfloat16"] - results["float32"]).max() / np.abs(results["float32"]).max()

    assert results["bfloat16"].dtype == np.float32
    assert error < 0.02
