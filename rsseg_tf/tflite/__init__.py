"""A `.tflite` file taken apart, described, and run by the native interpreter."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsseg_tf.tflite.flatbuffer import read_model
    from rsseg_tf.tflite.graph import TFLiteModel
    from rsseg_tf.tflite.inspection import inspect_tflite
    from rsseg_tf.tflite.metadata import ModelMetadata, embed_metadata, read_metadata
else:
    from rsseg_tf.lazy import offering

    __getattr__, __dir__ = offering(
        __name__,
        {
            "flatbuffer": ["read_model"],
            "graph": ["TFLiteModel"],
            "inspection": ["inspect_tflite"],
            "metadata": ["ModelMetadata", "embed_metadata", "read_metadata"],
        },
    )

__all__ = ["ModelMetadata", "TFLiteModel", "embed_metadata", "inspect_tflite", "read_metadata", "read_model"]
