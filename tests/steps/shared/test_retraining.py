"""What trains a model between removals learns from the masks, whatever the scores are of."""

import numpy as np
import pytest

from rsseg_tf.config import load_config
from rsseg_tf.models.weights.pretrained import load_keras_model
from rsseg_tf.steps.shared.retraining import Retraining
from rsseg_tf.training.losses import cross_entropy
from rsseg_tf.training.step import new_optimizer, train_step
from rsseg_tf.training.strategy import Replicas
from tests.steps.test_oracle import SETTINGS, model  # noqa: F401 - a fixture


def test_tuning_takes_the_steps_of_the_recipe_on_the_masks(model, tmp_path):  # noqa: F811
    config = load_config(overrides=[*SETTINGS, "prune.criterion=fisher", "prune.tune_steps=1"])
    job = Retraining.of(model, config, Replicas(), out=tmp_path / "run")
    tuned, expected = load_keras_model(model), load_keras_model(model)
    job.tuner()(tuned, 0)
    optimizer = new_optimizer(config.prune.retrain)
    optimizer.build(expected.trainable_variables)
    train_step(expected, optimizer, config.prune.retrain, loss=cross_entropy())(*next(iter(job.schedule.batches(0))))

    for ours, theirs in zip(tuned.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("start", "is_kept"), [(0.9, True), (0.5, False), (0.1, False)])
def test_a_retraining_that_costs_more_than_it_gives_is_not_kept(model, tmp_path, start, is_kept):  # noqa: F811
    config = load_config(overrides=[*SETTINGS, "prune.retrain.epochs=1", "prune.retrain.validate_every=1"])
    job = Retraining.of(model, config, Replicas(), out=tmp_path / "run")
    trained, before = load_keras_model(model), load_keras_model(model).get_weights()
    scores = iter([start, 0.5])
    outcome = job.run(trained, lambda: next(scores), folder=tmp_path, title="retrain", has_teacher=False)

    same = all(np.array_equal(ours, theirs) for ours, theirs in zip(trained.get_weights(), before, strict=True))
    assert same is is_kept
    assert (outcome.best_epoch, outcome.best_val_miou) == ((0, start) if is_kept else (1, 0.5))
    assert len(outcome.rows) == 1
