"""Latency as a target: what a profile says of a model with fewer channels, by hand and on real files."""

from __future__ import annotations

import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.benchmark.boards import BOARDS
from rsseg_tf.benchmark.boards import estimate as estimate_for
from rsseg_tf.benchmark.profile import OpLatency, profile, save_profile
from rsseg_tf.benchmark.staircase import Step, tile_of
from rsseg_tf.config import PruneConfig
from rsseg_tf.errors import ConfigError, RssegError
from rsseg_tf.pruning.latency import latency_terms
from rsseg_tf.tflite.layer_names import OpTensors
from tests.tflite.networks import converted

FIRST = 16 * 9 * 3 * 16
SECOND = 16 * 16 * 8
HEAD = 16 * 8 * 2


@pytest.fixture(scope="module")
def model():
    """Two convolutions with a pooling between them, and a classifier."""
    x = inputs = keras.Input((8, 8, 3), batch_size=1, name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", name="first")(x)
    x = layers.MaxPooling2D(3, strides=1, padding="same", name="pool")(x)
    x = layers.Conv2D(8, 1, name="second")(x)
    return keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x), name="net")


@pytest.fixture(scope="module")
def groups(model):
    return pruning.find_groups(model)


def op(index, kind, name, width, macs, ms):
    tensors = OpTensors(f"net_1/{name}_1/{kind}", (f"in{index}",), ())
    return OpLatency(index, kind, tensors, (1, 4, 4, width), macs, ms)


def made(*ops, total_ms=10.0):
    return pruning.LatencyProfile("m.tflite", "00", 1, 50, "cpu", None, True, total_ms, ops)


QUANTIZE = OpLatency(0, "QUANTIZE", OpTensors("tfl.quantize", ("pixels",), ()), (1, 8, 8, 3), 0, 0.5)
PROFILE = made(
    QUANTIZE,
    op(1, "CONV_2D", "first", 16, FIRST, 2.0),
    op(2, "MAX_POOL_2D", "pool", 16, 0, 0.5),
    op(3, "CONV_2D", "second", 8, SECOND, 1.5),
    op(4, "CONV_2D", "head", 2, HEAD, 0.5),
)


def ascending():
    return pruning.Scores("given", {"first": 1.0 + np.arange(16), "second": 100 + np.arange(8.0)})


def estimate(first, second):
    """By hand: the operators sum up to 5 ms and the whole took 10, so everything counts double."""
    shares = first / 16, second / 8
    return 2 * (0.5 + 2.0 * shares[0] + 0.5 * shares[0] + 1.5 * shares[0] * shares[1] + 0.5 * shares[1])


def test_the_dense_model_takes_the_measured_time(groups):
    terms = groups.terms_with(latency_terms(PROFILE, groups.wiring))
    assert terms.total("latency_ms", groups.counts) == pytest.approx(PROFILE.total_ms)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
def test_what_calls_of_operators_one_by_one_take_is_in_no_estimate(groups, fraction):
    steps = (Step(16, 8, 1.5), Step(16, 4, 0.9), Step(8, 4, 0.6))
    layers = [
        dataclasses.replace(layer, steps=steps if layer.type == "CONV_2D" and layer.macs == SECOND else ())
        for layer in PROFILE.layers
    ]
    called = [
        dataclasses.replace(
            layer, ms=layer.ms + 0.2, steps=tuple(dataclasses.replace(step, ms=step.ms + 0.2) for step in layer.steps)
        )
        for layer in layers
    ]
    plan = groups.removed(pruning.random_plan(groups, fraction, seed=0))
    clean, found = (
        groups.terms_with(latency_terms(made(*each, total_ms=5.0), groups.wiring)).total(
            "latency_ms", groups.counts_kept(plan)
        )
        for each in (layers, called)
    )
    assert found == pytest.approx(clean)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
def test_a_plan_takes_what_is_counted_by_hand(groups, fraction):
    plan = pruning.random_plan(groups, fraction, seed=0)
    left = {"first": 16, "second": 8} | {name: len(kept) for name, kept in plan.keep.items()}
    terms = groups.terms_with(latency_terms(PROFILE, groups.wiring))
    counts = groups.counts_kept(groups.removed(plan))
    assert terms.total("latency_ms", counts) == pytest.approx(estimate(**left))


def test_other_metrics_are_as_without_a_profile(groups):
    measured = groups.terms_with(latency_terms(PROFILE, groups.wiring))
    for metric in ("params", "macs", "int8_bytes"):
        assert measured.total(metric, groups.counts) == groups.terms.total(metric, groups.counts)
        np.testing.assert_array_equal(measured.slope(metric, groups.counts), groups.terms.slope(metric, groups.counts))


def test_the_slope_is_what_one_channel_takes(groups):
    terms = groups.terms_with(latency_terms(PROFILE, groups.wiring))
    assert terms.slope("latency_ms", groups.counts) == pytest.approx(
        [estimate(16, 8) - estimate(15, 8), estimate(16, 8) - estimate(16, 7)]
    )


@pytest.mark.parametrize("milliseconds", [8.0, 5.0, 3.0])
def test_the_target_is_met_and_no_more_than_that(groups, milliseconds):
    target = pruning.Target(latency_ms=milliseconds)
    plan = pruning.choose(groups, ascending(), target, round_to=1, min_channels=1, profile=PROFILE)
    assert plan.cost["latency_ms"] <= milliseconds
    assert plan.cost["latency_ms"] > milliseconds - 0.8
    assert plan.dense_cost["latency_ms"] == pytest.approx(10)
    assert plan.share("latency_ms") == pytest.approx(plan.cost["latency_ms"] / 10)
    assert plan.details["target"] == {"latency_ms": milliseconds}


def test_it_goes_together_with_other_targets(groups):
    target = pruning.Target(latency_ms=9.0, params=0.3)
    plan = pruning.choose(groups, ascending(), target, round_to=1, min_channels=1, profile=PROFILE)
    assert plan.share("params") <= 0.3
    assert plan.cost["latency_ms"] <= 9


def test_ranking_by_latency_takes_what_saves_most_time(groups):
    slow_second = dataclasses.replace(PROFILE, layers=(*PROFILE.layers[:3], op(3, "CONV_2D", "second", 8, SECOND, 90)))
    slow_second = dataclasses.replace(slow_second, layers=(*slow_second.layers, PROFILE.layers[4]))
    scores = pruning.Scores("given", {"first": np.ones(16), "second": np.full(8, 1.5)})
    ranking = pruning.Ranking(cost="latency_ms")
    plan = pruning.choose(
        groups, scores, pruning.Target(latency_ms=9.0), round_to=1, min_channels=1, ranking=ranking, profile=slow_second
    )
    assert set(plan.keep) == {"second"}


def test_a_plan_with_latency_is_saved_and_shown(groups):
    plan = pruning.choose(groups, ascending(), pruning.Target(macs=0.7), profile=PROFILE)
    assert pruning.Plan.from_json(plan.to_json()) == plan
    assert "of the latency_ms" in str(plan)


def test_a_plan_that_was_saved_without_latency_loads(groups):
    plan = pruning.choose(groups, ascending(), pruning.Target(macs=0.7))
    assert "latency_ms" not in plan.cost
    assert np.isnan(pruning.Plan.from_json(plan.to_json()).share("latency_ms"))


@pytest.mark.parametrize(
    ("target", "ranking"),
    [
        (pruning.Target(latency_ms=5.0), pruning.Ranking()),
        (pruning.Target(macs=0.5), pruning.Ranking(cost="latency_ms")),
    ],
)
def test_latency_without_a_profile_is_refused(groups, target, ranking):
    with pytest.raises(ConfigError, match="needs a latency profile") as caught:
        pruning.choose(groups, ascending(), target, ranking=ranking)
    assert "--profile" in caught.value.hint


@pytest.mark.parametrize("milliseconds", [-1, float("inf"), float("nan")])
def test_a_latency_target_is_a_time(groups, milliseconds):
    with pytest.raises(ConfigError, match="`latency_ms` must be at least 0"):
        pruning.choose(groups, ascending(), pruning.Target(latency_ms=milliseconds), profile=PROFILE)


def test_a_profile_without_some_layers_is_refused_by_name(groups):
    other = made(QUANTIZE, PROFILE.layers[1], op(2, "CONV_2D", "elsewhere", 8, 5, 1.0))
    with pytest.raises(ConfigError, match="has no operators of `second`, `head`"):
        pruning.choose(groups, ascending(), pruning.Target(latency_ms=5.0), profile=other)


def test_a_profile_at_another_size_is_refused_by_name(groups):
    slim = made(*PROFILE.layers[:3], op(3, "CONV_2D", "second", 4, SECOND // 2, 1.0), PROFILE.layers[4])
    with pytest.raises(ConfigError, match="another size of `second`"):
        pruning.choose(groups, ascending(), pruning.Target(latency_ms=5.0), profile=slim)


def test_an_impossible_target_names_the_largest_cut(groups):
    with pytest.raises(RssegError, match=r"at most \d\d\.\d% of the latency_ms"):
        pruning.choose(groups, ascending(), pruning.Target(latency_ms=0.5), round_to=1, min_channels=1, profile=PROFILE)


def test_depthwise_grouped_and_shared_layers_are_found_with_all_their_work(tmp_path):
    x = inputs = keras.Input((8, 8, 4), batch_size=1, name="image")
    x = layers.Conv2D(8, 1, name="wide")(x)
    x = layers.SeparableConv2D(6, 3, padding="same", name="separable")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    shared = layers.Conv2D(6, 1, name="shared")
    x = layers.Add(name="join")([shared(shared(x)), x])
    x = layers.Conv2DTranspose(4, 2, strides=2, name="enlarge")(x)
    model = keras.Model(inputs, layers.Dense(3, name="dense")(layers.GlobalAveragePooling2D(name="mean")(x)))
    groups = pruning.find_groups(model)
    measured = converted_profile(model, tmp_path / "model.tflite")
    terms = groups.terms_with(latency_terms(measured, groups.wiring))
    assert terms.total("latency_ms", groups.counts) == pytest.approx(measured.total_ms)
    assert terms.total("latency_ms", groups.counts / 2) < measured.total_ms


def test_a_measured_profile_serves_the_model_that_was_converted(model, groups, tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(converted_profile(model, tmp_path / "model.tflite").to_dict()))
    measured = pruning.load_profile(path)
    target = pruning.Target(macs=0.75)
    plan = pruning.choose(groups, ascending(), target, round_to=1, min_channels=1, profile=measured)
    assert plan.dense_cost["latency_ms"] == pytest.approx(measured.total_ms)
    assert 0 < plan.share("latency_ms") <= 1


@pytest.mark.parametrize("board", BOARDS)
def test_an_estimate_for_a_board_foretells_that_of_the_slim_file(board, tmp_path):
    x = inputs = keras.Input((32, 32, 16), batch_size=1, name="image")
    for name in ("first", "second", "third"):
        x = layers.Conv2D(128, 3, padding="same", name=name)(x)
    dense = keras.Model(inputs, layers.Conv2D(16, 1, name="head")(x), name="net")

    def estimated(network):
        (tmp_path / "net.tflite").write_bytes(converted(network, kind="float32"))
        return estimate_for(tmp_path / "net.tflite", board)

    known, groups = estimated(dense), pruning.find_groups(dense)
    target = pruning.Target(latency_ms=0.6 * known.total_ms)
    scores = pruning.Scores("given", {name: np.arange(128.0) for name in ("first", "second", "third")})
    plan = pruning.choose(groups, scores, target, round_to=known.tile, profile=known)
    slim = estimated(pruning.rebuild(dense, plan))
    assert plan.dense_cost["latency_ms"] == pytest.approx(known.total_ms)
    off = 0.25 if board == "x86-amx" else 0.1  # of which channels are read by 64 too, which a profile does not hold
    assert plan.cost["latency_ms"] == pytest.approx(slim.total_ms, rel=off)


def converted_profile(model, path):
    """Measured once on the float file of a model, written to `path`."""
    path.write_bytes(converted(model, kind="float32"))
    return profile(path, repeats=1, warmup=0)


def looped(model, **settings):
    rng = np.random.default_rng(0)
    pairs = [(rng.random((2, 8, 8, 3), np.float32), rng.random((2, 4, 4, 2), np.float32))]
    loop = PruneConfig(loops=4, round_to=2, min_channels=2, **settings)
    return pruning.prune_loop(
        model, batches=lambda _: pairs, loss=lambda y, out: keras.ops.mean((y - out) ** 2), target=loop, loop=loop
    )


def test_the_loop_comes_down_to_the_milliseconds_that_are_asked_for(model, tmp_path):
    save_profile(tmp_path / "board.json", PROFILE)

    slim, plan = looped(model, latency_ms=6.0, profile=str(tmp_path / "board.json"), cost="latency_ms")

    assert 4.0 < plan.cost["latency_ms"] <= 6.0
    widths = {name: slim.get_layer(name).filters for name in ("first", "second")}
    assert plan.cost["latency_ms"] == pytest.approx(estimate(**widths))


@pytest.mark.parametrize("settings", [{"latency_ms": 5.0}, {"cost": "latency_ms"}])
def test_the_loop_without_a_profile_says_how_to_get_one(model, settings):
    with pytest.raises(ConfigError, match="needs `profile`") as caught:
        looped(model, **settings)
    assert "benchmark" in caught.value.hint


TILE = 8


def stepped(op_latency, inputs, outputs, time):
    """The operator with times at its own and at a quarter of its channels, by a formula."""
    narrow = inputs // 4 or inputs, outputs // 4
    pairs = dict.fromkeys([(inputs, outputs), (narrow[0], outputs), (inputs, narrow[1]), narrow])
    steps = tuple(Step(read, made, time(read, made)) for read, made in pairs)
    return dataclasses.replace(op_latency, ms=time(inputs, outputs), steps=steps)


def paid(width):
    return -(-width // TILE) * TILE


@pytest.fixture(scope="module")
def wide():
    x = inputs = keras.Input((8, 8, 3), batch_size=1, name="image")
    x = layers.Conv2D(64, 3, padding="same", name="first")(x)
    x = layers.Conv2D(96, 1, name="second")(layers.ReLU(6.0, name="clipped")(x))
    return keras.Model(inputs, layers.Conv2D(2, 1, name="head")(x), name="net")


def first_ms(_, made):
    return 0.4 + 0.02 * paid(made)


def second_ms(read, made):
    return 0.1 + 0.003 * read + 0.002 * paid(made) + 0.0005 * read * paid(made)


def test_fixed_shares_and_tiles_are_what_was_measured(wide):
    groups = pruning.find_groups(wide)
    first = stepped(op(1, "CONV_2D", "first", 64, 64 * 9 * 3 * 64, 0), 3, 64, first_ms)
    second = stepped(op(2, "CONV_2D", "second", 96, 64 * 64 * 96, 0), 64, 96, second_ms)
    head = op(3, "CONV_2D", "head", 2, 64 * 96 * 2, 0.3)
    whole = first.ms + second.ms + head.ms
    measured = dataclasses.replace(made(first, second, head, total_ms=whole), tile=TILE)
    terms = groups.terms_with(latency_terms(measured, groups.wiring))
    assert terms.total("latency_ms", groups.counts) == pytest.approx(whole)
    for widths in ((64, 96), (33, 96), (32, 25), (5, 17)):
        removed = np.zeros(len(groups), bool)
        for family, (name, kept) in (
            (f, w) for f in groups.families for w in zip(("first", "second"), widths, strict=True)
        ):
            if name in family.members:
                removed[family.groups[kept:]] = True
        expected = first_ms(3, widths[0]) + second_ms(*widths) + 0.3 * widths[1] / 96
        found = terms.total("latency_ms", groups.counts_kept(removed))
        assert found == pytest.approx(expected, rel=1e-3), widths


@pytest.mark.parametrize(("tile", "expected"), [(1, 16), (32, 32)])
def test_automatic_rounding_is_to_the_tile_of_the_profile(wide, tile, expected):
    groups = pruning.find_groups(wide)
    scores = pruning.Scores("given", {"first": 1.0 + np.arange(64), "second": 100 + np.arange(96.0)})
    ops = [op(1, "CONV_2D", "first", 64, 64 * 9 * 3 * 64, 1.0), op(2, "CONV_2D", "second", 96, 64 * 64 * 96, 1.0)]
    measured = dataclasses.replace(made(*ops, op(3, "CONV_2D", "head", 2, 64 * 96 * 2, 0.3)), tile=tile)
    plan = pruning.choose(groups, scores, pruning.Target(macs=0.6), round_to=0, profile=measured)
    kept = [len(ids) for ids in plan.keep.values()]
    assert kept
    assert all(number % expected == 0 for number in kept)
    assert plan.details["limits"]["round_to"] == expected


def test_the_tile_is_the_one_that_explains_the_times_best():
    widths = [24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 65, 72, 80, 88, 96, 104, 112, 120, 128, 129]
    rng = np.random.default_rng(0)
    for tile in (8, 16, 32, 64):
        times = {width: 0.3 + 0.01 * -(-width // tile) * tile * rng.uniform(0.98, 1.02) for width in widths}
        assert tile_of(times) == tile
    assert tile_of({}) == 1
