"""Laws of the moments: they are those of the tensor's own values, whatever number format convolutions run in."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pytest

from rsseg_tf.graphs import flatten
from rsseg_tf.pruning.loop.reconstruct import Reconstruction
from rsseg_tf.pruning.scoring.criteria import Scorer
from rsseg_tf.pruning.scoring.moments import Moments, statistics
from rsseg_tf.pruning.wiring import trace
from rsseg_tf.tracing.precision import use_precision


@pytest.fixture
def bfloat16() -> Iterator[None]:
    use_precision("bfloat16")
    yield
    use_precision("float32")


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("by", ["scores", "forward passes"])
def test_the_covariance_of_channels_with_large_means_has_no_negative_eigenvalues(by: str) -> None:
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(24, 3, padding="same", name="first")(image)
    model = keras.Model(image, keras.layers.Conv2D(2, 1, name="head")(x))
    first = model.get_layer("first")
    first.set_weights([first.get_weights()[0], np.linspace(5, 60, 24).astype(np.float32)])
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(8, 16, 16, 3)).astype(np.float32), np.zeros(8)) for _ in range(3)]
    wiring = trace(model)
    reconstruction = Reconstruction(flatten(model), wiring)
    if by == "scores":
        scorer = Scorer(
            model, criterion="taylor-fo", loss=lambda _, z: keras.ops.mean(z), moments=reconstruction.moments
        )
        scorer(batches)
        seen = scorer.observed
    else:
        seen = reconstruction.measured(batches)
    assert seen is not None
    widths = [tensor.shape[-1] for tensor in reconstruction.moments.tensors]
    mean, covariance = statistics(*reconstruction.moments.sums(seen, widths.index(24), np.ones(24, bool)))
    values = np.concatenate([keras.Model(image, first.output)(x).numpy().reshape(-1, 24) for x, _ in batches])
    np.testing.assert_allclose(mean, values.mean(axis=0, dtype=np.float64), rtol=0.02)
    # Rounding the values to 8 bits adds a little to the variances; it turns nothing negative.
    eigenvalues = np.linalg.eigvalsh(covariance)
    assert eigenvalues[0] > -1e-4 * eigenvalues[-1]
    noise = np.diag((values.mean(axis=0) / 256) ** 2)
    assert np.abs(covariance - np.cov(values.T)).max() < 0.1 * np.cov(values.T).max() + noise.max()


def test_sums_of_fewer_channels_are_parts_of_those_that_were_asked_for_first() -> None:
    moments = Moments([keras.Input((4, 4, 6))])
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(20, 6)).astype(np.float32) for _ in range(3)]
    first = np.array([True, True, False, True, True, True])
    then = np.array([True, False, False, True, False, True])
    seen, afresh = moments.nothing(), moments.nothing()
    for each in rows:
        moments.add(seen, [each])
        moments.add(afresh, [each])
    assert moments.sums(seen, 0, first)[0] == 60
    for found, expected in zip(moments.sums(seen, 0, then), moments.sums(afresh, 0, then), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert moments.sums(seen, 0, ~first)[0] == 0  # a channel that nobody asked for in time
