import numpy as np
import pytest

from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.models.pretrained import initialise, load_keras_model


def test_weights_are_taken_over_by_name_where_shapes_agree(tmp_path):
    source = deeplab_v3_plus("resnet18", 3, (64, 64, 3))
    source.save(tmp_path / "source.keras")
    model = deeplab_v3_plus("resnet18", 5, (96, 64, 3))
    before = model.get_layer("classifier").get_weights()[0]

    copied = initialise(model, str(tmp_path / "source.keras"))

    assert copied > 40
    np.testing.assert_array_equal(
        model.get_layer("stem_conv").get_weights()[0], source.get_layer("stem_conv").get_weights()[0]
    )
    np.testing.assert_array_equal(model.get_layer("classifier").get_weights()[0], before)


def test_weights_of_another_backbone_are_refused(tmp_path):
    deeplab_v3_plus("resnet50", 3, (64, 64, 3)).save(tmp_path / "r50.keras")

    with pytest.raises(ModelError, match=r"only [\d,]+ of the [\d,]+ weights"):
        initialise(deeplab_v3_plus("resnet18", 3, (64, 64, 3)), str(tmp_path / "r50.keras"))


def test_no_weights_change_nothing():
    assert initialise(deeplab_v3_plus("resnet18", 3, (64, 64, 3)), "none") == 0


def test_an_unknown_source_is_a_configuration_error():
    with pytest.raises(ConfigError, match="imagenat"):
        initialise(deeplab_v3_plus("resnet18", 3, (64, 64, 3)), "imagenat")


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 not really")

    with pytest.raises(ModelError, match=r"broken\.keras"):
        load_keras_model(tmp_path / "broken.keras")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.keras"):
        load_keras_model(tmp_path / "nowhere.keras")
