"""The README's recipe for one's own images, from its own YAML to the first command, and its example in Python."""

from __future__ import annotations

from pathlib import Path

import cv2
import keras
import numpy as np

from rsseg_tf.cli.main import main
from tests.pages import blocks, run_page

COLORS = np.array([[0x3C, 0x10, 0x98], [0x6E, 0xC1, 0xE4], [0xE2, 0xA9, 0x29]], np.uint8)


def test_the_readmes_settings_read_a_folder_of_pairs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ((_, settings),) = blocks("README.md", "yaml")
    Path("survey.yaml").write_text(settings)
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        Path("photos/survey", folder).mkdir(parents=True)
    for number in range(14):
        mask = COLORS[rng.integers(0, 3, (40, 40))]
        cv2.imwrite(f"photos/survey/images/{number}.jpg", rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
        cv2.imwrite(f"photos/survey/masks/{number}.png", mask[..., ::-1])

    assert main(["data", "check", "-c", "survey.yaml", "--json"]) == 0
    report = capsys.readouterr().out
    assert all(f'"{split}"' in report for split in ("train", "val", "test"))


def test_the_readmes_example_prunes_a_network(capsys):
    layers = keras.layers
    x = image = keras.Input((16, 16, 3))
    for width in (32, 64):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(width, 3, use_bias=False)(x)))
    model = keras.Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    batches = [(np.random.default_rng(0).random((4, 16, 16, 3), np.float32), np.arange(4))]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    names = run_page("README.md", capsys, model=model, batches=batches, loss=loss)

    assert names["slim"].count_params() < model.count_params()
