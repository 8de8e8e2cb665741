"""The loop meets its target, replays on the dense model, and resumes to the same plan."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.errors import ConfigError, RssegError
from rsseg_tf.settings import PruneConfig
from tests.pruning.law import randomise

SETTINGS = PruneConfig(loops=12, macs=0.4, round_to=2, min_channels=2)


def network():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(24, 3, padding="same", use_bias=False, name="stem")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="stem_bn")(x))
    y = layers.Conv2D(24, 3, padding="same", activation="relu", name="branch")(x)
    x = layers.Conv2D(16, 3, name="last")(layers.Add()([x, y]))
    model = keras.Model(inputs, layers.Dense(3, name="classifier")(layers.GlobalAveragePooling2D()(x)))
    randomise(model, seed=1)
    return model


def batches(loop):
    rng = np.random.default_rng(loop)
    return [(rng.normal(size=(2, 8, 8, 3)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32))]


def loss(y, prediction):
    return keras.ops.mean(keras.ops.square(y - prediction))


def prune(model, **options):
    return pruning.prune_loop(model, **{"batches": batches, "loss": loss, "settings": SETTINGS, **options})


@pytest.fixture(scope="module")
def pruned():
    model = network()
    before = model.get_weights()
    seen = []
    slim, plan = prune(model, on_loop=lambda *news: seen.append(news))
    return model, before, slim, plan, seen


def test_the_target_is_met_in_even_steps(pruned):
    _, _, slim, plan, seen = pruned
    assert pruning.cost(slim).macs == plan.cost["macs"]
    assert 0.3 < plan.share("macs") <= 0.4
    assert [loop for loop, _, _ in seen] == list(range(1, 13))
    assert all(macs <= 0.4 ** (loop / 12) + 1e-9 for loop, macs, _ in seen)
    assert seen[-1][2] == plan.share("params")


def test_the_plan_replays_on_the_dense_model(pruned):
    model, before, slim, plan, _ = pruned
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    again = pruning.rebuild(model, pruning.Plan.from_json(plan.to_json()))
    assert all((a == b).all() for a, b in zip(slim.get_weights(), again.get_weights(), strict=True))


@pytest.mark.parametrize("killed_after", [1, 7, 12])
def test_a_killed_loop_resumes_to_the_same_plan(pruned, tmp_path, killed_after):
    model, _, _, plan, _ = pruned

    def kill(loop, *_):
        if loop == killed_after:
            raise KeyboardInterrupt

    state = tmp_path / "state.json"
    with pytest.raises(KeyboardInterrupt):
        prune(model, state_path=state, on_loop=kill)
    done = []
    _, resumed = prune(model, state_path=state, on_loop=lambda loop, *_: done.append(loop))
    assert resumed.keep == plan.keep
    assert done == list(range(killed_after + 1, 13))


def test_the_ranking_of_the_settings_decides(pruned):
    settings = dataclasses.replace(SETTINGS, aggregate="mean", normalise="l2", cost="params")
    _, plan = prune(pruned[0], settings=settings)
    assert plan.details["ranking"] == {"aggregate": "mean", "normalise": "l2", "cost": "params"}
    assert plan.keep != pruned[3].keep


def test_a_state_of_other_settings_or_none_is_refused(pruned, tmp_path):
    model = pruned[0]
    state = tmp_path / "state.json"
    prune(model, state_path=state)
    other = dataclasses.replace(SETTINGS, macs=0.5)
    with pytest.raises(ConfigError, match="another model or other settings"):
        prune(model, state_path=state, settings=other)
    state.write_text(json.dumps([1]))
    with pytest.raises(ConfigError, match="not the state"):
        prune(model, state_path=state)


def test_an_impossible_target_is_told_before_any_batch_is_read():
    def never(loop):
        raise AssertionError(loop)

    impossible = dataclasses.replace(SETTINGS, macs=0.001)
    with pytest.raises(RssegError, match="cannot be met"):
        prune(network(), settings=impossible, batches=never)
