"""Choosing: the target is met exactly, the limits are kept, the least important go."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.config import PruneConfig
from rsseg_tf.config.setting import part
from rsseg_tf.errors import ConfigError, ModelError, RssegError

WIDTHS = {"first": 32, "second": 20, "third": 24}


@pytest.fixture(scope="module")
def model():
    x = inputs = keras.Input((8, 8, 3))
    for name, width in WIDTHS.items():
        x = layers.Conv2D(width, 3, padding="same", name=name)(x)
    return keras.Model(inputs, layers.Conv2D(2, 1, name="classifier")(x))


@pytest.fixture(scope="module")
def groups(model):
    return pruning.find_groups(model)


def ascending(scale=None):
    """Scores by which every layer's first channels matter least."""
    scale = scale or {}
    layers_ = {name: scale.get(name, 1.0) * (1.0 + np.arange(width)) for name, width in WIDTHS.items()}
    return pruning.Scores("given", layers_)


@pytest.mark.parametrize("metric", ["macs", "params", "int8_bytes"])
@pytest.mark.parametrize("share", [0.8, 0.5, 0.2])
def test_the_target_is_met_by_the_rebuilt_model(model, groups, metric, share):
    plan = pruning.choose(groups, ascending(), pruning.Target(**{metric: share}), round_to=1)
    slim, dense = pruning.cost(pruning.rebuild(model, plan)), pruning.cost(model)
    assert getattr(slim, metric) == plan.cost[metric] <= share * getattr(dense, metric)
    assert plan.share(metric) > share - 0.08


def test_all_targets_are_met(groups):
    plan = pruning.choose(groups, ascending(), pruning.Target(macs=0.9, params=0.4), round_to=1)
    assert plan.share("params") <= 0.4
    assert plan.share("macs") <= 0.9


def test_the_least_important_go_first(groups):
    plan = pruning.choose(groups, ascending({"first": 0.01}), pruning.Target(macs=0.8), round_to=1)
    kept = plan.keep["first"]
    assert kept == tuple(range(32 - len(kept), 32))
    assert set(plan.keep) == {"first"}


def test_kept_counts_are_multiples_or_dense(groups):
    plan = pruning.choose(groups, ascending(), pruning.Target(macs=0.4), round_to=8)
    assert {len(kept) % 8 for kept in plan.keep.values()} == {0}
    assert all(len(kept) < WIDTHS[name] for name, kept in plan.keep.items())


def test_coupled_blocks_are_rounded_as_whole_layers():
    x = inputs = keras.Input((8, 8, 8))
    x = layers.Conv2D(16, 3, groups=4, padding="same", name="grouped")(layers.Conv2D(16, 1)(x))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(x))
    scores = pruning.score(model, criterion="random")
    plan = pruning.choose(pruning.find_groups(model), scores, pruning.Target(macs=0.6), round_to=8)
    assert {len(kept) for kept in plan.keep.values()} == {8}


def test_min_channels_is_kept(groups):
    plan = pruning.choose(groups, ascending(), pruning.Target(macs=0.3), round_to=1, min_channels=12)
    assert min(len(kept) for kept in plan.keep.values()) >= 12


def test_skipped_layers_stay(groups):
    plan = pruning.choose(groups, ascending(), pruning.Target(macs=0.6), round_to=1, skip=["sec*"])
    assert set(plan.keep) == {"first", "third"}


def test_an_impossible_target_names_the_largest_cut(groups):
    with pytest.raises(RssegError, match=r"at most 9\d\.\d% of the macs") as caught:
        pruning.choose(groups, ascending(), pruning.Target(macs=0.001), round_to=1, min_channels=1)
    assert "min_channels" in caught.value.hint


def test_a_start_is_never_undone(groups):
    start = pruning.choose(groups, ascending(), pruning.Target(macs=0.7), round_to=1)
    downwards = pruning.Scores("given", {name: values[::-1] for name, values in ascending().layers.items()})
    plan = pruning.choose(groups, downwards, pruning.Target(macs=0.4), round_to=1, start=start)
    assert (groups.removed(plan) >= groups.removed(start)).all()


def test_the_same_input_gives_the_same_plan(groups):
    plans = [pruning.choose(groups, ascending(), pruning.Target(macs=0.5)) for _ in range(2)]
    assert plans[0] == plans[1]


def test_aggregation_over_members():
    inputs = keras.Input((8, 8, 3))
    left, right = (layers.Conv2D(4, 1, name=name)(inputs) for name in ("left", "right"))
    groups = pruning.find_groups(keras.Model(inputs, layers.Conv2D(2, 1)(layers.Add()([left, right]))))
    scores = pruning.Scores("given", {"left": np.asarray([1.0, 2, 3, 4]), "right": np.asarray([6.0, 1, 1, 1])})
    found = {how: pruning.group_scores(groups, scores, pruning.Ranking(how)).tolist() for how in ("sum", "mean", "max")}
    assert found == {"sum": [7, 3, 4, 5], "mean": [3.5, 1.5, 2, 2.5], "max": [6, 2, 3, 4]}


def test_normalization_makes_layers_comparable(groups):
    scores = ascending({"first": 1000.0})
    by_mean = pruning.group_scores(groups, scores, pruning.Ranking(normalize="mean"))
    by_l2 = pruning.group_scores(groups, scores, pruning.Ranking(normalize="l2"))
    assert by_mean[:32].mean() == pytest.approx(1.0)
    assert (by_l2[32:52] ** 2).sum() == pytest.approx(1.0)


def test_cost_aware_ranking_prefers_what_saves_more(groups):
    scores = pruning.Scores("given", {name: np.ones(width) for name, width in WIDTHS.items()})
    plan = pruning.choose(groups, scores, pruning.Target(macs=0.9), round_to=1, ranking=pruning.Ranking(cost="macs"))
    # A filter of `second` reads 32 channels and feeds 24: more than any other.
    assert set(plan.keep) == {"second"}


@pytest.mark.parametrize("metric", ["macs", "params", "int8_bytes"])
def test_scores_are_divided_by_what_counts_for_the_target(groups, metric):
    target = pruning.Target(**{metric: 0.5})
    by_target, named, alone = (
        pruning.choose(groups, ascending(), target, round_to=1, ranking=pruning.Ranking(cost=cost))
        for cost in ("target", metric, "none")
    )
    assert by_target.keep == named.keep
    assert by_target.keep != alone.keep
    assert pruning.choose(groups, ascending(), target, round_to=1) == by_target


def test_a_target_that_is_met_no_longer_counts(groups):
    targets = (pruning.Target(macs=0.5, params=0.99), pruning.Target(macs=0.5))
    ranking = pruning.Ranking(cost="target")
    both, alone = (pruning.choose(groups, ascending(), target, round_to=1, ranking=ranking) for target in targets)
    # One percent of the parameters is soon gone; from then on the multiply-accumulates alone decide.
    for name, width in WIDTHS.items():
        assert abs(len(both.keep.get(name, range(width))) - len(alone.keep.get(name, range(width)))) <= 1


def test_squared_scores_are_weighed_against_cost_by_their_root(groups):
    changes = ascending({"first": 3.0, "second": 0.5})
    squared = pruning.Scores("given", {name: values**2 for name, values in changes.layers.items()}, power=2)
    ranking = pruning.Ranking(cost="macs")
    one, other = (
        pruning.choose(groups, scores, pruning.Target(macs=0.5), round_to=1, ranking=ranking)
        for scores in (changes, squared)
    )
    assert one.keep == other.keep


@pytest.mark.parametrize(("criterion", "power"), [("taylor-bn", 2), ("taylor-fo", 2), ("taylor", 1), ("l1", 1)])
def test_criteria_say_which_power_of_the_change_they_are(model, criterion, power):
    batch = (np.ones((1, 8, 8, 3), np.float32), np.zeros((1, 8, 8, 2), np.float32))
    scores = pruning.score(model, [batch], criterion=criterion, loss=lambda y, p: keras.ops.mean((p - y) ** 2))
    assert scores.power == power


def test_a_target_that_is_met_on_the_way_changes_nothing(groups):
    one = pruning.choose(groups, ascending(), pruning.Target(macs=0.4), round_to=1)
    both = pruning.choose(groups, ascending(), pruning.Target(macs=0.4, params=one.share("params") + 0.01), round_to=1)

    assert both.keep == one.keep


def test_targets_that_do_not_follow_from_each_other_are_met_together(groups):
    """Ranked by what it saves of either alone, the other is missed or overshot."""
    macs = pruning.choose(groups, ascending(), pruning.Target(macs=0.5), round_to=1).share("params")
    target = pruning.Target(macs=0.5, params=macs - 0.08)
    plan = pruning.choose(groups, ascending(), target, round_to=1)

    assert target.params - 0.05 < plan.share("params") <= target.params
    assert plan.share("macs") <= 0.5


def test_random_plans_depend_on_the_seed_alone(groups):
    first, second, other = (pruning.random_plan(groups, 0.5, seed=seed) for seed in (1, 1, 2))
    assert first == second
    assert first.keep != other.keep
    assert {name: len(kept) for name, kept in first.keep.items()} == {"first": 16, "second": 10, "third": 12}


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_a_random_plan_removes_a_share(groups, fraction):
    with pytest.raises(ConfigError, match="`fraction` must be between 0 and 1"):
        pruning.random_plan(groups, fraction, seed=0)


@pytest.mark.parametrize(("round_to", "min_channels"), [(1, 1), (8, 8), (4, 5), (1, 3)])
def test_the_largest_cut_leaves_the_least_that_the_limits_allow(groups, round_to, min_channels):
    plan = pruning.largest_cut(groups, round_to=round_to, min_channels=min_channels)
    least = -(-min_channels // round_to) * round_to
    assert {name: len(kept) for name, kept in plan.keep.items()} == dict.fromkeys(WIDTHS, least)


@pytest.mark.parametrize("share", [0.0, 1.5, -1])
def test_targets_are_shares_to_keep(groups, share):
    with pytest.raises(ConfigError, match="`macs` must be above 0 and at most 1"):
        pruning.choose(groups, ascending(), pruning.Target(macs=share))


@pytest.mark.parametrize(("limits", "least"), [({"round_to": -1}, 0), ({"min_channels": 0}, 1)])
def test_limits_are_at_least_what_makes_sense(groups, limits, least):
    message = rf"must be at least {least} and at most [\d,]+, got {least - 1}"
    with pytest.raises(ConfigError, match=message):
        pruning.choose(groups, ascending(), pruning.Target(macs=0.5), **limits)
    with pytest.raises(ConfigError, match=message):
        pruning.largest_cut(groups, **limits)


def test_a_target_that_keeps_everything_is_none(groups):
    plan = pruning.choose(groups, ascending(), pruning.Target(macs=1.0, latency_ms=0.0))

    assert plan.keep == {}
    assert plan.details["target"] == {}


def test_the_defaults_of_choosing_are_those_of_the_settings(groups):
    assert pruning.Limits() == part(PruneConfig(), pruning.Limits)
    plans = [pruning.choose(groups, ascending(), pruning.Target(macs=0.5)), pruning.largest_cut(groups)]
    assert [plan.details["limits"] for plan in plans] == [
        {"round_to": 8, "min_channels": 8, "skip": [], "attention": "both"}
    ] * 2


def test_scores_of_another_model_are_refused(groups):
    with pytest.raises(ModelError, match="another model"):
        pruning.choose(groups, pruning.Scores("given", {"first": np.ones(3)}), pruning.Target(macs=0.5))


def test_a_pattern_to_skip_that_names_no_layer_is_refused_with_the_name_that_was_meant(groups):
    with pytest.raises(ConfigError, match="no layer `secnod` to skip") as caught:
        pruning.choose(groups, ascending(), pruning.Target(macs=0.6), round_to=1, skip=["secnod"])
    assert caught.value.hint == "did you mean `second`?"
    with pytest.raises(ConfigError, match="no layer `secnod` to skip"):
        pruning.largest_cut(groups, skip=["secnod"])


@pytest.mark.parametrize("limits", [{"round_to": 64}, {"min_channels": 1000}, {"skip": ["*"]}])
def test_limits_that_leave_nothing_to_remove_are_named_as_such(groups, limits):
    with pytest.raises(RssegError, match=r"at most 0\.0% of the macs") as caught:
        pruning.choose(groups, ascending(), pruning.Target(macs=0.5), **limits)
    assert caught.value.hint == "ask for less, or lower round_to or min_channels, or skip fewer layers"
