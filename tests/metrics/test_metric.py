"""What holds for every metric."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from rsseg_tf.metrics import BoundaryF1, ConfusionMatrix, SmallObjectRecall

METRICS = {
    "confusion": (partial(ConfusionMatrix, 3), "iou"),
    "boundary F1": (partial(BoundaryF1, 3, tolerance_px=2), "scores"),
    "small objects": (partial(SmallObjectRecall, 3, below_px=9), "scores"),
}


def pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A blocky mask with ignored pixels, and a prediction that differs from it here and there."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.uint8([0, 1, 2, 255]), (8, 9)).repeat(2, axis=0).repeat(2, axis=1)
    return truth, np.where((rng.random(truth.shape) < 0.3) | (truth == 255), rng.integers(0, 3, truth.shape), truth)


@pytest.mark.parametrize("name", METRICS)
def test_totals_of_parts_add_up_to_the_scores_of_the_whole(name):
    new, scores = METRICS[name]
    parts, whole = (new(), new()), new()
    for seed in range(4):
        for metric in (parts[seed % 2], whole):
            metric.update(*pair(seed))

    for total, other in zip(parts[0].totals, parts[1].totals, strict=True):
        total += other

    assert not np.isnan(getattr(whole, scores)).any()
    np.testing.assert_allclose(getattr(parts[0], scores), getattr(whole, scores))
