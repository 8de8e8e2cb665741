"""Baselines meet ours' budget fairly, TFMOT's masks are TFMOT's, finished methods stay."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace

import compare_pruning
import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from comparison import magnitude
from comparison.kept import plan_of_kept, read_kept
from comparison.methods import parse_methods
from comparison.same_share import l1_values, random_values, same_share_plan
from comparison.table import HEAD, comparison_table, seeds_table
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.config import PruneConfig, load_config
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.quantization.qat.tfmot import tfmot
from rsseg_tf.steps.fit import fit
from tests.pruning.law import randomize


@dataclass(frozen=True)
class FakeResult:
    model: str
    p50_ms: float


BUDGET = PruneConfig(macs=0.5, round_to=8, min_channels=8)


@pytest.fixture(scope="module")
def network():
    """Widths 64, 128 and 96, a residual join, and a classifier."""
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(64, 3, padding="same", use_bias=False, name="stem")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="stem_bn")(x))
    y = layers.Conv2D(128, 3, padding="same", name="inner")(x)
    y = layers.Conv2D(64, 3, padding="same", name="outer")(layers.ReLU()(y))
    x = layers.Conv2D(96, 3, name="last")(layers.Add()([x, y]))
    model = keras.Model(inputs, layers.Conv2D(5, 1, name="classifier")(layers.ReLU()(x)))
    randomize(model, seed=3)
    return model


@pytest.fixture(scope="module")
def groups(network):
    return pruning.find_groups(network)


@pytest.mark.parametrize("by", ["l1", "random"])
def test_a_baseline_takes_the_same_share_of_every_layer_to_the_same_budget(network, groups, by):
    values = l1_values(network, groups) if by == "l1" else random_values(groups, seed=1)
    plan = same_share_plan(groups, values, BUDGET, criterion=by)
    shares = [len(plan.keep[name]) / plan.widths[name] for name in ("stem", "inner", "outer", "last")]

    assert plan.share("macs") <= 0.5
    assert all(len(kept) % 8 == 0 for kept in plan.keep.values())
    # Half a step of 8 channels of the narrowest layer, either way, is what rounding may take.
    assert max(shares) - min(shares) <= 8 / 64 + 1e-9
    # The budget is just met: one step of the widest layer back would break it.
    assert plan.share("macs") > 0.5 - 8 / 64


def test_uniform_l1_removes_the_filters_with_the_smallest_norms(network, groups):
    plan = same_share_plan(groups, l1_values(network, groups), BUDGET, criterion="l1-uniform")
    norms = np.abs(network.get_layer("last").get_weights()[0]).sum((0, 1, 2))
    kept = np.isin(np.arange(96), plan.keep["last"])

    assert norms[kept].min() > norms[~kept].max()


def test_random_plans_differ_by_seed_and_agree_on_size(groups):
    one, other = (same_share_plan(groups, random_values(groups, seed=s), BUDGET, criterion="random") for s in (1, 2))

    assert one.keep != other.keep
    assert one.cost == other.cost


def test_masks_are_what_tfmot_gives_a_tf_keras_layer():
    with tfmot("sparsity.keras") as sparsity:
        import tf_keras
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(3, 3, 4, 8)).astype(np.float32), rng.normal(size=8).astype(np.float32)]
    ours = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(8, 3, name="conv")])
    ours.set_weights(weights)
    magnitude.MagnitudeMasks(ours, kept_share=0.4).hold()

    share = 0.6 * (288 + 8) / 288
    schedule = sparsity.ConstantSparsity(share, begin_step=0)
    theirs = tf_keras.Sequential(
        [sparsity.prune_low_magnitude(tf_keras.layers.Conv2D(8, 3, input_shape=(6, 6, 4)), pruning_schedule=schedule)]
    )
    wrapper = theirs.layers[0]
    wrapper.layer.kernel.assign(weights[0])
    wrapper.pruning_step.assign(0)
    wrapper.pruning_obj.conditional_mask_update()
    wrapper.pruning_obj.weight_mask_op()

    np.testing.assert_array_equal(ours.get_weights()[0], wrapper.layer.kernel.numpy())
    assert magnitude.nonzero_params(ours) == round(0.4 * 296)


def test_masked_weights_stay_zero_through_training():
    model = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(8, 3, name="conv")])
    magnitude.MagnitudeMasks(model, kept_share=0.5).hold()
    before = model.get_weights()[0]
    optimizer = keras.optimizers.AdamW(0.1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.ones((2, 6, 6, 4))) ** 2)
    optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    after = model.get_weights()[0]

    np.testing.assert_array_equal(before == 0, after == 0)
    assert (before != after).any()


def test_more_sparsity_than_kernels_is_refused():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(ModelError, match="of the parameters are kernels"):
        magnitude.MagnitudeMasks(model, kept_share=0.1)


def test_methods_carry_their_settings_and_tfmot_goes_last():
    methods = parse_methods("tfmot,ours,ours:taylor-bn+mean/macs,random")

    assert [method.name for method in methods] == ["ours", "ours:taylor-bn+mean/macs", "random", "tfmot"]
    configured = methods[1].configured(BUDGET)
    assert (configured.criterion, configured.normalize, configured.cost) == ("taylor-bn", "mean", "macs")
    assert methods[0].configured(BUDGET) == BUDGET
    assert len({method.slug for method in methods}) == 4


@pytest.mark.parametrize(
    "text",
    [
        "ours,ours",
        "magic",
        "random:l1",
        "ours:magic",
        "ours:taylor/watts",
        "ours:taylor+odd",
        "ours:",
        "kept",
        "kept:",
        "",
    ],
)
def test_a_method_that_is_not_known_is_refused(text):
    with pytest.raises(ConfigError):
        parse_methods(text)


def test_what_a_peer_keeps_becomes_a_plan(groups, tmp_path):
    (tmp_path / "peer.json").write_text(
        json.dumps({"keep": {"inner": list(range(0, 128, 2)), "last": list(range(96))}})
    )
    plan = plan_of_kept(groups, read_kept(tmp_path / "peer.json"))

    assert plan.keep == {"inner": tuple(range(0, 128, 2))}
    assert parse_methods(f"kept:{tmp_path}/peer.json")[0].file == tmp_path / "peer.json"


@pytest.mark.parametrize("keep", [{"classifier": [0]}, {"nowhere": [0]}])
def test_what_cannot_go_is_refused(groups, keep):
    with pytest.raises(ModelError):
        plan_of_kept(groups, keep)


def test_a_file_without_a_choice_is_refused(tmp_path):
    (tmp_path / "peer.json").write_text("[]")
    with pytest.raises(ModelError, match="does not say what to keep"):
        read_kept(tmp_path / "peer.json")


def test_the_command_line_overrides_the_retraining_for_all():
    config = load_config(overrides=["prune.params=0.3", "export.max_drop=1"])
    changed = compare_pruning.configured(config, macs=0.4, epochs=2, steps=3, distill=False)

    assert (changed.prune.macs, changed.prune.params, changed.export.max_drop) == (0.4, 1.0, 100.0)
    assert (changed.prune.retrain.epochs, changed.prune.retrain.steps_per_epoch) == (2, 3)
    assert changed.prune.distill.weight == 0
    kept = compare_pruning.configured(config, macs=0.4, epochs=None, steps=None, distill=True)
    assert kept.prune.retrain == config.prune.retrain
    assert kept.prune.distill == config.prune.distill


@pytest.fixture
def comparison(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"weights")
    return compare_pruning.Comparison(tmp_path / "model.keras", load_config(), SimpleNamespace(), tmp_path / "out")


def test_a_finished_method_is_not_done_again_and_other_settings_are_refused(comparison, monkeypatch):
    done = []

    def measured(_comparison, method, _config, **_options):
        done.append(method.name)
        return {"method": method.name, "params": 1}

    monkeypatch.setattr(compare_pruning, "measured", measured)
    (method,) = parse_methods("ours:l1")
    rows = [compare_pruning.method_row(comparison, method, None) for _ in range(2)]

    assert done == ["ours:l1"]
    assert rows[0] == rows[1]
    other = replace(comparison, config=load_config(overrides=["seed=1"]))
    with pytest.raises(ConfigError, match="other settings"):
        compare_pruning.method_row(other, method, None)


def test_an_unfinished_method_goes_on_and_one_of_other_settings_starts_anew(tmp_path):
    folder = compare_pruning.work_folder(tmp_path / "ours", "one")
    (folder / "plan.json").write_text("{}")

    assert (compare_pruning.work_folder(tmp_path / "ours", "one") / "plan.json").exists()
    assert not (compare_pruning.work_folder(tmp_path / "ours", "two") / "plan.json").exists()


def test_latencies_are_taken_again_only_when_a_file_changed(tmp_path, monkeypatch):
    runs = []

    def benchmark(files, *, repeats):
        runs.append(repeats)
        return [FakeResult(str(file), float(len(runs))) for file in files]

    monkeypatch.setattr(compare_pruning, "benchmark", benchmark)
    file = tmp_path / "a.tflite"
    file.write_bytes(b"1")
    first, again = (compare_pruning.latencies_ms(tmp_path, [file], repeats=5) for _ in range(2))
    file.write_bytes(b"2")
    changed = compare_pruning.latencies_ms(tmp_path, [file], repeats=5)

    assert first == again == {str(file): 1.0}
    assert changed == {str(file): 2.0}


def test_the_table_shows_speed_against_the_dense_model():
    scores = {"val": 0.5, "test": 0.4}
    dense = {
        **{"method": "dense", "before": None, "after": scores, "params": 2e6, "nonzero_params": 2e6, "macs": 3e9},
        **{"int8_test_miou": 0.39, "int8_bytes": 2_100_000, "int8_gzip_bytes": 1_900_000, "int8_p50_ms": 20.0},
    }
    rows = [dense, {**dense, "method": "ours", "before": scores, "int8_p50_ms": 8.0}]
    lines = comparison_table(rows).splitlines()

    assert [line.count("|") for line in lines] == [len(HEAD) + 1] * 4
    assert lines[2] == "| dense | 2.00 | 2.00 | 3.00 | – | 50.00 | 40.00 | 39.00 | 2.10 | 1.90 | 20.0 | 1.00× |"
    assert lines[3].endswith("| 8.0 | 2.50× |")


def seed_rows(**tests):
    """The dense model and methods with their test scores of one seed."""
    dense = {"method": "dense", "before": None, "after": {"val": 0.5, "test": 0.6}, "params": 2e6, "macs": 3e9}
    rows = [
        {**dense, "method": name, "before": {"test": 0.3}, "after": {"val": 0.5, "test": test}}
        for name, test in tests.items()
    ]
    return [{**row, "int8_test_miou": row["after"]["test"]} for row in (dense, *rows)]


def test_several_seeds_end_in_means_and_the_paired_lead_of_the_first_method():
    lines = seeds_table([seed_rows(ours=0.50, random=0.48), seed_rows(ours=0.54, random=0.50)]).splitlines()

    assert lines[2] == "| dense | 2 | 2.00 | 3.00 | – | 50.00 ± 0.00 | 60.00 ± 0.00 | 60.00 ± 0.00 | – |"
    assert lines[3].endswith("| 30.00 ± 0.00 | 50.00 ± 0.00 | 52.00 ± 2.83 | 52.00 ± 2.83 | – |")
    # Leads of 2 and of 4 points: their mean and deviation, not the difference of the means' deviations.
    assert lines[4].endswith("| 49.00 ± 1.41 | 49.00 ± 1.41 | +3.00 ± 1.41 |")


def test_each_seed_has_its_own_folder(tmp_path, monkeypatch):
    seen = []

    def compare(comparison, methods, *, repeats):
        seen.append((comparison.folder.name, comparison.config.seed, len(methods), repeats))
        return seed_rows(random=0.4)

    monkeypatch.setattr(compare_pruning, "compare", compare)
    words = ["--model", str(tmp_path / "model.keras"), "--methods", "random", "--out", str(tmp_path / "half")]
    result = CliRunner().invoke(compare_pruning.main, [*words, "--seeds", "2", "seed=3", "data.name=scenes"])

    assert result.exit_code == 0, result.output
    assert seen == [("half-3", 3, 1, 50), ("half-4", 4, 1, 50)]
    assert "| random | 2 |" in result.output


def test_help_names_the_methods():
    result = CliRunner().invoke(compare_pruning.main, ["--help"])

    assert result.exit_code == 0
    assert "ours,l1-uniform,random,tfmot" in result.output


def test_results_are_json(comparison, monkeypatch):
    monkeypatch.setattr(compare_pruning, "measured", lambda *_a, **_k: {"method": "random", "params": 1})
    (method,) = parse_methods("random")
    row = compare_pruning.method_row(comparison, method, None)

    assert json.loads((comparison.folder / "random.json").read_text()) == row


@pytest.mark.slow
def test_methods_retrain_as_the_command_does_and_never_end_below_where_they_began(tmp_path):
    words = ["data.name=scenes", "data.input_size=[64,64]", "data.scenes.train=4", "data.scenes.val=2"]
    words += ["data.scenes.test=2", "data.scenes.size=64", "model.width=0.25", "model.aspp_width=32", "fit.epochs=1"]
    words += ["fit.steps_per_epoch=8", "fit.batch_size=2", "fit.l2=0", "fit.learning_rate=1e-2"]
    words += ["prune.loops=2", "prune.batches=1", "prune.recalibration_batches=2", "export.calibration_samples=2"]
    words += [
        "export.check_samples=1",
        "prune.retrain.batch_size=2",
        "prune.retrain.learning_rate=1",
    ]
    config = load_config(overrides=words)  # the rate of the retraining ruins what it is given
    fit(config, tmp_path / "dense")
    config = compare_pruning.configured(config, macs=0.5, epochs=1, steps=2, distill=True)
    dataset = open_dataset(config.data, seed=0)
    comparison = compare_pruning.Comparison(tmp_path / "dense/model.keras", config, dataset, tmp_path / "out")

    dense, *rows = compare_pruning.compare(comparison, parse_methods("ours,random"), repeats=1)

    for row in rows:
        assert row["macs"] <= 0.5 * dense["macs"]
        assert row["after"]["val"] >= row["before"]["val"]
