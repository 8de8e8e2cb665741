import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsseg_tf.config import DataConfig, ScenesConfig
from rsseg_tf.datasets import open_dataset
from rsseg_tf.datasets.color_baseline import ColorBaseline
from rsseg_tf.datasets.scenes.dataset import Scenes, render_scene
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.metrics import ConfusionMatrix


def scenes(seed=0, **counts):
    return Scenes(ScenesConfig(**({"train": 4, "val": 2, "test": 2, "size": 64} | counts)), seed=seed)


def pixels(dataset, split, index):
    return dataset.read(dataset.samples(split)[index])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(32, 150))
def test_any_seed_and_size_gives_an_image_and_labels_of_known_classes(seed, size):
    image, mask = render_scene(np.random.default_rng(seed), size=size)
    assert (image.shape, image.dtype) == ((size, size, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((size, size), np.uint8)
    assert mask.max() < 6


def test_a_scene_does_not_depend_on_what_was_rendered_before():
    fresh = pixels(scenes(), "train", 3)
    dataset = scenes()
    for index in (2, 0, 1):
        pixels(dataset, "train", index)
    np.testing.assert_array_equal(pixels(dataset, "train", 3)[0], fresh[0])


def test_a_scene_does_not_depend_on_how_many_there_are():
    np.testing.assert_array_equal(pixels(scenes(train=4), "train", 1)[0], pixels(scenes(train=9), "train", 1)[0])


def test_image_and_mask_read_apart_equal_the_pair():
    dataset = scenes()
    sample = dataset.samples("val")[1]
    image, mask = dataset.read(sample)
    np.testing.assert_array_equal(dataset.read_image(sample), image)
    np.testing.assert_array_equal(dataset.read_mask(sample), mask)


def test_seeds_splits_and_indices_give_different_scenes():
    images = [
        pixels(scenes(), "train", 0),
        pixels(scenes(seed=1), "train", 0),
        pixels(scenes(), "train", 1),
        pixels(scenes(), "val", 0),
    ]
    assert len({image.tobytes() for image, _ in images}) == len(images)


def test_a_fingerprint_names_the_parameters():
    prints = [
        scenes().fingerprint("train"),
        scenes().fingerprint("val"),
        scenes(seed=1).fingerprint("train"),
        scenes(size=96).fingerprint("train"),
        scenes(train=5).fingerprint("train"),
    ]
    assert len(set(prints)) == len(prints)
    assert scenes(test=7).fingerprint("train") == prints[0]


def test_a_split_of_none_is_absent():
    dataset = scenes(val=0)
    assert dataset.splits() == ("train", "test")
    with pytest.raises(DataError, match="no split `val`") as caught:
        dataset.samples("val")
    assert caught.value.hint == "known splits: `train`, `test`"


def test_a_sample_of_another_data_set_is_refused():
    other = Scenes(ScenesConfig()).samples("train")[0]
    foreign = type(other)("seq1/000000x", None, None)
    with pytest.raises(DataError, match="not a generated scene"):
        scenes().read(foreign)


@pytest.mark.parametrize(
    ("counts", "words"), [({"size": 31}, "at least 32 and at most 16,384, got 31"), ({"val": -1}, "val` must be")]
)
def test_impossible_settings_are_refused(counts, words):
    with pytest.raises(ConfigError, match=words):
        scenes(**counts)


def test_the_catalog_passes_the_seed_on():
    data = DataConfig(name="scenes", scenes=ScenesConfig(size=64))
    images = [open_dataset(data, seed=seed) for seed in (0, 1)]
    assert images[0].fingerprint("train") != images[1].fingerprint("train")


@pytest.fixture(scope="module")
def many():
    dataset = scenes(train=30, val=10, size=256)
    return [[dataset.read(sample) for sample in dataset.samples(split)] for split in ("train", "val")]


def test_every_class_is_frequent_enough_to_be_learned(many):
    counts = sum(np.bincount(mask.ravel(), minlength=6) for _, mask in many[0])
    shares = counts / counts.sum()
    assert shares.min() > 0.04
    assert shares.max() < 0.5


def test_color_alone_does_not_tell_the_classes_apart(many):
    baseline, matrix = ColorBaseline(), ConfusionMatrix(6)
    baseline.fit(many[0], 6)
    for image, mask in many[1]:
        matrix.update(mask, baseline.predict(image))
    assert 0.25 < matrix.miou < 0.4


@pytest.mark.slow
def test_a_scene_of_256_pixels_takes_25_ms():
    spent = []
    for index in range(20):
        started = time.process_time()
        render_scene(np.random.default_rng(index), size=256)
        spent.append(time.process_time() - started)
    assert np.quantile(spent, 0.25) < 0.025  # the quicker ones: others may share the processor
