import numpy as np
import pytest

from rsseg_tf import pruning
from rsseg_tf.errors import ConfigError
from tests.pruning.networks import batches, loss, tiny_network


@pytest.fixture(scope="module")
def measured():
    model = tiny_network()
    groups = pruning.find_groups(model)
    before = model.get_weights()
    truth = pruning.oracle(model, groups, batches(), loss=loss)
    return model, groups, before, truth


def total_loss(model):
    return np.mean([float(loss(y, model(x, training=False))) for x, y in batches()])


def test_changes_are_those_of_models_rebuilt_without_the_group(measured):
    model, groups, _, truth = measured
    for group in (0, 9, len(groups) - 1):
        slim = pruning.rebuild(model, groups.plan(np.arange(len(groups)) == group))
        assert truth.changes[group] == pytest.approx(total_loss(slim) - total_loss(model), rel=1e-3, abs=1e-6)


def test_the_model_ends_as_it_came(measured):
    model, _, before, _ = measured
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_a_limit_draws_evenly_over_families(measured):
    model, groups, _, whole = measured
    seen = []
    only = pruning.spread_groups(groups, 6)
    truth = pruning.oracle(model, groups, batches(), loss=loss, only=only, progress=lambda *news: seen.append(news))
    assert seen == [(done, 6) for done in range(1, 7)]
    assert np.bincount(groups.family_of[truth.groups]).tolist() == [2, 2, 2]
    np.testing.assert_allclose(truth.changes, whole.changes[truth.groups], rtol=1e-6)


def test_perfect_scores_correlate_perfectly_and_random_ones_do_not(measured):
    _, groups, _, truth = measured
    layers, start = {}, 0
    for name, width in (("stem", 8), ("middle", 6), ("last", 8)):
        layers[name] = np.abs(truth.changes[start : start + width])
        start += width
    perfect = pruning.rank_correlation(groups, pruning.Scores("oracle", layers), truth)
    assert perfect.overall == pytest.approx(1.0)
    assert perfect.mean_of_families == pytest.approx(1.0)
    assert set(perfect.families) == {"stem", "middle", "last"}
    shuffled = {name: np.random.default_rng(0).permutation(values) for name, values in layers.items()}
    assert pruning.rank_correlation(groups, pruning.Scores("random", shuffled), truth).overall < 0.9


def test_no_batches_are_an_error(measured):
    model, groups, _, _ = measured
    with pytest.raises(ConfigError, match="at least one batch"):
        pruning.oracle(model, groups, [], loss=loss)
