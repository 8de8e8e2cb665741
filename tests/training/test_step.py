import keras
import numpy as np
import pytest

from rsseg_tf.config import FitConfig
from rsseg_tf.config.training import Distillation
from rsseg_tf.errors import ConfigError
from rsseg_tf.training.losses import cross_entropy
from rsseg_tf.training.step import Teacher, new_optimizer, train_step


def network(*, with_norm: bool) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.layers.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.BatchNormalization()(x) if with_norm else x
    return keras.Model(image, keras.layers.Conv2D(2, 1)(keras.layers.ReLU()(x)))


def another_network() -> keras.Model:
    """A teacher that says something else."""
    model = network(with_norm=False)
    model.set_weights([weight[..., ::-1] for weight in model.get_weights()])
    return model


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Eight samples, of which some ignore more pixels than others and one ignores all."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (8, 8, 8)).astype(np.uint8)
    for number in range(8):
        labels[number, : number + 1] = 255
    return rng.integers(0, 256, (8, 8, 8, 3)).astype(np.uint8), labels


def trained(
    accumulate: int, *, with_norm: bool = False, taught: bool = False, steps: int = 3
) -> tuple[list[np.ndarray], list[float]]:
    settings = FitConfig(batch_size=8, learning_rate=0.1, l2=0.01, accumulate=accumulate)
    model, optimizer = network(with_norm=with_norm), new_optimizer(settings)
    optimizer.build(model.trainable_variables)
    teacher = Teacher(another_network(), Distillation(weight=0.5)) if taught else None
    step = train_step(model, optimizer, settings, loss=cross_entropy(), teacher=teacher)
    losses = [float(step(*batch())) for _ in range(steps)]
    return model.get_weights(), losses


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("accumulate", [2, 8])
def test_a_batch_in_parts_trains_as_the_whole_batch(accumulate, taught):
    whole, losses = trained(1, taught=taught)
    parts, part_losses = trained(accumulate, taught=taught)

    np.testing.assert_allclose(part_losses, losses, rtol=1e-5)
    for ours, theirs in zip(parts, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_batch_norms_see_one_part_at_a_time():
    whole, _ = trained(1, with_norm=True, steps=1)
    parts, _ = trained(2, with_norm=True, steps=1)

    moving_means = whole[4], parts[4]
    assert not np.allclose(*moving_means, rtol=1e-3)
    # Twice 0.99 · old + 0.01 · mean of a half is nearly once of twice the mean of the whole.
    np.testing.assert_allclose(moving_means[1], 2 * moving_means[0], rtol=0.02)


def test_a_batch_that_does_not_split_evenly_is_refused():
    with pytest.raises(ConfigError, match="multiple of 3"):
        trained(3)
