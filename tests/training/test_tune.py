"""A tuner's call depends on the model and the epoch alone."""

import keras
import numpy as np
import pytest

from rsseg_tf.training.losses import cross_entropy
from rsseg_tf.training.tune import Tuner
from tests.training.test_loop import SETTINGS, network, schedule


def tuner(steps: int = 2) -> Tuner:
    return Tuner(schedule(), SETTINGS, loss=cross_entropy(), steps=steps)


def loss_of(model: keras.Model) -> float:
    images, labels = next(schedule().first_batches(0, 1))
    return float(cross_entropy()(labels, model(images.astype(np.float32), training=True)))


def test_it_trains():
    model, tune = network(), tuner(steps=4)
    before = loss_of(model)

    for epoch in range(6):
        tune(model, epoch)

    assert loss_of(model) < 0.9 * before


def test_a_call_leaves_nothing_behind_that_the_next_one_needs():
    going_on, one = network(), tuner()
    for epoch in range(3):
        one(going_on, epoch)
    interrupted = network()
    for epoch in range(3):
        tuner()(interrupted, epoch)

    for ours, theirs in zip(going_on.get_weights(), interrupted.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


def test_another_model_is_trained_from_where_it_is():
    first, second, tune = network(0), network(1), tuner()
    tune(first, 0)
    kept = first.get_weights()

    tune(second, 0)

    assert all((a == b).all() for a, b in zip(kept, first.get_weights(), strict=True))
    assert any((a != b).any() for a, b in zip(network(1).get_weights(), second.get_weights(), strict=True))


@pytest.mark.parametrize("steps", [1, 3])
def test_it_takes_as_many_steps_as_it_is_told(steps, monkeypatch):
    taken = []
    batches = schedule()
    drawn = type(batches).batches

    def counting(self, *arguments, **options):
        for pair in drawn(self, *arguments, **options):
            taken.append(pair)
            yield pair

    monkeypatch.setattr(type(batches), "batches", counting)
    Tuner(batches, SETTINGS, loss=cross_entropy(), steps=steps)(network(), 0)

    assert steps <= len(taken) <= steps + 1
