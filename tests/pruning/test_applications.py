"""The law on every convolutional network of keras.applications."""

import keras
import numpy as np
import pytest

from rsseg_tf import pruning
from tests.pruning.law import check_law, distance, random_inputs, run

FAST = {
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "MobileNetV2": 32,
    "ResNet50V2": 32,
}
SLOW = {
    "ConvNeXtTiny": 32,
    "ConvNeXtSmall": 32,
    "DenseNet169": 32,
    "DenseNet201": 32,
    "EfficientNetB1": 32,
    "EfficientNetB2": 32,
    "EfficientNetB3": 32,
    "EfficientNetB4": 32,
    "EfficientNetB5": 32,
    "EfficientNetB6": 32,
    "EfficientNetB7": 32,
    "EfficientNetV2B0": 32,
    "EfficientNetV2B1": 32,
    "EfficientNetV2B2": 32,
    "EfficientNetV2B3": 32,
    "EfficientNetV2L": 32,
    "EfficientNetV2M": 32,
    "EfficientNetV2S": 32,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 32,
    "MobileNetV3Large": 32,
    "MobileNetV3Small": 32,
    "NASNetLarge": 32,
    "NASNetMobile": 32,
    "ResNet101": 32,
    "ResNet101V2": 32,
    "ResNet152": 32,
    "ResNet152V2": 32,
    "ResNet50": 32,
    "VGG16": 32,
    "VGG19": 32,
    "Xception": 71,
}
"""Name → smallest legal input. ConvNeXtBase and wider differ from ConvNeXtSmall in width only."""


def build(name, size):
    function = getattr(keras.applications, name)
    return function(weights=None, classes=10, classifier_activation=None, input_shape=(size, size, 3))


@pytest.mark.parametrize("name", FAST)
def test_law_holds(name):
    law = check_law(build(name, FAST[name]))
    assert law.holds, law
    assert law.removed_params > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_law_holds_for_every_other_network(name, tmp_path):
    model = build(name, SLOW[name])
    law = check_law(model)
    assert law.holds, law
    slim = pruning.rebuild(model, pruning.random_plan(pruning.find_groups(model), seed=0))
    slim.save(tmp_path / "slim.keras")
    x = random_inputs(model)
    assert distance(run(slim, x), run(keras.saving.load_model(tmp_path / "slim.keras"), x)) < 1e-5
    assert not np.isnan(run(slim, x)[0]).any()
