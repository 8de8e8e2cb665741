from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from rsseg_tf.config import QatConfig
from rsseg_tf.errors import ConfigError, RssegError
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.number_formats import HEADS
from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.qat.bridge import short_name
from rsseg_tf.quantization.qat.fake_quant import quantization_aware
from rsseg_tf.quantization.qat.train import convert_student, fine_tune
from rsseg_tf.tflite.flatbuffer import read_model
from rsseg_tf.training.losses import cross_entropy
from tests.quantization.qat.networks import images, labels, small

SETTINGS = QatConfig(epochs=3, steps_per_epoch=8, learning_rate=1e-2)


class Silent:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, int, float]] = []
        self.epochs: list[tuple[int, float, float]] = []

    def step(self, *, epoch: int, step: int, steps: int, loss: float) -> None:
        self.steps.append((epoch, step, steps, loss))

    def epoch(self, *, epoch: int, loss: float, learning_rate: float) -> None:
        self.epochs.append((epoch, loss, learning_rate))


def objective(_pixels: tf.Tensor, masks: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return cross_entropy()(masks, logits)


def batches(epoch: int) -> list[tuple[np.ndarray, np.ndarray]]:
    pictures = [images(4, seed=8 * epoch + step) for step in range(8)]
    return [(np.stack(four), np.stack(labels(four))) for four in pictures]


def trained(model: keras.Model):
    keras.utils.set_random_seed(0)
    student, told = quantization_aware(model, images()), Silent()
    fine_tune(student, batches, objective=objective, settings=SETTINGS, steps=8, progress=told)
    return student, told


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return small()


@pytest.fixture(scope="module")
def run(model):
    return trained(model)


@pytest.fixture(scope="module")
def student(run):
    return run[0]


def weights_of(student, name: str) -> dict[str, np.ndarray]:
    return {short_name(weight): weight.numpy() for weight in student.get_layer(name).weights}


def test_training_lowers_the_loss(run):
    losses = [loss for _, loss, _ in run[1].epochs]

    assert len(losses) == 3
    assert losses[-1] < 0.7 * losses[0]


def test_progress_is_told_of_every_step_and_of_the_falling_rate(run):
    told = run[1]
    rates = [rate for _, _, rate in told.epochs]

    assert [step[:3] for step in told.steps] == [(epoch, step, 8) for epoch in (1, 2, 3) for step in range(1, 9)]
    assert rates == pytest.approx([1e-2 * 0.5 * (1 + np.cos(np.pi * epoch / 3)) for epoch in range(3)], rel=1e-4)


def test_one_step_of_adam_moves_each_weight_once(model):
    """By at most the learning rate: its first step is the rate times the sign of the gradient."""
    student = quantization_aware(model, images())
    before = student.get_weights()
    learned = [short_name(weight) in ("kernel", "bias", "gamma", "beta") for weight in student.weights]
    settings = dataclasses.replace(SETTINGS, epochs=1)

    first = lambda _epoch: batches(0)[:1]  # noqa: E731
    fine_tune(student, first, objective=objective, settings=settings, steps=1, progress=Silent())

    moves = [np.abs(new - old).max() for new, old in zip(student.get_weights(), before, strict=True)]
    assert max(move for move, does in zip(moves, learned, strict=True) if does) == pytest.approx(1e-2, rel=1e-3)


def test_scales_and_offsets_learn_statistics_and_normalization_do_not(model, student):
    before = {weight.name: np.asarray(weight) for weight in model.get_layer("stem_bn").weights}
    after = weights_of(student, "stem_bn")

    changed = {name for name, weight in before.items() if not np.array_equal(weight, after[name])}
    assert changed == {"gamma", "beta"}
    assert np.array_equal(weights_of(student, "normalise")["bias"], np.float32([-2.1, -2.0, -1.8]))


def test_the_model_itself_stays_as_it_was(model):
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), small().get_weights(), strict=True))


def test_ranges_of_kernels_are_those_of_the_last_step(student):
    after = weights_of(student, "bare")

    assert np.array_equal(after["kernel_max"], np.abs(after["kernel"]).max(axis=(0, 1, 2)))


def test_the_seed_decides(model, student):
    again, _ = trained(model)

    assert all(np.array_equal(a, b) for a, b in zip(student.get_weights(), again.get_weights(), strict=True))


@pytest.mark.parametrize("head", HEADS)
def test_the_file_is_int8_in_one_piece_and_says_what_the_rounded_model_says(student, head, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(convert_student(student, head=head))

    facts = proof.prove(path, layer_names=[layer.name for layer in student.layers])
    (entry,) = read_model(path).inputs
    runner = TFLiteRunner(path)
    pictures = images(8, seed=77)
    expected = student(np.stack(pictures).astype(np.float32), training=False).numpy().argmax(-1)
    got = np.stack([runner.classes(picture) for picture in pictures])

    assert facts.faults("int8") == []
    assert (entry.dtype, entry.scales.tolist(), entry.zero_points.tolist()) == ("uint8", [1.0], [0])
    assert (expected == got).mean() >= 0.99


def test_a_relu_behind_a_transposed_convolution_stays_int8(tmp_path):
    """As an op of its own, as in the plain int8 file: TFLite does not merge the two."""
    image = keras.layers.Input((8, 8, 3))
    x = keras.layers.Conv2DTranspose(4, 3, padding="same")(image)
    x = keras.layers.Conv2D(2, 1)(keras.layers.ReLU()(x))
    student = quantization_aware(keras.Model(image, x), [np.full((8, 8, 3), 200, np.uint8)])
    (tmp_path / "model.tflite").write_bytes(convert_student(student))

    facts = proof.prove(tmp_path / "model.tflite")

    assert facts.float_ops == ()
    assert facts.ops["RELU"] == 1


def test_a_loss_that_is_not_a_number_is_an_error(model):
    student = quantization_aware(model, images(1))

    with pytest.raises(RssegError, match="epoch 1, step 1") as caught:
        fine_tune(
            student,
            batches,
            objective=lambda _pixels, _masks, logits: np.nan * tf.reduce_sum(logits),
            settings=dataclasses.replace(SETTINGS, epochs=1),
            steps=8,
            progress=Silent(),
        )
    assert "learning_rate" in caught.value.hint


def test_unknown_and_missing_heads_are_errors(student):
    with pytest.raises(ConfigError, match="probabilities"):
        convert_student(student, head="probabilities")
    image = keras.layers.Input((8, 8, 3))
    plain = quantization_aware(keras.Model(image, keras.layers.Conv2D(2, 1)(image)), [np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(ConfigError, match="logits-low"):
        convert_student(plain, head="logits-low")
