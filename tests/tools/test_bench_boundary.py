import bench_boundary
import numpy as np
import pytest

from rsseg_tf.metrics import boundary_f1


@pytest.mark.parametrize("near", ["_near_by_transform", "_near_by_tree", "_near_by_pairs"])
def test_the_plain_ways_that_it_times_give_the_same_scores(near, monkeypatch):
    monkeypatch.setattr(bench_boundary, "TOLERANCE", 0.04)
    rng = np.random.default_rng(0)
    truth = rng.integers(0, bench_boundary.CLASSES, (9, 12)).repeat(5, axis=0).repeat(5, axis=1)
    prediction = np.roll(truth, (1, 2), axis=(0, 1))
    plain = bench_boundary.by_class(truth, prediction, near=getattr(bench_boundary, near))
    ours = boundary_f1(truth, prediction, num_classes=bench_boundary.CLASSES, tolerance=0.04)
    np.testing.assert_allclose(plain, ours, atol=1e-12)
    assert 0 < ours.mean() < 1
