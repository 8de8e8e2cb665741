"""Segmentation networks as flat Keras graphs: a backbone and DeepLabV3+ on it, with weights from elsewhere."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsseg_tf.models.backbones import BACKBONES
    from rsseg_tf.models.deeplab import deeplab_v3_plus
    from rsseg_tf.models.weights.pretrained import initialize, load_keras_model
else:
    from rsseg_tf.lazy import offering

    __getattr__, __dir__ = offering(
        __name__,
        {
            "backbones": ["BACKBONES"],
            "deeplab": ["deeplab_v3_plus"],
            "weights.pretrained": ["initialize", "load_keras_model"],
        },
    )

__all__ = ["BACKBONES", "deeplab_v3_plus", "initialize", "load_keras_model"]
