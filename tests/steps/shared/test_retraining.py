"""What trains a model between removals learns from the masks, whatever the scores are of."""

import numpy as np
import pytest

from rsseg_tf import pruning
from rsseg_tf.config import load_config
from rsseg_tf.models.weights.pretrained import load_keras_model
from rsseg_tf.steps.shared.retraining import Retraining
from rsseg_tf.steps.shared.training_data import float_batches
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


@pytest.mark.parametrize(
    ("before", "after", "between", "kept"),
    [
        (0.9, 0.5, 0.8, "before"),
        (0.1, 0.5, 0.4, "after"),
        (0.5, 0.5, 0.4, "after"),
        (0.6, 0.5, 0.7, "between"),
        (0.5, 0.5, 0.5, "between"),
    ],
)
def test_of_the_weights_before_and_after_a_retraining_and_their_mean_the_best_on_val_stay(
    model,  # noqa: F811
    tmp_path,
    before,
    after,
    between,
    kept,
):
    config = load_config(
        overrides=[
            *SETTINGS,
            "prune.retrain.epochs=1",
            "prune.retrain.validate_every=1",
            "prune.recalibration_batches=3",
        ]
    )
    job = Retraining.of(model, config, Replicas(), out=tmp_path / "run")
    trained, start = load_keras_model(model), load_keras_model(model).get_weights()
    scores, seen = iter([before, after, between]), []

    def validate() -> float:
        seen.append(trained.get_weights())
        return next(scores)

    outcome = job.run(trained, validate, folder=tmp_path, title="retrain", has_teacher=False)
    mean = load_keras_model(model)
    mean.set_weights([(a + b) / 2 for a, b in zip(start, seen[1], strict=True)])
    pruning.recalibrate(mean, float_batches(job.schedule, epoch=0, count=3))
    expected = {"before": start, "after": seen[1], "between": mean.get_weights()}
    for name, weights in zip(expected, seen, strict=True):
        assert all(map(np.array_equal, weights, expected[name])), name
    assert all(map(np.array_equal, trained.get_weights(), expected[kept]))
    assert not all(map(np.array_equal, seen[1], start))
    assert outcome.best_val_miou == max(before, after, between)
    assert (outcome.best_epoch, outcome.is_average) == (int(kept != "before"), kept == "between")
    assert len(outcome.rows) == 1
