"""`rsseg-tf prune --oracle` on a tiny network and generated scenes."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest
from keras import layers

from rsseg_tf.cli.main import main
from rsseg_tf.config import load_config
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.models.weights.pretrained import load_keras_model
from rsseg_tf.pruning import CRITERIA
from rsseg_tf.runs import file_hash
from rsseg_tf.steps.oracle import RANKINGS, format_criteria
from rsseg_tf.steps.shared.training_data import float_batches, training_schedule
from rsseg_tf.training.losses import cross_entropy
from tests.quantization.networks import randomize

SETTINGS = (
    *("data.name=scenes", "data.scenes.train=2", "data.scenes.val=1", "data.scenes.test=1", "data.scenes.size=64"),
    *("data.input_size=[32, 32]", "prune.batches=1", "prune.retrain.batch_size=2"),
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    x = inputs = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="stem_conv")(x)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_bn")(x))
    path = tmp_path / "tiny.keras"
    randomize(keras.Model(inputs, layers.Conv2D(6, 1, name="classifier")(x))).save(path)
    (path.parent / "config.yaml").write_text("{}\n")
    return path


def test_every_criterion_is_compared_under_every_normalization(model, capsys):
    assert main(["prune", str(model), "--oracle", "--oracle-groups", "0", "--json", *SETTINGS]) == 0
    result = json.loads(capsys.readouterr().out)

    assert (result["groups"], result["of_groups"], result["sha256"]) == (4, 4, file_hash(model))
    found = [(row["criterion"], row["normalize"]) for row in result["criteria"]]
    assert found == [(criterion, name) for criterion in CRITERIA for name in RANKINGS]
    text = format_criteria(result)
    assert text.startswith(f"4 of 4 groups of {model}, loss {result['loss']:.4f}\n")
    shown = [float(line.split("|")[3]) for line in text.splitlines()[4:]]
    assert shown == sorted(shown, reverse=True)
    assert len(shown) == len(found)


def test_the_true_change_is_that_of_the_masks_loss(model, capsys):
    config = load_config(overrides=[*SETTINGS, "prune.class_weights=none"])
    assert main(["prune", str(model), "--oracle", "--json", "prune.class_weights=none", *SETTINGS]) == 0
    dataset = open_dataset(config.data, seed=config.seed)
    schedule = training_schedule(dataset, config, config.prune.retrain)
    ((images, labels),) = float_batches(schedule, epoch=0, count=1)
    expected = float(cross_entropy()(labels, load_keras_model(model)(images)))

    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(expected, rel=1e-5)
