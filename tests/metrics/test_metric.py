"""What holds for every metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rsseg_tf.config import EvaluateConfig
from rsseg_tf.evaluation.counting import new_metrics
from rsseg_tf.metrics import Metric

SETTINGS = EvaluateConfig(boundary_tolerance_px=2, small_object_px=9)


def pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A blocky mask with ignored pixels, and a prediction that differs from it here and there."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.uint8([0, 1, 2, 255]), (8, 9)).repeat(2, axis=0).repeat(2, axis=1)
    return truth, np.where((rng.random(truth.shape) < 0.3) | (truth == 255), rng.integers(0, 3, truth.shape), truth)


def scores(metric: Metric) -> dict[str, Any]:
    """What its properties say."""
    names = [name for name, member in vars(type(metric)).items() if isinstance(member, property)]
    return {name: getattr(metric, name) for name in names if not name.startswith("_") and name != "totals"}


@pytest.mark.parametrize("place", range(len(new_metrics(3))))
def test_totals_of_parts_add_up_to_the_scores_of_the_whole(place):
    one, two, whole = (new_metrics(3, SETTINGS)[place] for _ in range(3))
    for seed in range(4):
        for metric in ((one, two)[seed % 2], whole):
            metric.update(*pair(seed))

    for total, other in zip(one.totals, two.totals, strict=True):
        total += other

    assert any(np.shape(value) == (3,) and np.isfinite(value).all() for value in scores(whole).values())
    for key, value in scores(whole).items():
        np.testing.assert_allclose(scores(one)[key], value, err_msg=key)
