"""What a quantization-aware model learns, and that its file computes as it does."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from rsseg_tf.config import AugmentConfig, FitConfig
from rsseg_tf.errors import ConfigError
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.number_formats import HEADS
from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.qat.bridge import short_name
from rsseg_tf.quantization.qat.convert import convert_student
from rsseg_tf.quantization.qat.fake_quant import quantization_aware, renew_weight_ranges
from rsseg_tf.tflite.flatbuffer import read_model
from rsseg_tf.training.loop import EpochRow, Trainer
from rsseg_tf.training.losses import cross_entropy
from rsseg_tf.training.pipeline import BatchSchedule, TrainingSource
from tests.quantization.qat.networks import SHAPE, images, labels, small

SETTINGS = FitConfig(
    epochs=3,
    learning_rate=1e-2,
    schedule="cosine",
    optimizer="adamw",
    weight_decay=0.0,
    l2=0.0,
    checkpoint_steps=1,
    augment=AugmentConfig(flip_horizontal=False, translate_px=0),
)


class Told:
    """Remembers what it was told, and stops the training after so many steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.steps: list[tuple[int, int, int]] = []
        self.epochs: list[EpochRow] = []
        self._stop_after = stop_after

    def step(self, *, epoch: int, step: int, steps: int, **_loss: float) -> None:
        self.steps.append((epoch, step, steps))
        if len(self.steps) == self._stop_after:
            raise KeyboardInterrupt

    def epoch(self, row: EpochRow) -> None:
        self.epochs.append(row)


def schedule() -> BatchSchedule:
    pictures = images(32, seed=8)
    pairs = list(zip(pictures, labels(pictures), strict=True))
    source = TrainingSource(pairs.__getitem__, 32, SHAPE[:2], crop=False, augment=SETTINGS.augment, seed=0)
    return BatchSchedule.of(source, batch_size=4, steps=8)


def train(student, folder: Path, *, stop_after: int | None = None) -> Told:
    told = Told(stop_after)
    trainer = Trainer(student, schedule(), SETTINGS, loss=cross_entropy(), folder=folder)
    trainer.run(None, told)
    renew_weight_ranges(student)
    return told


def assert_same_weights(student, other) -> None:
    for ours, theirs in zip(student.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return small()


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    student = quantization_aware(model, images())
    return student, train(student, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def student(run):
    return run[0]


def weights_of(student, name: str) -> dict[str, np.ndarray]:
    return {short_name(weight): weight.numpy() for weight in student.get_layer(name).weights}


def test_training_lowers_the_loss(run):
    losses = [row.loss for row in run[1].epochs]

    assert len(losses) == 3
    assert losses[-1] < 0.7 * losses[0]


def test_one_step_of_adam_moves_each_weight_once(model, tmp_path):
    """By at most the learning rate: its first step is the rate times the sign of the gradient."""
    student = quantization_aware(model, images())
    before = student.get_weights()
    learned = [short_name(weight) in ("kernel", "bias", "gamma", "beta") for weight in student.weights]

    with pytest.raises(KeyboardInterrupt):
        train(student, tmp_path, stop_after=1)

    moves = [np.abs(new - old).max() for new, old in zip(student.get_weights(), before, strict=True)]
    assert max(move for move, does in zip(moves, learned, strict=True) if does) == pytest.approx(1e-2, rel=1e-3)


@pytest.mark.parametrize("stop_after", [8, 13], ids=["at the end of an epoch", "within an epoch"])
def test_a_killed_training_resumes_to_the_same_weights(model, student, tmp_path, stop_after):
    with pytest.raises(KeyboardInterrupt):
        train(quantization_aware(model, images()), tmp_path, stop_after=stop_after)
    resumed = quantization_aware(model, images())

    told = train(resumed, tmp_path)

    assert_same_weights(resumed, student)
    assert len(told.steps) == 3 * 8 - stop_after + 1, "the state is written after the step is told of"


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


def test_unknown_and_missing_heads_are_errors(student):
    with pytest.raises(ConfigError, match="probabilities"):
        convert_student(student, head="probabilities")
    image = keras.layers.Input((8, 8, 3))
    plain = quantization_aware(keras.Model(image, keras.layers.Conv2D(2, 1)(image)), [np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(ConfigError, match="logits-low"):
        convert_student(plain, head="logits-low")
