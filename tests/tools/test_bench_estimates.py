"""The table of estimates, and plans that keep any share of every family."""

from __future__ import annotations

import bench_estimates
import keras
import numpy as np

from rsseg_tf import pruning


def test_the_tables_have_a_row_a_plan_and_a_row_a_way() -> None:
    row = {"macs": 0.5, "estimated": 0.57, "measured": 0.6, "error": -0.05}
    assert bench_estimates.markdown([row]).splitlines()[2] == "| 0 | 50.0 | 57.0 | 60.0 | -5.0 |"
    errors = [0.01 * number for number in range(-5, 6)]
    table = bench_estimates.errors_of({"a": [0.6 * (1 + error) for error in errors]}, [0.6] * 11)
    assert table.splitlines()[2] == "| a | 3.0 | 5.0 | +0.0 |"


def test_plans_keep_shares_of_their_own_and_every_other_one_multiples_of_16() -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(48, 1, name="second")(keras.layers.Conv2D(64, 1, name="first")(image))
    groups = pruning.find_groups(keras.Model(image, keras.layers.Conv2D(2, 1)(x)))
    kept = [groups.counts_kept(bench_estimates.random_removals(groups, seed)) for seed in range(40)]
    assert all((counts >= 1).all() for counts in kept)
    assert all((counts % 16 == 0).all() for counts in kept[::2])
    assert any((counts % 16 != 0).any() for counts in kept[1::2])
    assert np.unique(kept, axis=0).shape[0] > 20
