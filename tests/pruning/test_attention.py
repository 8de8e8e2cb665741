"""Attention loses whole heads, and channels of every head; channels that are shuffled go in equal numbers a block."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers, ops

from rsseg_tf import pruning
from rsseg_tf.errors import ModelError
from tests.pruning.law import check_law, randomize

T, D = 9, 16


def tokens():
    return keras.Input((T, D), name="tokens")


def ended(inputs, x):
    return keras.Model(inputs, layers.Dense(3, name="end")(x))


def transformer(*, heads=4, **options):
    """Two blocks as most vision transformers have them."""
    x = inputs = tokens()
    for number in range(2):
        y = layers.LayerNormalization(name=f"norm{number}")(x)
        x = layers.MultiHeadAttention(heads, 8, name=f"attention{number}", **options)(y, y) + x
        y = layers.Dense(32, activation="gelu", name=f"wide{number}")(layers.LayerNormalization()(x))
        x = x + layers.Dense(D, name=f"narrow{number}")(y)
    return ended(inputs, x)


def embedded(norm=layers.LayerNormalization, *, last=True):
    """A transformer whose sequence is made by a layer, so that its width can go: norms before the blocks, or behind."""
    inputs = keras.Input((T, 5), name="tokens")
    x = layers.Dense(D, name="embedding")(inputs)
    x = layers.LayerNormalization(name="embedding_norm")(x)
    for number in range(2):
        y = norm(name=f"norm{number}")(x)
        x = layers.MultiHeadAttention(2, 8, name=f"attention{number}")(y, y) + x
        x = x + layers.Dense(D, name=f"narrow{number}")(layers.Dense(24, activation="gelu")(norm()(x)))
        x = x if last else norm()(x)
    return ended(inputs, norm(name="last")(x))


@keras.saving.register_keras_serializable(package="test_attention")
class Normed(layers.Layer):
    """A block of layers that are named by Keras."""

    def __init__(self, width, **options):
        super().__init__(**options)
        self.width = width
        self.norm, self.dense = layers.LayerNormalization(), layers.Dense(width)

    def build(self, shape):
        self.norm.build(shape)
        self.dense.build(shape)

    def call(self, x):
        return x + self.dense(self.norm(x))

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def normed_blocks():
    x = inputs = keras.Input((T, 5), name="tokens")
    x = layers.Dense(D, name="embedding")(x)
    for _ in range(2):
        x = Normed(D)(x)
    return ended(inputs, x)


def across():
    """Queries of one tensor, keys of another and values of a third."""
    a, b, c = keras.Input((T, D)), keras.Input((5, 12)), keras.Input((5, 10))
    x = layers.MultiHeadAttention(3, 8, output_shape=20, name="across")(layers.Dense(6)(a), c, b)
    return ended([a, b, c], x)


def of_dense_layers(heads):
    """Attention as SegFormer's and Swin's authors write it."""

    def split(x, count):
        return ops.transpose(ops.reshape(x, (-1, count, heads, D // heads)), (0, 2, 1, 3))

    inputs = tokens()
    x = layers.LayerNormalization()(inputs)
    q, k, v = (layers.Dense(D, name=name)(x) for name in ("q", "k", "v"))
    scores = ops.matmul(split(q, T), ops.transpose(split(k, T), (0, 1, 3, 2))) * 0.3
    x = ops.matmul(layers.Dropout(0.1)(ops.softmax(scores, axis=-1)), split(v, T))
    x = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, T, D))
    return ended(inputs, layers.Dense(D, name="joined")(x) + inputs)


def by_keras_operation(*, scale=0.3):
    """Attention by the operation that Keras has for all of it."""
    inputs = tokens()
    q, k, v = (layers.Reshape((T, 4, 6))(layers.Dense(24, name=name)(inputs)) for name in ("q", "k", "v"))
    return ended(inputs, layers.Reshape((T, 24))(ops.dot_product_attention(q, k, v, scale=scale)))


def without_projection():
    """Attention whose result is added to what a layer makes, so that this layer's channels go with heads and widths."""
    inputs = tokens()
    x = layers.Dense(24, name="stream")(inputs)
    q, k = (layers.EinsumDense("abc,cde->abde", (None, 4, 3), bias_axes="de", name=name)(x) for name in ("q", "k"))
    v = layers.EinsumDense("abc,cde->abde", (None, 4, 6), bias_axes="de", name="v")(x)
    scores = layers.Softmax()(ops.einsum("aecd,abcd->acbe", k, q))
    y = layers.Reshape((T, 24))(ops.einsum("acbe,aecd->abcd", scores, v))
    return ended(inputs, layers.LayerNormalization(name="norm")(layers.Add()([x, y])))


def of_other_heads():
    """Attention twice, whose heads are laid out anew between: pairs of the first one's are heads of the second."""
    inputs = tokens()
    x = inputs
    for heads in (6, 3):
        q, k, v = (layers.Reshape((T, heads, 12 // heads))(layers.Dense(12)(x)) for _ in range(3))
        v = v if heads == 6 else layers.Reshape((T, heads, 12 // heads), name="again")(x)
        scores = ops.softmax(ops.einsum("abcd,aecd->acbe", q, k))
        x = layers.Reshape((T, 12))(ops.einsum("acbe,aecd->abcd", scores, v))
    return ended(inputs, x)


def linear_attention():
    """Keys times values before queries: no width of the values can be told."""
    inputs = tokens()
    q, k, v = (layers.EinsumDense("abc,cde->abde", (None, 4, 6), activation="relu", name=n)(inputs) for n in "qkv")
    pairs = ops.einsum("abcd,abce->acde", k, v)
    return ended(inputs, layers.EinsumDense("abcd,cde->abe", (None, D))(ops.einsum("abcd,acde->abce", q, pairs)))


def causal(**options):
    x = inputs = tokens()
    x = layers.MultiHeadAttention(4, 8, name="attention", **options)(x, x, use_causal_mask=True)
    return ended(inputs, x)


def masked():
    inputs, mask = tokens(), keras.Input((T, T), dtype="bool")
    x = layers.Dense(D, name="free")(inputs)
    return ended([inputs, mask], layers.MultiHeadAttention(2, 8, name="attention")(x, x, attention_mask=mask))


def without_heads():
    """One query, key and value of two axes each."""
    inputs = tokens()
    q, k, v = (layers.Dense(D, name=name)(inputs) for name in ("q", "k", "v"))
    scores = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))))
    return ended(inputs, ops.matmul(scores, v))


def shuffled():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(12, 3, groups=3, name="grouped")(layers.Conv2D(6, 1)(x))
    x = layers.Reshape((6, 6, 3, 4))(x)
    x = layers.Reshape((6, 6, 12))(layers.Permute((1, 2, 4, 3))(x))
    x = layers.DepthwiseConv2D(3)(x)
    return keras.Model(inputs, layers.Conv2D(2, 1, name="end")(x))


def einsum_layers():
    inputs = tokens()
    x = layers.EinsumDense("abc,cd->abd", (None, 24), bias_axes="d", activation="sigmoid", name="made")(inputs)
    x = layers.EinsumDense("...c,cd->...d", 12, bias_axes="d", name="again")(x)
    x = layers.EinsumDense("abc,cde->abde", (None, 3, 4), bias_axes="de", activation="relu", name="spread")(x)
    x = layers.EinsumDense("abcd,cde->abe", (None, D), name="joined")(layers.Dropout(0.1)(x))
    return ended(inputs, x)


def positions_moved():
    """Axes without channels change their places, as in windows."""
    x = inputs = keras.Input((8, 8, 3))
    x = ops.transpose(layers.Conv2D(6, 3, padding="same")(x), (0, 2, 1, 3))
    x = ops.reshape(x, (-1, 4, 2, 4, 2, 6))
    x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, 16, 4, 6))
    return ended(inputs, layers.Dense(5)(x))


def without_norms():
    """The width of the sequence goes too where nothing normalizes over it."""
    inputs = keras.Input((10, 4))
    x = layers.Conv1D(8, 3, name="embedding")(inputs)
    return ended(inputs, layers.Add()([x, layers.MultiHeadAttention(2, 4, name="attention")(x, x)]))


def moved_and_back():
    x = inputs = keras.Input((6, 5, 3))
    x = layers.Permute((1, 3, 2))(layers.Conv2D(6, 3, padding="same")(x))
    return ended(inputs, layers.Permute((1, 3, 2))(layers.ReLU(3.0, name="relu")(x)))


def gated():
    """Halves of the channels that multiply each other, and halves of the picture."""
    x = inputs = keras.Input((8, 8, 3))
    gate, value = ops.split(layers.Conv2D(12, 3, padding="same", name="pairs")(x), 2, axis=-1)
    left, right = ops.split(ops.sigmoid(gate) * value, [3], axis=2)
    x = layers.Concatenate(axis=2)([left, layers.Conv2D(6, 1, name="part")(right)])
    first, second, third = ops.split(layers.Conv2D(8, 1)(x), [2, 5], axis=-1)
    return keras.Model(inputs, [layers.Dense(2)(each) for each in (first, second, third)])


EXACT = {
    "embedded": embedded,
    "normed by RMS": lambda: embedded(layers.RMSNormalization),
    "normed behind blocks": lambda: embedded(last=False),
    "normed in blocks": normed_blocks,
    "gated": gated,
    "without norms": without_norms,
    "moved and back": moved_and_back,
    "transformer": transformer,
    "with dropout": lambda: transformer(dropout=0.1),
    "without biases": lambda: transformer(use_bias=False),
    "with other values": lambda: transformer(value_dim=5),
    "one head": lambda: transformer(heads=1),
    "one head with dropout": lambda: transformer(heads=1, dropout=0.1),
    "across": across,
    "of dense layers": lambda: of_dense_layers(4),
    "of dense layers, one head": lambda: of_dense_layers(1),
    "by Keras' operation": by_keras_operation,
    "by Keras' operation, scaled by the width": lambda: by_keras_operation(scale=None),
    "without projection": without_projection,
    "of other heads": of_other_heads,
    "linear": linear_attention,
    "masked": masked,
    "masked by position": causal,
    "without heads": without_heads,
    "shuffled": shuffled,
    "einsum": einsum_layers,
    "positions moved": positions_moved,
}


@pytest.mark.parametrize("graph", EXACT)
def test_it_is_pruned_exactly(graph):
    law = check_law(EXACT[graph]())
    assert law.holds, law


STREAM = ("embedding", "attention0_attention_output", "narrow0", "attention1_attention_output", "narrow1")

MEMBERS = [
    (embedded, dict.fromkeys(STREAM, 1), 16),
    (transformer, {"attention0_query": 8, "attention0_key": 8, "attention0_value": 8}, 4),
    (transformer, {"attention0_query": 4, "attention0_key": 4}, 8),
    (transformer, {"attention0_value": 4}, 8),
    (lambda: transformer(heads=1), {"attention0_query": 1, "attention0_key": 1}, 8),
    (lambda: transformer(heads=1), {"attention0_value": 1}, 8),
    (by_keras_operation, {"q": 6, "k": 6, "v": 6}, 4),
    (by_keras_operation, {"q": 4, "k": 4, "v": 4}, 6),
    (lambda: by_keras_operation(scale=None), {"q": 6, "k": 6, "v": 6}, 4),
    (without_projection, {"stream": 6, "q": 3, "k": 3, "v": 6}, 4),
    (without_projection, {"stream": 4, "v": 4}, 6),
    (without_projection, {"q": 4, "k": 4}, 3),
    (transformer, {"wide1": 1}, 32),
    (lambda: of_dense_layers(4), {"q": 4, "k": 4, "v": 4}, 4),
    (lambda: of_dense_layers(1), {"q": 1, "k": 1}, 16),
    (without_heads, {"v": 1}, 16),
    (shuffled, {"grouped": 3}, 4),
    (einsum_layers, {"spread": 3}, 4),
    (gated, {"pairs": 2, "part": 1}, 6),
    (without_norms, {"embedding": 1, "attention_attention_output": 1}, 8),
]


@pytest.mark.parametrize(("graph", "members", "number"), MEMBERS, ids=lambda x: "+".join(x) if type(x) is dict else "")
def test_these_go_together(graph, members, number):
    families = [(family.members, len(family)) for family in pruning.find_groups(graph()).families]
    assert (members, number) in families


def test_parts_of_the_picture_have_their_own_numbers_of_positions():
    layers_of = {layer.name: layer for layer in pruning.cost(gated()).layers}
    assert layers_of["part"].macs == 8 * 5 * 6 * 6
    assert layers_of["pairs"].macs == 8 * 8 * 3 * 3 * 3 * 12


def grouped_queries():
    x = inputs = tokens()
    return ended(inputs, layers.GroupQueryAttention(8, 4, 2, name="attention")(x, x))


def masked_by_keras_operation():
    inputs, mask = tokens(), keras.Input((1, T, T), dtype="bool")
    x = layers.Reshape((T, 4, 4))(layers.Dense(D, name="free")(inputs))
    x = ops.dot_product_attention(x, x, x, mask=mask, scale=0.3)
    return ended([inputs, mask], layers.Reshape((T, D))(x))


def masked_by_head():
    inputs, mask = tokens(), keras.Input((4, T, T), dtype="bool")
    x = layers.Reshape((T, 4, 4))(layers.Dense(D, name="free")(inputs))
    scores = layers.Softmax(name="softmax")(ops.einsum("abcd,aecd->acbe", x, x), mask=mask)
    return ended([inputs, mask], layers.Reshape((T, D))(ops.einsum("acbe,aecd->abcd", scores, x)))


def masked_by_constants():
    inputs = tokens()
    x = layers.Reshape((T, 4, 4))(layers.Dense(D, name="free")(inputs))
    mask = np.tril(np.ones((1, 4, T, T), bool))
    scores = layers.Softmax(name="softmax")(ops.einsum("abcd,aecd->acbe", x, x), mask=mask)
    return ended(inputs, layers.Reshape((T, D))(ops.einsum("acbe,aecd->abcd", scores, x)))


def channels_times_positions():
    inputs = keras.Input((D, D))
    x = layers.Dense(D, name="first")(inputs)
    return ended(inputs, ops.matmul(x, layers.Dense(D, name="second")(inputs)))


STAYING = {
    "grouped queries": (grouped_queries, ""),
    "masked, by Keras' operation": (masked_by_keras_operation, "attends with masks"),
    "causal, with other values": (lambda: causal(value_dim=5), "values of another width"),
    "masked by head": (masked_by_head, "has a mask for each channel"),
    "masked by constants": (masked_by_constants, "holds constants"),
    "products of channels and positions": (channels_times_positions, "multiplies channels with positions"),
}


@pytest.mark.parametrize("case", STAYING)
def test_what_stays_says_why_and_the_rest_is_exact(case):
    build, reason = STAYING[case]
    model = build()
    assert any(reason in why for why in pruning.find_groups(model).frozen.values())
    randomize(model)
    plan = pruning.random_plan(pruning.find_groups(model), seed=0)
    x = [np.ones((2, *each.shape[1:]), each.dtype) for each in model.inputs]
    assert pruning.verify(model, plan, x if len(x) > 1 else x[0]).masked_error < 1e-5


@pytest.mark.parametrize("graph", [transformer, by_keras_operation, without_projection, embedded, across])
def test_what_is_left_follows_from_how_many_heads_and_widths_stay(graph):
    """The cost that the search goes by is the exact one, and a plan's file says which groups went."""
    groups = pruning.find_groups(graph())
    for seed in range(3):
        removed = np.random.default_rng(seed).random(len(groups)) < 0.4
        for family in groups.families:
            removed[family.groups[0]] = False
        plan = pruning.Plan.from_json(groups.plan(removed).to_json())
        np.testing.assert_array_equal(groups.removed(plan), removed)
        for metric in ("params", "macs", "int8_bytes"):
            left = groups.terms.total(metric, groups.counts_kept(removed))
            assert left == pytest.approx(getattr(groups.cost(plan), metric), rel=1e-9)


@pytest.mark.parametrize(
    ("attention", "query", "value"), [("both", 2, 2), ("heads", 8, 8), ("widths", 4 * 2, 4 * 2)], ids=lambda x: str(x)
)
def test_it_loses_the_parts_that_are_asked_for(attention, query, value):
    groups = pruning.find_groups(transformer())
    plan = pruning.largest_cut(groups, round_to=2, min_channels=1, attention=attention)
    assert len(plan.keep["attention0_query"]) == query
    assert len(plan.keep["attention0_value"]) == value


def test_every_head_keeps_a_multiple():
    """As many channels of each as `round_to` says, so that any number of heads makes a width that is one too."""
    groups = pruning.find_groups(transformer())
    scores = pruning.score(transformer(), criterion="random", seed=1)
    plan = pruning.choose(groups, scores, pruning.Target(params=0.4), round_to=4, min_channels=4)
    kept = np.reshape(np.isin(range(32), plan.keep.get("attention1_query", range(32))), (4, 8))
    assert kept.sum(axis=1).max() % 4 == 0
    assert {*kept.sum(axis=1).tolist()} <= {0, kept.any(axis=0).sum()}


def test_part_of_a_head_is_no_plan():
    groups = pruning.find_groups(transformer())
    plan = groups.plan(np.zeros(len(groups), bool))
    part = dataclasses.replace(plan, keep={"attention0_query": tuple(range(31))}, widths={"attention0_query": 32})
    with pytest.raises(ModelError, match="part of the channels that can only go together"):
        groups.removed(part)


def batches():
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(4, T, D)).astype(np.float32), rng.integers(0, 3, (4, T))) for _ in range(2)]


@pytest.mark.parametrize("criterion", pruning.CRITERIA)
def test_every_criterion_scores_heads(criterion):
    model = transformer()
    groups = pruning.find_groups(model)
    scores = pruning.score(model, batches(), criterion=criterion, loss=pruning.drawn_labels())
    plan = pruning.choose(groups, scores, pruning.Target(params=0.6), round_to=1, min_channels=1)
    assert plan.share("params") <= 0.6
    assert any("attention" in name for name in plan.keep)


def test_scores_agree_with_what_removing_a_head_does():
    """A head whose values hardly reach the output matters least, by the criterion and by the truth."""
    keras.utils.set_random_seed(0)
    model = transformer()
    randomize(model)
    weights = model.get_layer("attention0").output_dense.kernel
    factors = np.asarray([3.0, 0.01, 1.0, 0.3])[:, None, None]
    weights.assign(keras.ops.convert_to_numpy(weights) * factors)
    groups = pruning.find_groups(model)
    loss = pruning.drawn_labels()
    heads = next(family for family in groups.families if "attention0_query" in family.members)
    scores = pruning.group_scores(groups, pruning.score(model, batches(), loss=loss), pruning.Ranking())
    truth = pruning.oracle(model, groups, batches(), loss=loss, only=heads.groups)
    assert np.argmin(scores[heads.groups]) == np.argmin(np.abs(truth.changes)) == 1


def test_scores_agree_with_what_removing_a_width_does():
    """A channel of every head that hardly matters, by the criterion and by the loss of the network without it."""
    keras.utils.set_random_seed(0)
    model = transformer()
    randomize(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    groups = pruning.find_groups(model)
    family = next(each for each in groups.families if each.members == {"attention0_value": 4})
    x, y = batches()[0]

    truth = pruning.oracle(model, groups, [(x, y)], loss=loss, only=family.groups)
    scores = pruning.score(model, [(x, y)], loss=pruning.drawn_labels())

    for group, change in zip(family.groups[:2], truth.changes, strict=False):
        slim = pruning.rebuild(model, groups.plan(np.arange(len(groups)) == group))
        np.testing.assert_allclose(change, float(loss(y, slim(x))) - truth.loss, atol=1e-5)
    assert pruning.group_scores(groups, scores, pruning.Ranking())[family.groups].min() > 0


def test_removing_a_channel_behind_a_norm_does_what_the_oracle_says():
    """The truth is the loss of the network that is rebuilt without it."""
    keras.utils.set_random_seed(0)
    model = embedded()
    randomize(model)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(4, T, 5)).astype(np.float32), rng.integers(0, 3, (4, T))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    groups = pruning.find_groups(model)
    stream = next(family for family in groups.families if "embedding" in family.members)

    truth = pruning.oracle(model, groups, [(x, y)], loss=loss, only=stream.groups)

    for group, change in zip(stream.groups[:3], truth.changes, strict=False):
        slim = pruning.rebuild(model, groups.plan(np.arange(len(groups)) == group))
        np.testing.assert_allclose(change, float(loss(y, slim(x))) - truth.loss, atol=1e-5)
    assert np.ptp(truth.changes) > 1e-3
    assert float(loss(y, model(x))) == pytest.approx(truth.loss, abs=1e-6)


@pytest.mark.parametrize("graph", [transformer, lambda: embedded(layers.RMSNormalization)], ids=["heads", "widths"])
def test_the_loop_prunes(graph):
    model = graph()
    slim, plan = pruning.prune_loop(
        model,
        batches=lambda _loop: [(x[..., : model.input_shape[-1]], y) for x, y in batches()],
        loss=pruning.drawn_labels(),
        target=pruning.Target(params=0.6),
        loop=pruning.Loop(loops=3, round_to=1, min_channels=1),
    )
    assert plan.share("params") <= 0.6
    assert slim.count_params() < model.count_params()


def test_attention_of_a_known_length_has_multiply_accumulates_that_a_target_may_name(tmp_path):
    """Keras leaves the length of what attention makes open, though its input says it."""
    model = transformer(heads=4)
    randomize(model)
    groups = pruning.find_groups(model)
    plan = pruning.choose(groups, pruning.score(model, criterion="l2"), pruning.Target(macs=0.5))
    slim = pruning.rebuild(model, plan)
    slim.save(tmp_path / "slim.keras")

    dense, left = pruning.cost(model).macs, pruning.cost(slim).macs
    assert dense == 2 * T * (4 * D * 32 + 2 * D * 32) + T * D * 3
    assert 0.4 * dense < left <= 0.5 * dense
    assert plan.cost["macs"] == left
    assert pruning.cost(keras.models.load_model(tmp_path / "slim.keras")).macs == left


def test_attention_that_is_called_at_two_lengths_leaves_them_open():
    inputs = tokens()
    attention = layers.MultiHeadAttention(2, 8, name="attention")
    short = inputs[:, :4]
    both = layers.Concatenate(axis=1)([attention(inputs, inputs), attention(short, short)])
    model = ended(inputs, both)
    randomize(model)
    x = np.random.default_rng(0).normal(size=(2, T, D)).astype(np.float32)

    np.testing.assert_allclose(pruning.flatten(model)(x), model(x), rtol=1e-5, atol=1e-5)
