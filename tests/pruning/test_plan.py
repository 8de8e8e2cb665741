"""Plans survive saving, compose, and are refused where they do not fit; rebuilding keeps what it should."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from rsseg_tf.errors import ModelError
from rsseg_tf.pruning.plan import within
from tests.pruning.law import distance, run
from tests.pruning.networks import batches, tiny_network


@pytest.fixture
def model():
    return tiny_network()


def random_plan(model, fraction=0.5, seed=0):
    return pruning.random_plan(pruning.find_groups(model), fraction, seed=seed)


def test_json_gives_the_same_plan_back(model):
    groups = pruning.find_groups(model)
    kept = (f"{model.layers[-1].name}*",)
    plan = pruning.choose(
        groups, pruning.score(model, criterion="l2"), pruning.Target(macs=0.6), round_to=1, min_channels=1, skip=kept
    )
    assert pruning.Plan.from_json(plan.to_json()) == plan
    assert plan.details["target"] == {"macs": 0.6}
    assert plan.details["scores"]["criterion"] == "l2"
    assert "keras" in plan.versions


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keep": {"a": "b"}, "widths": {}}'])
def test_other_text_is_no_plan(text):
    with pytest.raises(ModelError, match="not a pruning plan"):
        pruning.Plan.from_json(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("keep", {"a": kept}) for kept in ([-1], [4], [2, 1], [1, 1])),
        *(("widths", {"a": width}) for width in (-1, 0, 1)),
        *(("cost", {"params": value}) for value in ("9", [], float("nan"), -1, True, 10**400)),
        ("dense_cost", {"params": {}}),
    ],
)
def test_a_plan_that_cannot_be_is_refused(key, value):
    sound = {"keep": {"a": [0, 2]}, "widths": {"a": 4}, "cost": {}, "dense_cost": {}, "details": {}, "versions": {}}
    assert pruning.Plan.from_json(json.dumps(sound)).keep == {"a": (0, 2)}

    with pytest.raises(ModelError, match="not a pruning plan"):
        pruning.Plan.from_json(json.dumps({**sound, key: value}))


def test_keep_lists_layers_that_lose_some_in_order(model):
    plan = random_plan(model)
    assert sorted(plan.keep) == ["last", "middle", "stem"]
    assert all(list(kept) == sorted(kept) for kept in plan.keep.values())


@pytest.mark.parametrize(
    ("keep", "widths", "message"),
    [
        ({"nowhere": (0,)}, {"nowhere": 4}, "no such layer"),
        ({"stem": (0,)}, {"stem": 9}, "9 channels in the plan"),
        ({"stem": (0, 8)}, {"stem": 8}, "keeps channels"),
        ({"stem": ()}, {"stem": 8}, "keeps channels"),
        ({"classifier": (0,)}, {"classifier": 2}, "must stay"),
    ],
)
def test_a_plan_for_another_model_is_refused(model, keep, widths, message):
    plan = dataclasses.replace(random_plan(model), keep=keep, widths=widths)
    with pytest.raises(ModelError, match=message):
        pruning.rebuild(model, plan)


def test_part_of_a_group_cannot_be_removed():
    inputs = keras.Input((8, 8, 3))
    left, right = (layers.Conv2D(4, 1, name=name)(inputs) for name in ("left", "right"))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(layers.Add()([left, right])))
    plan = dataclasses.replace(random_plan(model), keep={"left": (0, 1)}, widths={"left": 4})
    with pytest.raises(ModelError, match="only go together"):
        pruning.mask(model, plan)


def test_a_later_plan_applies_to_what_an_earlier_left(model):
    groups = pruning.find_groups(model)
    scores = pruning.score(model, criterion="l1")
    first = pruning.choose(groups, scores, pruning.Target(macs=0.7), round_to=1, min_channels=1)
    second = pruning.choose(groups, scores, pruning.Target(macs=0.4), round_to=1, min_channels=1, start=first)
    at_once = pruning.rebuild(model, second)
    in_two = pruning.rebuild(pruning.rebuild(model, first), within(second, first))
    assert all((a == b).all() for a, b in zip(at_once.get_weights(), in_two.get_weights(), strict=True))
    with pytest.raises(ModelError, match="were already removed"):
        within(first, second)


def test_rebuilding_leaves_the_model_and_its_compilation_alone(model):
    model.compile("sgd", "mse")
    before = model.get_weights()
    slim = pruning.rebuild(model, random_plan(model))
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert model.compiled
    assert not slim.compiled


def test_names_precision_and_trainable_flags_stay():
    x = inputs = keras.Input((6, 6, 3), name="photo")
    x = layers.Conv2D(8, 3, name="half", dtype="mixed_float16")(x)
    x = layers.BatchNormalization(name="norm", trainable=False)(x)
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="head", dtype="float32")(x), name="net")
    slim = pruning.rebuild(model, random_plan(model))
    assert [layer.name for layer in slim.layers] == [layer.name for layer in model.layers]
    assert (slim.name, slim.input.name) == ("net", "photo")
    assert slim.get_layer("half").dtype_policy.name == "mixed_float16"
    assert not slim.get_layer("norm").trainable


def test_masking_again_changes_nothing_and_masked_models_rebuild_alike(model):
    plan = random_plan(model)
    slim = pruning.rebuild(model, plan)
    pruning.mask(model, plan)
    once = model.get_weights()
    pruning.mask(model, plan)
    assert all((a == b).all() for a, b in zip(once, model.get_weights(), strict=True))
    x = batches()[0][0]
    assert distance(run(slim, x), run(pruning.rebuild(model, plan), x)) == 0


def test_mask_zeroes_the_filters_and_their_batch_norm(model):
    plan = random_plan(model)
    pruning.mask(model, plan)
    gone = np.setdiff1d(np.arange(8), plan.keep["stem"])
    assert not model.get_layer("stem").kernel.numpy()[..., gone].any()
    assert not model.get_layer("stem_bn").gamma.numpy()[gone].any()
    assert not model.get_layer("stem_bn").beta.numpy()[gone].any()
    assert model.get_layer("stem").kernel.numpy()[..., list(plan.keep["stem"])].all()
