"""The loop meets its target, replays on the dense model, and resumes to the same plan."""

import dataclasses
import hashlib
import json

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.config import PruneConfig
from rsseg_tf.errors import ConfigError, RssegError
from rsseg_tf.pruning.loop.state import StateFile
from tests.pruning.law import randomize

SETTINGS = PruneConfig(loops=12, macs=0.4, round_to=2, min_channels=2)


def network():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(24, 3, padding="same", use_bias=False, name="stem")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="stem_bn")(x))
    y = layers.Conv2D(24, 3, padding="same", activation="relu", name="branch")(x)
    x = layers.Conv2D(16, 3, name="last")(layers.Add()([x, y]))
    model = keras.Model(inputs, layers.Dense(3, name="classifier")(layers.GlobalAveragePooling2D()(x)))
    randomize(model, seed=1)
    return model


def batches(loop):
    rng = np.random.default_rng(loop)
    return [(rng.normal(size=(2, 8, 8, 3)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32))]


def loss(y, prediction):
    return keras.ops.mean(keras.ops.square(y - prediction))


def prune(model, **options):
    """The loop under `settings`, by default SETTINGS, which are a target and a loop in one."""
    settings = options.pop("settings", SETTINGS)
    return pruning.prune_loop(
        model, **{"batches": batches, "loss": loss, "target": settings, "loop": settings, **options}
    )


def shares(seen):
    """Hooks that keep loop, and the shares of multiply-accumulates and parameters."""
    return pruning.Hooks(on_loop=lambda loop, plan: seen.append((loop, plan.share("macs"), plan.share("params"))))


@pytest.fixture(scope="module")
def pruned():
    model = network()
    before = model.get_weights()
    seen = []
    slim, plan = prune(
        model,
        hooks=shares(seen),
    )
    return model, before, slim, plan, seen


def test_the_target_is_met_in_even_steps(pruned):
    _, _, slim, plan, seen = pruned
    assert pruning.cost(slim).macs == plan.cost["macs"]
    assert 0.3 < plan.share("macs") <= 0.4
    assert [loop for loop, _, _ in seen] == list(range(1, 13))
    assert all(macs <= 0.4 ** (loop / 12) + 1e-9 for loop, macs, _ in seen)
    assert seen[-1][2] == plan.share("params")


def test_the_plan_replays_on_the_dense_model_where_no_weights_changed(pruned):
    model, before, _, _, _ = pruned
    slim, plan = prune(model, settings=dataclasses.replace(SETTINGS, reconstruct=False))
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    again = pruning.rebuild(model, pruning.Plan.from_json(plan.to_json()))
    assert all((a == b).all() for a, b in zip(slim.get_weights(), again.get_weights(), strict=True))


def test_reconstructed_weights_come_closer_to_the_dense_outputs(pruned):
    model, _, slim, plan, _ = pruned
    images = np.concatenate([batches(loop)[0][0] for loop in range(100, 120)])
    expected, found, replayed = (each(images).numpy() for each in (model, slim, pruning.rebuild(model, plan)))
    assert np.square(found - expected).mean() < 0.7 * np.square(replayed - expected).mean()


def test_the_state_is_of_the_target_that_is_given_also_where_the_loop_holds_another(tmp_path):
    hooks = pruning.Hooks(state_path=tmp_path / "state.npz")
    prune(network(), target=pruning.Target(macs=0.4), hooks=hooks)
    with pytest.raises(ConfigError, match="other settings"):
        prune(network(), target=pruning.Target(macs=0.4, params=0.2), hooks=hooks)


def test_a_target_and_a_loop_of_their_own_give_the_plan_of_the_settings_that_are_both(pruned):
    model, _, _, plan, _ = pruned
    loop = pruning.Loop(loops=12, round_to=2, min_channels=2)

    _, alone = pruning.prune_loop(model, batches=batches, loss=loss, target=pruning.Target(macs=0.4), loop=loop)

    assert alone == plan


@pytest.mark.parametrize("wrong", [{"macs": 0.0}, {"loops": 0}, {"round_to": -1}])
def test_settings_out_of_their_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="must be"):
        prune(network(), settings=dataclasses.replace(SETTINGS, **wrong))


def shift_weights(model, loop):
    """Stands for training: changes every weight, those of removed channels too."""
    rng = np.random.default_rng(loop)
    model.set_weights([w + 0.01 * rng.random(w.shape).astype(w.dtype) for w in model.get_weights()])


def share_of_live_filters(model):
    """Stands for accuracy: falls with every removal."""
    kernels = [w.numpy() for w in model.trainable_variables if w.path.endswith("kernel") and w.ndim == 4]
    live = [np.abs(kernel).reshape(-1, kernel.shape[-1]).any(axis=0).sum() for kernel in kernels]
    return float(sum(live)) / (24 + 24 + 16)


def of_classes(model):
    """Stands for scores by class: the car's falls twice as fast as the accuracy, few of its small objects stay."""
    share = share_of_live_filters(model)
    return {"accuracy": share, "floor.car": 2 * share - 1, "floor.road": 1.0, "small_object_floor.car": share**4}


HOOKS = {"tune": shift_weights, "accuracy": of_classes}
WAYS = {
    "plain": {},
    "tuned": {"tune_steps": 1},
    "recalibrated": {"recalibrate_every": 3},
    "all batches": {"refresh_every": 1},
    "floor": {"accuracy_floor": 0.8, "check_every": 2},
    "all": {"tune_steps": 1, "recalibrate_every": 2, "accuracy_floor": 0.8, "check_every": 3},
    "class floor": {"floor": {"car": 0.6}, "small_object_floor": {"car": 0.1}, "check_every": 2},
}


@pytest.mark.parametrize(
    ("way", "killed_in"), [("plain", 1), ("plain", 12), *((way, 4) for way in WAYS if way != "plain"), ("all", 12)]
)
def test_a_killed_loop_resumes_to_the_same_plan_and_weights_and_is_told_again(tmp_path, way, killed_in):
    model, settings = network(), dataclasses.replace(SETTINGS, **WAYS[way])
    whole, plan = prune(model, settings=settings, hooks=pruning.Hooks(**HOOKS))
    last = int(plan.details["stopped"].get("loop", 12))
    killed_in = min(killed_in, last)

    def kill(loop, *_):
        if loop == killed_in:
            raise KeyboardInterrupt

    path = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        prune(model, settings=settings, hooks=pruning.Hooks(kill, **HOOKS, state_path=path))
    told = []
    hooks = pruning.Hooks(lambda loop, *_: told.append(loop), **HOOKS, state_path=path)
    for _ in ("resumed", "done already"):
        slim, resumed = prune(model, settings=settings, hooks=hooks)
        assert resumed == plan
        assert all((a == b).all() for a, b in zip(whole.get_weights(), slim.get_weights(), strict=True))
        assert killed_in - settings.refresh_every < told[0] <= killed_in
        assert told == list(range(told[0], last + 1))


def test_what_tuning_wakes_is_zeroed_again_and_the_slim_model_computes_what_the_masked_one_did():
    model, seen = network(), []

    def tune(masked, loop):
        shift_weights(masked, loop)
        seen.append(masked)

    slim, plan = prune(model, settings=dataclasses.replace(SETTINGS, tune_steps=1), hooks=pruning.Hooks(tune=tune))
    x = batches(0)[0][0]
    expected, got = np.asarray(seen[-1](x)), np.asarray(slim(x))
    assert np.abs(expected - got).max() <= 1e-5 * np.abs(expected).max()
    replayed = pruning.rebuild(model, plan)
    assert not np.allclose(np.asarray(replayed(x)), got)


def test_recalibration_on_the_way_measures_the_pruned_networks_statistics():
    model = network()
    slim, _ = prune(model, settings=dataclasses.replace(SETTINGS, recalibrate_every=5))
    found = [w.copy() for w in slim.get_layer("stem_bn").get_weights()]
    pruning.recalibrate(slim, batches(11))
    for before, after in zip(found, slim.get_layer("stem_bn").get_weights(), strict=True):
        np.testing.assert_allclose(before, after, rtol=1e-4, atol=1e-5)


def test_past_the_accuracy_floor_it_goes_back_to_the_last_good_plan():
    settings = dataclasses.replace(SETTINGS, **WAYS["floor"])
    slim, plan = prune(network(), settings=settings, hooks=pruning.Hooks(accuracy=share_of_live_filters))
    assert share_of_live_filters(slim) >= 0.8 > plan.details["stopped"]["accuracy"]
    assert plan.details["stopped"]["loop"] == plan.details["loops"] + settings.check_every
    assert plan.share("macs") > 0.4


@pytest.mark.parametrize(
    ("floors", "missed"),
    [
        ({"floor": {"car": 0.6, "road": 0.9}}, {"floor.car"}),
        ({"accuracy_floor": 0.9, "floor": {"car": 0.2}}, {"accuracy"}),
        ({"small_object_floor": {"car": 0.4}}, {"small_object_floor.car"}),
        ({"accuracy_floor": 0.9, "floor": {"car": 0.81}}, {"accuracy", "floor.car"}),
    ],
)
def test_past_the_floor_of_a_class_it_goes_back_as_past_that_of_the_mean(floors, missed):
    """To the plan that the mean's floor goes back to, where both fall at the same time."""
    settings = dataclasses.replace(SETTINGS, check_every=1, **floors)
    model = network()
    slim, plan = prune(model, settings=settings, hooks=pruning.Hooks(accuracy=of_classes))
    stopped = plan.details["stopped"]
    assert set(stopped) - {"loop"} == missed
    assert all(stopped[name] < settings.floors[name] <= of_classes(slim)[name] for name in missed)
    assert stopped["loop"] == plan.details["loops"] + 1

    same = {"floor.car": 0.8, "accuracy": 0.9, "small_object_floor.car": 0.4**0.25}[min(missed)]
    as_mean = dataclasses.replace(SETTINGS, check_every=1, accuracy_floor=same)
    assert prune(model, settings=as_mean, hooks=pruning.Hooks(accuracy=of_classes))[1].keep == plan.keep


def test_a_class_floor_that_the_dense_model_misses_or_nothing_measures_is_told():
    def refused(values, **floors):
        with pytest.raises(ConfigError) as caught:
            prune(
                network(),
                settings=dataclasses.replace(SETTINGS, **floors),
                hooks=pruning.Hooks(accuracy=lambda _: values),
            )
        return caught.value.message

    told = refused({"accuracy": 0.9, "floor.car": 0.25}, floor={"car": 0.3})
    assert told == "`prune.floor.car` is 0.3, but the dense model itself reaches only 0.2500"
    assert "nothing to measure it on" in refused({"floor.car": float("nan")}, floor={"car": 0.3})
    assert "does not measure `small_object_floor.car`" in refused(0.9, small_object_floor={"car": 0.3})
    for wrong in (1.01, -0.1, float("nan")):
        assert "from 0 to 1" in refused(0.9, floor={"car": wrong})
    late, hooks = dataclasses.replace(SETTINGS, floor={"car": 0.99}, check_every=12), pruning.Hooks(accuracy=of_classes)
    with pytest.raises(RssegError, match=r"floor\.car .* is less than 0\.99"):
        prune(network(), settings=late, hooks=hooks)


def test_a_floor_that_is_never_passed_changes_nothing_of_the_target():
    settings = dataclasses.replace(SETTINGS, accuracy_floor=0.01)
    _, plan = prune(network(), settings=settings, hooks=pruning.Hooks(accuracy=share_of_live_filters))
    assert plan.details["loops"] == 12
    assert plan.details["stopped"] == {}
    assert plan.share("macs") <= 0.4


def test_a_floor_that_the_dense_model_or_the_first_loops_miss_is_told():
    hooks = pruning.Hooks(accuracy=share_of_live_filters)
    with pytest.raises(ConfigError, match=r"the dense model itself reaches only 0\.5"):
        prune(
            network(),
            settings=dataclasses.replace(SETTINGS, accuracy_floor=0.9),
            hooks=pruning.Hooks(accuracy=lambda _: 0.5),
        )
    with pytest.raises(RssegError, match="floor within 12 loops"):
        prune(network(), settings=dataclasses.replace(SETTINGS, accuracy_floor=0.99, check_every=12), hooks=hooks)


@pytest.mark.parametrize("missing", [{"tune_steps": 1}, {"accuracy_floor": 0.5}, {"floor": {"a": 0.1}}])
def test_settings_whose_hook_is_missing_are_refused(missing):
    with pytest.raises(ConfigError, match="needs the hook"):
        prune(network(), settings=dataclasses.replace(SETTINGS, **missing))


@pytest.mark.parametrize(
    ("schedule", "share"),
    [
        ("geometric", lambda x: 0.4**x),
        ("linear", lambda x: 1 - 0.6 * x),
        ("cubic", lambda x: 0.4 + 0.6 * (1 - x) ** 3),
    ],
)
def test_each_loop_keeps_to_its_schedule(schedule, share):
    seen = []
    settings = dataclasses.replace(SETTINGS, schedule=schedule)
    prune(
        network(),
        settings=settings,
        hooks=shares(seen),
    )
    for loop, macs, _ in seen:
        assert macs <= share(loop / 12) + 1e-9
        assert macs > share(loop / 12) - 0.15


def test_int8_bytes_are_a_target():
    settings = dataclasses.replace(SETTINGS, macs=1.0, int8_bytes=0.5)
    slim, plan = prune(network(), settings=settings)
    assert 0.35 < plan.share("int8_bytes") <= 0.5
    assert pruning.cost(slim).int8_bytes == plan.cost["int8_bytes"]


@pytest.mark.parametrize(
    ("changed", "read"),
    [
        ({"refresh_every": 3}, {0: 4, 1: 1, 2: 1, 3: 4, 4: 1, 5: 1}),
        ({"refresh_every": 1}, dict.fromkeys(range(6), 4)),
        ({"refresh_every": 3, "reconstruct": False}, {0: 4, 1: 1, 2: 1, 3: 4, 4: 1, 5: 1}),
        ({"refresh_every": 3, "tune_steps": 1}, dict.fromkeys(range(6), 4)),  # what was seen is of other weights
    ],
)
def test_loops_between_two_looks_read_one_batch(changed, read):
    found = {}

    def counted(loop):
        found[loop] = 0
        for number in range(4):
            found[loop] += 1
            yield batches(4 * loop + number)[0]

    settings = dataclasses.replace(SETTINGS, loops=6, **changed)
    prune(network(), settings=settings, batches=counted, hooks=pruning.Hooks(**HOOKS))
    assert found == read


def test_the_ranking_of_the_settings_decides(pruned):
    settings = dataclasses.replace(SETTINGS, aggregate="mean", normalize="l2", cost="params")
    _, plan = prune(pruned[0], settings=settings)
    assert plan.details["ranking"] == {"aggregate": "mean", "normalize": "l2", "cost": "params"}
    assert plan.keep != pruned[3].keep


def test_a_state_of_other_settings_or_none_is_refused(pruned, tmp_path):
    model = pruned[0]
    state = tmp_path / "state.npz"
    prune(model, hooks=pruning.Hooks(state_path=state))
    other = dataclasses.replace(SETTINGS, macs=0.5)
    with pytest.raises(ConfigError, match="another model or other settings"):
        prune(model, settings=other, hooks=pruning.Hooks(state_path=state))
    state.write_text(json.dumps([1]))
    with pytest.raises(ConfigError, match="not the state"):
        prune(model, hooks=pruning.Hooks(state_path=state))


def test_a_state_from_before_settings_were_renamed_or_added_is_gone_on_with(tmp_path):
    model, path = network(), tmp_path / "state.npz"
    as_before = dataclasses.replace(SETTINGS, reconstruct=False, refresh_every=1)
    prune(model, settings=as_before, hooks=pruning.Hooks(state_path=path))
    other = (
        "retrain",
        "distill",
        "floor",
        "small_object_floor",
        "control",
        "reconstruct",
        "redundancy",
        "params_margin",
        "arena_bytes",
        "refresh_every",
        "attention",
    )
    settings = {key: value for key, value in dataclasses.asdict(as_before).items() if key not in other}
    settings["normalise"] = settings.pop("normalize")
    digest = hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights()))
    digest.update(json.dumps(settings, sort_keys=True).encode())

    assert StateFile(path, digest.hexdigest()).read() is not None


def test_an_impossible_target_is_told_before_any_batch_is_read():
    def never(loop):
        raise AssertionError(loop)

    impossible = dataclasses.replace(SETTINGS, macs=0.001)
    with pytest.raises(ConfigError, match="cannot be met"):
        prune(network(), settings=impossible, batches=never)


def dilated():
    """A network whose wide layer meets its picture with the center of its 3×3 kernel alone."""
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")(x)
    x = layers.Conv2D(16, 3, padding="same", dilation_rate=8, activation="relu", name="wide")(x)
    model = keras.Model(inputs, layers.Dense(3, name="classifier")(layers.GlobalAveragePooling2D()(x)))
    randomize(model, seed=2)
    return model


def test_taps_that_never_meet_the_picture_go_before_the_first_loop():
    model, settings = dilated(), dataclasses.replace(SETTINGS, loops=2, reconstruct=False)
    slim, plan = prune(model, settings=settings)
    live = pruning.live_taps(model)

    assert model.get_layer("wide").kernel_size == (3, 3)
    assert slim.get_layer("wide").kernel_size == (1, 1)
    assert plan.dense_cost["macs"] == pruning.cost(live).macs < pruning.cost(model).macs
    assert plan.cost["macs"] == pruning.cost(slim).macs <= 0.4 * pruning.cost(live).macs
    image = batches(0)[0][0]
    np.testing.assert_array_equal(slim(image), pruning.rebuild(live, plan)(image))
    np.testing.assert_allclose(slim(image), pruning.rebuild(model, plan)(image), rtol=1e-5, atol=1e-6)


def test_a_state_from_when_all_taps_stayed_is_carried_on_with_all_of_them(tmp_path, monkeypatch):
    model, settings = dilated(), dataclasses.replace(SETTINGS, loops=3, reconstruct=False)
    path = tmp_path / "state.npz"

    def killed(loop, _plan):
        if loop == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as before:
        before.setattr("rsseg_tf.pruning.loop.run.prunable", lambda model: model)
        with pytest.raises(KeyboardInterrupt):
            prune(model, settings=settings, hooks=pruning.Hooks(on_loop=killed, state_path=path))
    slim, plan = prune(model, settings=settings, hooks=pruning.Hooks(state_path=path))

    assert slim.get_layer("wide").kernel_size == (3, 3)
    assert plan.dense_cost["params"] == pruning.cost(model).params


@pytest.mark.parametrize("criterion", ["fisher", "l1"])
def test_what_the_others_explain_goes_first_where_that_is_asked_for(criterion):
    """Of a layer of which half come in equal pairs, channels with a twin go before any other."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(12, 3, padding="same", name="stem")(inputs)
    x = layers.Conv2D(4, 3, padding="same", name="last")(layers.ReLU()(x))
    model = keras.Model(inputs, layers.Dense(3, name="classifier")(layers.GlobalAveragePooling2D()(x)))
    randomize(model, seed=1)
    weights, offsets = model.get_layer("stem").get_weights()
    weights[..., 1:6:2], offsets[1:6:2] = weights[..., 0:6:2], offsets[0:6:2]
    model.get_layer("stem").set_weights([weights, offsets])
    settings = dataclasses.replace(SETTINGS, criterion=criterion, loops=1, macs=0.76, round_to=1, refresh_every=1)

    def gone(**more):
        _, plan = prune(model, settings=dataclasses.replace(settings, skip=("last",), **more))
        return sorted(set(range(12)) - set(plan.keep["stem"]))

    taken = gone(redundancy="always")
    assert len(taken) == 3
    assert all(channel < 6 for channel in taken)
    assert gone(redundancy="never") != taken
    assert (gone() == taken) == (criterion == "fisher")


@pytest.mark.parametrize(
    ("given", "target", "counts"),
    [
        ({}, {"macs": 0.5}, True),
        ({}, {"params": 0.5}, True),
        ({}, {"macs": 0.5, "latency_ms": 3.0}, False),
        ({"redundancy": "always"}, {"latency_ms": 3.0}, True),
        ({"redundancy": "never"}, {"macs": 0.5}, False),
        ({"criterion": "taylor"}, {"macs": 0.5}, False),
        ({"criterion": "random", "redundancy": "always"}, {"macs": 0.5}, True),
        ({"reconstruct": False}, {"macs": 0.5}, False),
        ({"reconstruct": False, "redundancy": "always"}, {"macs": 0.5}, False),
    ],
)
def test_redundancy_counts_by_itself_for_a_share_of_the_operations_alone(given, target, counts):
    assert pruning.Loop(**given).ranks_by_rest(pruning.Target(**target)) is counts
