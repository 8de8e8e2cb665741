import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax

from rsseg_tf.training.distill import distillation_loss
from rsseg_tf.training.losses import balanced_weights, cross_entropy, summed
from rsseg_tf.training.region_losses import dice_loss, lovasz_softmax


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, 4, 5)).astype(np.uint8)
    labels[0, 0] = 255
    return labels, rng.normal(size=(2, 4, 5, 3)).astype(np.float32)


def costs(labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counted = labels != 255
    return -log_softmax(logits, axis=-1)[counted], labels[counted]


def test_cross_entropy_is_the_mean_over_labeled_pixels(batch):
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


def test_balanced_weights_favor_rare_classes_and_average_to_one():
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


def probabilities(labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counted = labels != 255
    return softmax(logits.astype(np.float64), axis=-1)[counted], labels[counted]


def dice_by_hand(labels: np.ndarray, logits: np.ndarray) -> float:
    p, truth = probabilities(labels, logits)
    present = np.unique(truth)
    scores = [2 * p[truth == c, c].sum() / (p[:, c].sum() + (truth == c).sum()) for c in present]
    return float(np.mean([1 - score for score in scores]))


def lovasz_by_hand(labels: np.ndarray, logits: np.ndarray) -> float:
    """The Lovász extension by its definition: each pixel's error times what it adds to the set function."""
    p, truth = probabilities(labels, logits)
    costs = []
    for c in np.unique(truth):
        own = truth == c
        errors = np.abs(own - p[:, c])
        wrong, before, cost = np.zeros(len(truth), bool), 0.0, 0.0
        for place in np.argsort(-errors, kind="stable"):
            wrong[place] = True
            predicted = own ^ wrong
            after = 1 - (own & predicted).sum() / (own | predicted).sum()
            cost += errors[place] * (after - before)
            before = after
        costs.append(cost)
    return float(np.mean(costs))


def hardest_by_hand(labels: np.ndarray, logits: np.ndarray, share: float) -> float:
    every, truth = costs(labels, logits)
    own = np.sort(every[np.arange(len(truth)), truth])[::-1]
    return float(own[: max(1, round(share * len(own)))].mean())


ORACLES = {
    "dice": (dice_loss(), dice_by_hand),
    "lovasz": (lovasz_softmax(), lovasz_by_hand),
    "hard pixels": (cross_entropy(hard_pixels=0.25), lambda *batch: hardest_by_hand(*batch, 0.25)),
}


@pytest.mark.parametrize("name", ORACLES)
def test_a_loss_is_what_its_definition_says(batch, name):
    loss, by_hand = ORACLES[name]

    assert float(loss(*batch)) == pytest.approx(by_hand(*batch), rel=1e-5)


@pytest.mark.parametrize("name", ORACLES)
def test_a_loss_passes_over_classes_that_no_label_names(batch, name):
    labels, logits = batch
    labels = np.where(labels == 2, 0, labels)
    loss, by_hand = ORACLES[name]

    assert float(loss(labels, logits)) == pytest.approx(by_hand(labels, logits), rel=1e-5)


@pytest.mark.parametrize("name", ORACLES)
def test_a_gradient_is_what_finite_differences_say(batch, name):
    labels, logits = batch
    loss, by_hand = ORACLES[name]
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        cost = loss(labels, variable)
    gradient = tape.gradient(cost, variable).numpy()

    assert (gradient[labels == 255] == 0).all()
    rng = np.random.default_rng(2)
    for _ in range(8):
        place = tuple(int(rng.integers(size)) for size in logits.shape)
        step = np.zeros(logits.shape)
        step[place] = 1e-6
        slope = (by_hand(labels, logits + step) - by_hand(labels, logits - step)) / 2e-6
        assert gradient[place] == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize("name", ORACLES)
def test_a_loss_of_a_batch_without_labels_is_nothing(batch, name):
    labels, logits = batch

    assert float(ORACLES[name][0](np.full_like(labels, 255), logits)) == 0


def test_lovasz_of_certain_predictions_is_one_minus_iou(batch):
    labels, _ = batch
    predicted = np.random.default_rng(3).integers(0, 3, labels.shape)
    counted = labels != 255
    ious = [
        ((predicted == c) & (labels == c))[counted].sum() / ((predicted == c) | (labels == c))[counted].sum()
        for c in range(3)
    ]

    cost = float(lovasz_softmax()(labels, (np.eye(3)[predicted] * 200).astype(np.float32)))

    assert cost == pytest.approx(1 - np.mean(ious), abs=1e-5)


def test_hard_pixels_of_one_are_the_plain_mean(batch):
    assert float(cross_entropy(hard_pixels=1.0)(*batch)) == float(cross_entropy()(*batch))


def test_losses_are_added_by_weight(batch):
    total = float(summed([(1.0, cross_entropy()), (0.5, dice_loss())])(*batch))

    assert total == pytest.approx(float(cross_entropy()(*batch)) + 0.5 * float(dice_loss()(*batch)), rel=1e-6)
