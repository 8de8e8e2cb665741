"""A network that begins with the weights of another one: the classes of the head are taken by their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rsseg_tf.config import load_config
from rsseg_tf.datasets.catalog import palette_of
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.steps.fit import build_model
from rsseg_tf.steps.shared.model_classes import keep_classes
from tests.quantization.networks import randomize

WORDS = ("data.name=scenes", "data.input_size=[64, 64]", "model.width=0.25", "model.backbone=efficientnet_lite0")
PALETTE = palette_of(load_config(overrides=WORDS).data)


def renamed(names: list[str]) -> Palette:
    return Palette(tuple(names), tuple((number, 0, 0) for number in range(len(names))))


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("source") / "model.keras"
    model = randomize(deeplab_v3_plus("efficientnet_lite0", PALETTE.num_classes, (64, 64, 3), width=0.25))
    model.save(path)
    keep_classes(path, PALETTE)
    return path


@pytest.mark.parametrize("new", [(), ("pond",)])
def test_classes_in_another_order_keep_their_filters_and_new_ones_are_named(source, new, capsys):
    names = [*new, *reversed([name.upper() for name in PALETTE.names])]
    config = load_config(overrides=[*WORDS, f"model.weights={source}"])
    before, after = (build_model(config, palette) for palette in (PALETTE, renamed(names)))

    pairs = zip(*(each.get_layer("classifier").get_weights() for each in (before, after)), strict=True)
    for theirs, ours in pairs:
        np.testing.assert_array_equal(ours[..., len(new) :], theirs[..., ::-1])
    said = capsys.readouterr().err
    assert ("begin with random weights: pond" in said) == bool(new)
