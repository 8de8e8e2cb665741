"""Every enlargement is by a power of two, whatever the size: other factors are wrong by kernels without floats."""

import pytest
from keras import layers

from rsseg_tf.models.bilateral import bisenet
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.models.lite_aspp import lr_aspp
from rsseg_tf.models.segformer import segformer_b0
from rsseg_tf.models.shelf import shelfnet18

NETWORKS = {
    "deeplab": deeplab_v3_plus,
    "deeplab with image pooling": lambda **given: deeplab_v3_plus(image_pooling=True, output_stride=8, **given),
    "bisenet": bisenet,
    "shelfnet": lambda **given: shelfnet18(**given),
    "lr_aspp": lr_aspp,
    "segformer": segformer_b0,
}


@pytest.mark.parametrize("size", [(64, 64), (540, 960), (97, 131)])
@pytest.mark.parametrize("name", NETWORKS)
def test_enlargements_are_by_powers_of_two_and_then_cropped(name, size):
    model = NETWORKS[name](num_classes=4, input_shape=(*size, 3))
    assert model.output_shape[1:3] == size
    assert not [layer for layer in model.layers if isinstance(layer, layers.Resizing)]
    factors = [
        factor
        for layer in model.layers
        if isinstance(layer, layers.UpSampling2D) and layer.input.shape[1:3] != (1, 1)
        for factor in layer.size
    ]
    assert factors
    assert all(factor & (factor - 1) == 0 for factor in factors)
