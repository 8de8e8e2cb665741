"""The figures of tools/prune_damage.py, of logits that say what they must be."""

import numpy as np
import prune_damage
import pytest


def test_equal_logits_are_no_damage_whatever_is_added_to_a_pixel():
    logits = np.random.default_rng(0).normal(size=(2, 4, 4, 3))
    found = prune_damage.damage(logits, logits + 5)

    assert found.divergence == pytest.approx(0, abs=1e-12)
    assert found.agreement == 1


def test_divergence_is_counted_by_the_class_that_the_dense_network_sees():
    dense = np.log(np.asarray([[[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]]))
    pruned = np.log(np.asarray([[[0.1, 0.8, 0.1], [0.1, 0.8, 0.1]]]))
    found = prune_damage.damage(dense, pruned)
    expected = 0.7 * np.log(8)

    assert found.by_class[:2] == (pytest.approx(expected), pytest.approx(0, abs=1e-12))
    assert np.isnan(found.by_class[2])
    assert found.divergence == pytest.approx(expected / 2)
    assert found.agreement == 0.5
