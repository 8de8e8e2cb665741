"""Prepared pairs change nothing in what a training sees and in what a model scores."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from rsseg_tf.config import AugmentConfig, Config, DataConfig, FitConfig, FolderConfig
from rsseg_tf.datasets import write_image
from rsseg_tf.datasets.prepared.store import PreparedDataset
from rsseg_tf.evaluation.data import data_for
from rsseg_tf.evaluation.scoring import evaluate
from rsseg_tf.inference.predict import TiledPredictor
from rsseg_tf.steps.shared.data import prepared_dataset, sound_dataset
from rsseg_tf.steps.shared.training_data import training_schedule
from tests.datasets.readers.layouts import write_csv

STRONG = AugmentConfig(scale=(0.7, 1.4), rotate_deg=180, color=0.2, blur_px=1.0, noise=3.0, erase=0.2)


@pytest.fixture
def survey(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for index, split in enumerate(("train", "train", "train", "val", "test")):
        size = (60 + 9 * index, 80 + 4 * index)
        write_image(tmp_path / f"survey/i{index}.png", rng.integers(0, 256, (*size, 3), np.uint8))
        write_image(tmp_path / f"survey/m{index}.png", rng.integers(0, 2, size, np.uint8))
        rows.append(f"i{index}.png,m{index}.png,{split}")
    write_csv(tmp_path / "survey/splits.csv", *rows)
    return tmp_path


def config(survey: Path, *, fitting: str, cache_dir: str) -> Config:
    data = DataConfig(
        name="folder",
        root=str(survey / "survey"),
        folder=FolderConfig(pairs="splits.csv", classes={"a": "0", "b": "1"}),
        input_size=(32, 48),
        fitting=fitting,
        cache_dir=str(survey / cache_dir) if cache_dir else "",
    )
    return Config(data=data, fit=FitConfig(batch_size=2, augment=STRONG, class_sampling=0.5))


@pytest.mark.parametrize("fitting", ["crop", "resize"])
def test_a_training_sees_the_same_batches(survey, fitting):
    seen = []
    for cache_dir in ("", "cache", "cache"):
        settings = config(survey, fitting=fitting, cache_dir=cache_dir)
        schedule = training_schedule(sound_dataset(settings)[0], settings, settings.fit)
        seen.append(list(schedule.first_batches(0, 4)))

    for other in seen[1:]:
        for (image, mask), (other_image, other_mask) in zip(seen[0], other, strict=True):
            np.testing.assert_array_equal(image, other_image)
            np.testing.assert_array_equal(mask, other_mask)


def test_inputs_tell_files_apart_that_have_one_size_prepared_or_not(survey):
    write_csv(survey / "survey/splits.csv", "i0.png,m0.png,train", "i3.png,m3.tif,val")
    plain = (cv2.IMWRITE_TIFF_COMPRESSION, 1)
    found = []
    for value in (0, 1):
        cv2.imwrite(str(survey / "survey/m3.tif"), np.full((87, 92), value, np.uint8), plain)
        inputs = [sound_dataset(config(survey, fitting="crop", cache_dir=each))[1] for each in ("", "cache")]
        assert inputs[0] == inputs[1]
        found.append(inputs[0])
    assert {name for name in found[0] if found[0][name] != found[1][name]} == {"content:val"}


@pytest.mark.parametrize("fitting", ["crop", "resize"])
def test_a_model_scores_the_same(survey, fitting):
    settings = config(survey, fitting=fitting, cache_dir="cache")
    direct = sound_dataset(config(survey, fitting=fitting, cache_dir=""))[0]
    prepared = prepared_dataset(settings)
    predictor = TiledPredictor(
        infer=lambda images: np.stack([images[..., 0] < 128, images[..., 1] < 100], axis=-1).astype(np.float32),
        palette=direct.palette,
        input_size=(32, 48),
        fitting=fitting,
    )

    assert isinstance(prepared, PreparedDataset)
    assert evaluate(predictor, prepared, "test") == evaluate(predictor, direct, "test")
    assert prepared.fingerprint("train") == direct.fingerprint("train")


@pytest.mark.parametrize(
    ("fitting", "size", "used"),
    [("crop", (32, 48), False), ("resize", (32, 48), True), ("resize", (64, 64), False)],
)
def test_resized_pairs_serve_only_a_model_that_looks_at_that_size(survey, fitting, size, used):
    data = config(survey, fitting="resize", cache_dir="cache").data
    direct = sound_dataset(config(survey, fitting="resize", cache_dir=""))[0]
    predictor = TiledPredictor(lambda images: images, direct.palette, input_size=size, fitting=fitting)

    assert bool(data_for([predictor], data).cache_dir) == used


def test_whole_pairs_serve_models_of_every_size(survey):
    data = config(survey, fitting="crop", cache_dir="cache").data
    direct = sound_dataset(config(survey, fitting="crop", cache_dir=""))[0]
    predictor = TiledPredictor(lambda images: images, direct.palette, input_size=(64, 64), fitting="crop")

    assert data_for([predictor], data) == data
