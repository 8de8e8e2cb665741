"""What several workers find together is what one finds alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from rsseg_tf.config import load_config
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.edge.evaluate import evaluate
from rsseg_tf.steps.keras_predictor import keras_predictor
from rsseg_tf.steps.validation import validation

SETTINGS = ("data.name=scenes", "data.scenes.val=3", "data.scenes.size=64", "data.input_size=[32, 32]")


class Share:
    """One of two workers, which remembers what it gives to the sum and adds what the others gave before."""

    processes = 2

    def __init__(self, process: int, given: list[np.ndarray]) -> None:
        self.process, self._given = process, given

    def summed(self, values):
        self._given.append(np.asarray(values[0], np.float64))
        return [sum(self._given)]


@pytest.mark.parametrize("fitting", ["crop", "resize"])
def test_two_workers_score_the_whole_split(fitting):
    config = load_config(overrides=(*SETTINGS, f"data.fitting={fitting}", "evaluate.overlap=0"))
    dataset = open_dataset(config.data, seed=0)
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, keras.layers.Conv2D(dataset.palette.num_classes, 1)(image))
    whole = evaluate(keras_predictor(model, dataset.palette, config), dataset, "val")

    given: list[np.ndarray] = []
    scores = [validation(model, dataset, config, Share(process, given))() for process in (0, 1)]

    assert [int(counts.sum()) > 0 for counts in given] == [True, True]
    np.testing.assert_array_equal(sum(given), whole.confusion)
    assert scores[1] == pytest.approx(whole.miou)
