"""Attention loses whole heads, and widths where it has one; channels that are shuffled go in equal numbers a block."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from rsseg_tf import pruning
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
    "one head": lambda: transformer(heads=1),
    "one head with dropout": lambda: transformer(heads=1, dropout=0.1),
    "across": across,
    "of dense layers": lambda: of_dense_layers(4),
    "of dense layers, one head": lambda: of_dense_layers(1),
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
    (lambda: transformer(heads=1, dropout=0.1), {"attention0_query": 1, "attention0_key": 1}, 8),
    (lambda: transformer(heads=1, dropout=0.1), {"attention0_value": 1}, 8),
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


def masked():
    inputs, mask = tokens(), keras.Input((T, T), dtype="bool")
    x = layers.Dense(D, name="free")(inputs)
    return ended([inputs, mask], layers.MultiHeadAttention(2, 8, name="attention")(x, x, attention_mask=mask))


def channels_times_positions():
    inputs = keras.Input((D, D))
    x = layers.Dense(D, name="first")(inputs)
    return ended(inputs, ops.matmul(x, layers.Dense(D, name="second")(inputs)))


STAYING = {
    "grouped queries": (grouped_queries, ""),
    "masked": (masked, "attends with masks"),
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
