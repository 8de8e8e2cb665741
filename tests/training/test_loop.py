import csv
import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.checkpoint import read_arrays, save_arrays
from rsseg_tf.config import AugmentConfig, DistillConfig, FitConfig
from rsseg_tf.errors import ConfigError, RssegError
from rsseg_tf.training.loop import LOG, STATE, EpochRow, Outcome, Trainer, learning_rate
from rsseg_tf.training.losses import cross_entropy
from rsseg_tf.training.pipeline import BatchSchedule, TrainingSource
from rsseg_tf.training.step import Teacher


def network(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    image = keras.layers.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    return keras.Model(image, keras.layers.Conv2D(2, 1)(keras.layers.ReLU()(x)))


def schedule(steps: int = 4) -> BatchSchedule:
    rng = np.random.default_rng(1)
    masks = [np.where(rng.random((16, 16)) < 0.5, 1, 0).astype(np.uint8) for _ in range(6)]
    pairs = [(np.repeat(mask[..., None] * 150 + 40, 3, axis=2).astype(np.uint8), mask) for mask in masks]
    source = TrainingSource(pairs.__getitem__, 6, (16, 16), crop=False, augment=AugmentConfig(), seed=0)
    return BatchSchedule.of(source, batch_size=2, steps=steps)


SETTINGS = FitConfig(epochs=3, learning_rate=0.05, l2=1e-4, schedule="cosine", checkpoint_steps=1)


class Silent:
    def __init__(self, stop_after: int | None = None) -> None:
        self.steps, self.rows, self._stop_after = 0, [], stop_after

    def step(self, **_place: float) -> None:
        self.steps += 1
        if self.steps == self._stop_after:
            raise KeyboardInterrupt

    def epoch(self, row: EpochRow) -> None:
        self.rows.append(row)


def accuracy(model: keras.Model) -> float:
    images, labels = next(schedule().first_batches(99, 1))
    right = np.asarray(model(images.astype(np.float32))).argmax(-1) == labels
    return float(right[labels != 255].mean())


def train(
    folder: Path, settings: FitConfig = SETTINGS, progress: Silent | None = None, teacher: Teacher | None = None
) -> tuple[keras.Model, Outcome]:
    model = network()
    trainer = Trainer(model, schedule(), settings, loss=cross_entropy(), folder=folder, teacher=teacher)
    return model, trainer.run(lambda: accuracy(model), progress or Silent())


def test_training_learns(tmp_path):
    before = accuracy(network())
    model, outcome = train(tmp_path, FitConfig(epochs=6, learning_rate=0.2, l2=0))

    assert accuracy(model) > max(before, 0.9)
    assert outcome.rows[-1].loss < outcome.rows[0].loss


@pytest.mark.parametrize(
    "settings",
    [SETTINGS, FitConfig(epochs=3, optimizer="adamw", learning_rate=0.01, ema=0.9, checkpoint_steps=1)],
    ids=["sgd", "adamw with averaged weights"],
)
@pytest.mark.parametrize("stop_after", [4, 7], ids=["between epochs", "within an epoch"])
def test_a_killed_training_resumes_to_the_same_weights(tmp_path, settings, stop_after):
    whole, expected = train(tmp_path / "whole", settings)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", settings, Silent(stop_after))
    resumed, outcome = train(tmp_path / "killed", settings)

    for ours, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [row.loss for row in outcome.rows] == [row.loss for row in expected.rows]


def test_a_state_file_says_what_it_always_said_and_one_without_inputs_is_resumed(tmp_path):
    """Runs that were stopped before this version are resumed by it."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, progress=Silent(7))
    arrays, info = read_arrays(tmp_path / STATE)
    assert set(info) == {"epoch", "position", "loss_sum", "seconds", "best_epoch", "best", "rows", "inputs"}
    assert (info["epoch"], info["position"], len(info["rows"])) == (1, 2, 1)

    del info["inputs"]
    save_arrays(tmp_path / STATE, arrays, info)
    progress = Silent()
    train(tmp_path, progress=progress)

    assert progress.steps == 3 * 4 - 6


def test_without_validation_the_last_weights_stay(tmp_path):
    model = network()
    outcome = Trainer(model, schedule(), SETTINGS, loss=cross_entropy(), folder=tmp_path).run(None, Silent())

    last, _ = read_arrays(tmp_path / STATE)
    for ours, saved in zip(model.variables, last, strict=False):
        np.testing.assert_array_equal(np.asarray(ours), saved)
    assert outcome.best_epoch == 0
    assert all(math.isnan(row.val_miou) for row in outcome.rows)


def test_a_training_goes_on_with_what_it_began_with_alone(tmp_path):
    def run(inputs: dict[str, str], progress: Silent) -> Outcome:
        model = network()
        trainer = Trainer(model, schedule(), SETTINGS, loss=cross_entropy(), folder=tmp_path)
        return trainer.run(lambda: 0.5, progress, inputs=inputs)

    began = {"data:train": "a", "data:val": "b"}
    with pytest.raises(KeyboardInterrupt):
        run(began, Silent(4))
    with pytest.raises(ConfigError, match="was started with different `data:val`"):
        run({**began, "data:val": "c"}, Silent())

    assert len(run(began, Silent()).rows) == SETTINGS.epochs


def test_the_best_epoch_is_kept(tmp_path):
    model = network()
    scores = iter([0.2, 0.9, 0.4])
    seen = []

    def validate() -> float:
        seen.append(model.get_weights())
        return next(scores)

    trainer = Trainer(model, schedule(), SETTINGS, loss=cross_entropy(), folder=tmp_path)
    outcome = trainer.run(validate, Silent())

    assert (outcome.best_epoch, outcome.best_val_miou) == (2, 0.9)
    for ours, theirs in zip(model.get_weights(), seen[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_log_has_a_line_an_epoch_and_tensorboard_a_file(tmp_path):
    train(tmp_path)

    with (tmp_path / LOG).open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert list((tmp_path / "tensorboard").iterdir())


def test_l2_pulls_kernels_and_scales_but_not_biases(tmp_path):
    heavy, _ = train(tmp_path / "heavy", FitConfig(epochs=1, learning_rate=0.1, momentum=0.0, l2=1.0))
    light, _ = train(tmp_path / "light", FitConfig(epochs=1, learning_rate=0.1, momentum=0.0, l2=0.0))

    assert np.abs(heavy.layers[2].kernel).sum() < 0.8 * np.abs(light.layers[2].kernel).sum()
    assert np.abs(heavy.layers[3].gamma).sum() < 0.8 * np.abs(light.layers[3].gamma).sum()


def mixed_network(layer: Callable[[], layers.Layer]) -> keras.Model:
    keras.utils.set_random_seed(0)
    x = image = keras.Input((16, 16, 3))
    x = layers.SeparableConv2D(4, 3, padding="same", name="separable")(layers.Rescaling(1 / 255)(x))
    x = layers.PReLU(shared_axes=[1, 2], alpha_initializer="ones", name="slope")(layer()(x))
    return keras.Model(image, layers.Conv2D(2, 1, bias_initializer="ones", name="classifier")(x))


def adapted() -> layers.Layer:
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).normal(size=(4, 16, 16, 4)).astype(np.float32))
    return layer


WHOLE_NUMBERS = {
    "Dropout": lambda: layers.Dropout(0.2),
    "RandomFlip": layers.RandomFlip,
    "GaussianNoise": lambda: layers.GaussianNoise(0.1),
    "Normalization": adapted,
}


@pytest.mark.parametrize("kind", WHOLE_NUMBERS)
def test_averages_are_of_the_float_weights_and_whole_numbers_go_on(tmp_path, kind):
    settings = FitConfig(epochs=2, learning_rate=0.05, l2=0, ema=0.9, checkpoint_steps=1)
    schedules = schedule(steps=3)

    def trained(folder: Path, progress: Silent, seen: list[list[np.ndarray]]) -> keras.Model:
        model = mixed_network(WHOLE_NUMBERS[kind])
        assert {keras.backend.is_float_dtype(variable.dtype) for variable in model.variables} == {True, False}

        class Seeing(Silent):
            def step(self, **place: float) -> None:
                seen.append([np.asarray(variable) for variable in model.variables])
                progress.step(**place)

        trainer = Trainer(model, schedules, settings, loss=cross_entropy(), folder=folder)
        trainer.run(lambda: 0.5, Seeing())
        return model

    seen: list[list[np.ndarray]] = []
    whole = trained(tmp_path / "whole", Silent(), seen)
    expected = [np.asarray(variable) for variable in mixed_network(WHOLE_NUMBERS[kind]).variables]
    for number, values in enumerate(seen):
        decay = min(0.9, (1 + number) / (10 + number))
        expected = [
            decay * mean + (1 - decay) * value if value.dtype == np.float32 else value
            for mean, value in zip(expected, values, strict=True)
        ]
    for variable, value in zip(whole.variables, expected, strict=True):
        np.testing.assert_allclose(np.asarray(variable), value, rtol=1e-4, atol=1e-6)

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", Silent(4), [])
    resumed = trained(tmp_path / "killed", Silent(), [])
    for ours, theirs in zip(resumed.variables, whole.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_l2_is_of_all_weights_but_biases_whatever_they_are_called(tmp_path):
    def after_one_step(l2: float) -> keras.Model:
        model = mixed_network(layers.ReLU)
        settings = FitConfig(epochs=1, learning_rate=0.1, momentum=0.0, schedule="constant", l2=l2)
        trainer = Trainer(model, schedule(steps=1), settings, loss=cross_entropy(), folder=tmp_path / f"{l2}")
        trainer.run(None, Silent())
        return model

    start, heavy, light = mixed_network(layers.ReLU), after_one_step(0.5), after_one_step(0.0)
    named = [variable.path for variable in start.trainable_variables]
    assert {path.split("/")[-1] for path in named} == {
        "depthwise_kernel",
        "pointwise_kernel",
        "kernel",
        "bias",
        "alpha",
    }
    for path, before, with_l2, without in zip(
        named, start.trainable_variables, heavy.trainable_variables, light.trainable_variables, strict=True
    ):
        pull = 0.0 if path.endswith("bias") else 0.1 * 0.5
        expected = np.asarray(without) - pull * np.asarray(before)
        np.testing.assert_allclose(np.asarray(with_l2), expected, rtol=1e-4, atol=1e-6, err_msg=path)


def test_a_teacher_changes_what_is_learned(tmp_path):
    teacher = Teacher(network(seed=5), DistillConfig(weight=1.0, temperature=2.0))
    taught, _ = train(tmp_path / "taught", teacher=teacher)
    alone, _ = train(tmp_path / "alone")

    images = next(schedule().first_batches(0, 1))[0].astype(np.float32)
    distance = [float(np.abs(np.asarray(model(images) - teacher.model(images))).mean()) for model in (taught, alone)]
    assert distance[0] < distance[1]


def test_an_infinite_loss_stops_with_a_hint(tmp_path):
    with pytest.raises(RssegError) as caught:
        train(tmp_path, FitConfig(epochs=3, learning_rate=1e30))

    assert "lower the learning rate" in caught.value.hint


def test_validation_may_be_rarer_but_always_ends_the_training(tmp_path):
    _, outcome = train(tmp_path, FitConfig(epochs=3, validate_every=2))

    assert [math.isnan(row.val_miou) for row in outcome.rows] == [True, False, False]


def test_the_papers_schedule_falls_every_ten_epochs():
    rates = [learning_rate(FitConfig(), step=epoch * 7, steps_per_epoch=7) for epoch in range(80)]

    assert rates[:11] == [1e-3] * 10 + [3e-4]
    assert rates[79] == pytest.approx(1e-3 * 0.3**7)


def test_cosine_begins_after_the_warm_up_and_ends_near_zero():
    settings = FitConfig(epochs=10, schedule="cosine", warmup_steps=5, learning_rate=1.0)
    rates = [learning_rate(settings, step=step, steps_per_epoch=10) for step in range(100)]

    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5] == 1.0
    assert rates[99] < 1e-3
    assert sorted(rates[5:], reverse=True) == rates[5:]
