import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax

from rsseg_tf.training.distill import distillation_loss
from rsseg_tf.training.losses import balanced_weights, cross_entropy


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, 4, 5)).astype(np.uint8)
    labels[0, 0] = 255
    return labels, rng.normal(size=(2, 4, 5, 3)).astype(np.float32)


def costs(labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counted = labels != 255
    return -log_softmax(logits, axis=-1)[counted], labels[counted]


def test_cross_entropy_is_the_mean_over_labelled_pixels(batch):
    every, truth = costs(*batch)

    assert float(cross_entropy()(*batch)) == pytest.approx(every[np.arange(len(truth)), truth].mean(), rel=1e-5)


def test_class_weights_weigh_the_mean(batch):
    weights = np.array([1, 4, 0.5], np.float32)
    every, truth = costs(*batch)
    expected = np.average(every[np.arange(len(truth)), truth], weights=weights[truth])

    assert float(cross_entropy(class_weights=weights)(*batch)) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_mixes_in_the_even_distribution(batch):
    every, truth = costs(*batch)
    expected = (0.9 * every[np.arange(len(truth)), truth] + 0.1 * every.mean(axis=1)).mean()

    assert float(cross_entropy(label_smoothing=0.1)(*batch)) == pytest.approx(expected, rel=1e-5)


def test_ignored_pixels_have_no_gradient(batch):
    labels, logits = batch
    with tf.GradientTape() as tape:
        variable = tf.Variable(logits)
        loss = cross_entropy()(labels, variable)
    gradient = tape.gradient(loss, variable).numpy()

    assert (gradient[labels == 255] == 0).all()
    assert (gradient[labels != 255] != 0).any()


def test_a_batch_without_labels_costs_nothing(batch):
    labels, logits = batch

    assert float(cross_entropy()(np.full_like(labels, 255), logits)) == 0


def test_balanced_weights_favour_rare_classes_and_average_to_one():
    counts = np.array([900, 90, 10, 0])
    weights = balanced_weights(counts)

    assert weights[0] < weights[1] < weights[2]
    assert weights[3] == 1
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1, rel=1e-5)


def test_distillation_is_the_scaled_divergence(batch):
    _, student = batch
    teacher = student[::-1].copy()
    p, q = softmax(teacher / 3, axis=-1), softmax(student / 3, axis=-1)
    expected = 9 * (p * np.log(p / q)).sum(axis=-1).mean()

    assert float(distillation_loss(teacher, student, temperature=3.0)) == pytest.approx(expected, rel=1e-4)
    assert float(distillation_loss(student, student, temperature=3.0)) == pytest.approx(0, abs=1e-6)
