"""Segmentation networks as flat Keras graphs: a backbone and a head on it, with weights from elsewhere."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsseg_tf.models.architectures import ARCHITECTURES, network
    from rsseg_tf.models.backbones import BACKBONES
    from rsseg_tf.models.bilateral import bisenet
    from rsseg_tf.models.deeplab import deeplab_v3_plus
    from rsseg_tf.models.lite_aspp import lr_aspp
    from rsseg_tf.models.segformer import segformer_b0
    from rsseg_tf.models.shelf import shelfnet18
    from rsseg_tf.models.weights.pretrained import initialize, load_keras_model, load_segmenter
else:
    from rsseg_tf.lazy import offering

    __getattr__, __dir__ = offering(
        __name__,
        {
            "architectures": ["ARCHITECTURES", "network"],
            "backbones": ["BACKBONES"],
            "bilateral": ["bisenet"],
            "deeplab": ["deeplab_v3_plus"],
            "lite_aspp": ["lr_aspp"],
            "segformer": ["segformer_b0"],
            "shelf": ["shelfnet18"],
            "weights.pretrained": ["initialize", "load_keras_model", "load_segmenter"],
        },
    )

__all__ = [
    "ARCHITECTURES",
    "BACKBONES",
    "bisenet",
    "deeplab_v3_plus",
    "initialize",
    "load_keras_model",
    "load_segmenter",
    "lr_aspp",
    "network",
    "segformer_b0",
    "shelfnet18",
]
