"""Scores of drawn labels are the Fisher information: how fast the predictions leave those that the model makes."""

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf import pruning
from tests.pruning.law import randomize

SIZE, CLASSES, IMAGES = 6, 3, 2048


@pytest.fixture(scope="module")
def model():
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(5, 3, padding="same", name="stem")(image)
    model = keras.Model(image, layers.Conv2D(CLASSES, 1, name="head")(layers.BatchNormalization(name="norm")(x)))
    randomize(model, seed=3)
    return model


def log_softmax(logits):
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def divergence(model, images, channel, *, step, weights):
    """Mean over the pixels that count of weighted KL(p ‖ q), q of the model whose channel is scaled by 1 − `step`."""
    norm = model.get_layer("norm")
    before = norm.get_weights()
    expected = log_softmax(model(images))
    factor = np.where(np.arange(5) == channel, 1 - step, 1.0)
    norm.set_weights([before[0] * factor, before[1] * factor, *before[2:]])
    found = log_softmax(model(images))
    norm.set_weights(before)
    divergences = (np.exp(expected) * (expected - found)).sum(axis=-1)
    return float((weights * divergences).sum() / (weights > 0).sum())


@pytest.mark.parametrize("class_weights", [None, np.asarray([1.0, 4.0, 0.5], np.float32)])
def test_fisher_scores_are_twice_the_divergence_to_second_order(model, class_weights):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(IMAGES, SIZE, SIZE, 3)).astype(np.float32)
    labels = rng.integers(0, CLASSES, (IMAGES, SIZE, SIZE))
    labels[:, :2] = 255
    loss = pruning.drawn_labels(class_weights=class_weights, ignore=255)
    found = pruning.score(model, [(images, labels)], criterion="fisher", loss=loss).layers["stem"]
    known = np.ones(CLASSES) if class_weights is None else class_weights
    weights = np.where(labels == 255, 0, known[np.where(labels == 255, 0, labels)])
    expected = [2e4 * divergence(model, images, channel, step=1e-2, weights=weights) for channel in range(5)]
    np.testing.assert_allclose(found, expected, rtol=0.15)


def test_the_same_batch_gives_the_same_scores_and_another_one_others(model):
    images = np.random.default_rng(0).normal(size=(2, SIZE, SIZE, 3)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, CLASSES, (2, SIZE, SIZE))
    loss = pruning.drawn_labels()
    first, again, other = (
        pruning.score(model, [(images, y)], criterion="fisher", loss=loss).layers["stem"].tolist()
        for y in (labels, labels, labels[:, ::-1])
    )
    assert first == again != other
