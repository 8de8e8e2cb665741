"""Classes are the same where their names are; numbers follow the model."""

import numpy as np
import pytest

from rsseg_tf.config import ScenesConfig
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.datasets.parts import InParts
from rsseg_tf.datasets.relabeled import known_numbers_of, require_same_classes, with_classes_of
from rsseg_tf.datasets.scenes.dataset import Scenes
from rsseg_tf.errors import ModelError

SCENES = Scenes(ScenesConfig(train=2, val=0, test=0, size=64), seed=0)


def renamed(names: tuple[str, ...]) -> Palette:
    return Palette(names, tuple((0, 0, number) for number in range(len(names))))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spelled", [str, str.upper, lambda name: f" {name}"])
def test_masks_are_numbered_in_the_models_order(capsys, seed, spelled):
    order = np.random.default_rng(seed).permutation(SCENES.palette.num_classes)
    model = renamed(tuple(spelled(SCENES.palette.names[number]) for number in order))
    dataset = with_classes_of(model, SCENES)
    said = capsys.readouterr().err

    assert dataset.palette == model
    assert "by name" in said
    for sample in SCENES.samples("train"):
        image, mask = SCENES.read(sample)
        ours, numbers = dataset.read(sample)
        np.testing.assert_array_equal(ours, image)
        np.testing.assert_array_equal(dataset.read_mask(sample), numbers)
        for number, place in enumerate(order):
            np.testing.assert_array_equal(numbers == number, mask == place)
        np.testing.assert_array_equal(numbers == 255, mask == 255)
    assert dataset.splits() == SCENES.splits()
    assert dataset.fingerprint("train") != SCENES.fingerprint("train")
    assert isinstance(dataset, InParts) == isinstance(SCENES, InParts)


def test_the_same_order_changes_nothing(capsys):
    assert with_classes_of(renamed(SCENES.palette.names), SCENES) is SCENES
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda names: (*names[:-1], "vehicle"), "are not among them"),
        (lambda names: names[:-1], "the data set"),
        (lambda names: (names[0].upper(), names[0], *names[2:]), "are not among them"),
    ],
)
def test_classes_that_are_not_the_same_one_to_one_are_refused(change, words):
    with pytest.raises(ModelError, match=words):
        with_classes_of(renamed(change(SCENES.palette.names)), SCENES)


def test_models_of_other_orders_are_not_scored_together():
    names = SCENES.palette.names
    require_same_classes(renamed(names), SCENES.palette)
    with pytest.raises(ModelError, match="number their classes differently"):
        require_same_classes(renamed(names[::-1]), SCENES.palette)


@pytest.mark.parametrize(
    ("model", "data", "numbers"),
    [
        (("a", "b"), ("B ", "a"), (1, 0)),
        (("a", "b"), ("c", "b", "a"), (None, 1, 0)),
        (("A", "a", "b"), ("a", "b"), (None, 2)),
        (("A", "a"), ("A", "a"), (0, 1)),
    ],
)
def test_classes_that_a_model_knows_are_those_of_one_name(model, data, numbers):
    model, data = (Palette(names, tuple((at, 0, 0) for at in range(len(names)))) for names in (model, data))
    assert known_numbers_of(model, data) == numbers
