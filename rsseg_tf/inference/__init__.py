"""From images, mosaics and videos of any size to class maps."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsseg_tf.datasets.images.channels import Channels
    from rsseg_tf.inference.folders import predict_files
    from rsseg_tf.inference.predict import (
        ForeignModel,
        Predictor,
        Products,
        TiledPredictor,
        open_predictor,
        with_overlap,
    )
    from rsseg_tf.inference.runner import TFLiteRunner
    from rsseg_tf.inference.video import VideoSettings, predict_video
    from rsseg_tf.tflite.ports import Normalization
else:
    from rsseg_tf.lazy import offering

    __getattr__, __dir__ = offering(
        __name__,
        {
            "folders": ["Channels", "predict_files"],
            "predict": ["ForeignModel", "Predictor", "Products", "TiledPredictor", "open_predictor", "with_overlap"],
            "runner": ["Normalization", "TFLiteRunner"],
            "video": ["VideoSettings", "predict_video"],
        },
    )

__all__ = [
    "Channels",
    "ForeignModel",
    "Normalization",
    "Predictor",
    "Products",
    "TFLiteRunner",
    "TiledPredictor",
    "VideoSettings",
    "open_predictor",
    "predict_files",
    "predict_video",
    "with_overlap",
]
