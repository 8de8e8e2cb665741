"""The memory of activations as a target: what is planned for a plan is what the rebuilt model's file needs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.errors import ConfigError
from rsseg_tf.models import deeplab_v3_plus
from rsseg_tf.pruning.arena import arena_of
from rsseg_tf.quantization.convert import convert
from rsseg_tf.tflite.arena import MICRO, arena_bytes
from rsseg_tf.tflite.flatbuffer import parse_model


def branching():
    """A wide beginning, a residual, a separable branch, and a join at full size."""
    x = inputs = keras.Input((32, 32, 3), name="image")
    wide = layers.Conv2D(32, 3, padding="same", activation="relu", name="wide")(x)
    x = layers.Conv2D(24, 3, strides=2, name="down")(layers.ZeroPadding2D(1, name="pad")(wide))
    x = layers.ReLU(name="down_relu")(layers.BatchNormalization(name="down_bn")(x))
    y = layers.Conv2D(24, 3, padding="same", activation="relu", name="inner")(x)
    x = layers.ReLU(name="sum_relu")(layers.Add(name="sum")([x, y]))
    x = layers.SeparableConv2D(40, 3, padding="same", activation="relu", name="separable")(x)
    x = layers.UpSampling2D(2, interpolation="bilinear", name="up")(x)
    x = layers.Concatenate(name="join")([x, layers.Conv2D(8, 1, name="low")(wide)])
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="last")(x)
    return keras.Model(inputs, layers.Conv2D(4, 1, name="classifier")(x), name="branching")


def small_deeplab():
    return pruning.live_taps(deeplab_v3_plus("resnet18", num_classes=5, input_shape=(64, 64, 3), width=0.25))


NETWORKS = {"branching": branching, "deeplab": small_deeplab}


@pytest.fixture(scope="module", params=list(NETWORKS))
def model(request):
    keras.utils.set_random_seed(0)
    return NETWORKS[request.param]()


@pytest.fixture(scope="module")
def groups(model):
    return pruning.find_groups(model)


def file_of(model):
    pixels = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:]), dtype=np.uint8)
    return parse_model(convert(model, calibration=list(pixels)), name=model.name)


@pytest.fixture(scope="module")
def file(model):
    return file_of(model)


def flat_scores(groups):
    widths = {name: len(layer.axes["out"]) for name, layer in groups.wiring.layers.items() if layer.creates}
    return pruning.Scores("given", {name: np.ones(width) for name, width in widths.items()})


def test_the_dense_arena_is_the_file_s(groups, file):
    assert arena_of(file, groups).total(groups.counts) == arena_bytes(file, MICRO)


def test_a_plan_s_arena_is_that_of_the_rebuilt_model_s_file(model, groups, file):
    plan = pruning.random_plan(groups, 0.4, seed=1)
    planned = arena_of(file, groups).total(groups.counts_kept(groups.removed(plan)))
    assert planned == arena_bytes(file_of(pruning.rebuild(model, plan)), MICRO)


@pytest.mark.parametrize("target", [0.8, 0.6])
def test_the_target_is_met_and_hardly_overshot(groups, file, target):
    plan = pruning.choose(
        groups, flat_scores(groups), pruning.Target(arena_bytes=target), round_to=1, min_channels=1, file=file
    )
    assert target - 0.1 < plan.share("arena_bytes") <= target
    assert plan.dense_cost["arena_bytes"] == arena_bytes(file, MICRO)


def test_above_one_the_target_is_bytes(groups, file):
    most = 0.7 * arena_bytes(file, MICRO)
    plan = pruning.choose(groups, flat_scores(groups), pruning.Target(arena_bytes=most), round_to=1, file=file)
    assert 0.9 * most < plan.cost["arena_bytes"] <= most


def test_with_another_target_both_are_met(groups, file):
    target = pruning.Target(arena_bytes=0.8, params=0.5)
    plan = pruning.choose(groups, flat_scores(groups), target, round_to=1, min_channels=1, file=file)
    assert plan.share("arena_bytes") <= 0.8
    assert plan.share("params") <= 0.5


def test_only_what_lives_where_memory_is_fullest_counts(groups, file):
    arena = arena_of(file, groups)
    slope = arena.slope(groups.counts, arena.fullest(groups.counts) - 1)
    for family, each in enumerate(slope):
        fewer = groups.counts - (np.arange(len(groups.counts)) == family)
        assert (each > 0) == (arena.fullest(fewer) < arena.fullest(groups.counts))


def test_what_cannot_be_met_is_an_error(groups, file):
    with pytest.raises(ConfigError, match=r"at most \d+\.\d% of the arena_bytes"):
        pruning.choose(groups, flat_scores(groups), pruning.Target(arena_bytes=0.01), file=file)


def test_without_a_file_it_is_an_error(groups):
    with pytest.raises(ConfigError, match="needs the int8 file"):
        pruning.choose(groups, flat_scores(groups), pruning.Target(arena_bytes=0.5))


def test_the_file_of_another_model_is_an_error(groups):
    x = keras.Input((8, 8, 3))
    other = file_of(keras.Model(x, layers.Conv2D(2, 1, name="lonely")(x)))
    with pytest.raises(ConfigError, match="has no operators of `"):
        pruning.choose(groups, flat_scores(groups), pruning.Target(arena_bytes=0.5), file=other)


def loop_of(model, target, **hooks):
    """Two loops of random scores toward a target."""
    return pruning.prune_loop(
        model,
        batches=lambda _loop: [],
        loss=lambda _y, _prediction: 0.0,
        target=target,
        loop=pruning.Loop(criterion="random", loops=2, round_to=1, min_channels=1, reconstruct=False),
        hooks=pruning.Hooks(**hooks),
    )


@pytest.mark.parametrize("is_share", [True, False])
def test_a_loop_reaches_it_step_by_step(is_share):
    seen = []
    model, dense = branching(), arena_bytes(file_of(branching()), MICRO)
    slim, plan = loop_of(
        model,
        pruning.Target(arena_bytes=0.5 if is_share else 0.5 * dense),
        file=file_of,
        on_loop=lambda _loop, plan: seen.append(plan.share("arena_bytes")),
    )
    assert seen == sorted(seen, reverse=True)
    assert 0.5 < seen[0] <= 0.72
    assert plan.cost["arena_bytes"] == arena_bytes(file_of(slim), MICRO) <= 0.5 * dense


def test_a_loop_without_the_file_is_an_error():
    with pytest.raises(ConfigError, match="needs the hook `file`"):
        loop_of(branching(), pruning.Target(arena_bytes=0.5))
