"""What an ONNX file says about itself: to our own programs, and to QGIS' plugin Deepness, which GeoDeep follows.

Deepness (github.com/PUTvision/qgis-plugin-deepness) reads each value as JSON. It cuts square tiles of `resolution`
centimeters a pixel, divides them by 255, standardizes them, and takes the largest of the output's channels.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rsseg_tf.errors import ModelError
from rsseg_tf.inference.runtimes.seal import BLANK, SEAL
from rsseg_tf.tflite.metadata import METADATA_NAME, ModelMetadata


def describe(model: Any, metadata: ModelMetadata) -> None:
    """Write what is known of an ONNX model into it, in place of what was there, and leave a place for its checksum."""
    values = {**deepness_values(metadata), METADATA_NAME: asdict(metadata)}
    del model.metadata_props[:]
    for name, value in values.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, json.dumps(value)
    entry = model.metadata_props.add()
    entry.key, entry.value = SEAL, BLANK


def deepness_values(metadata: ModelMetadata) -> dict[str, Any]:
    """Return what Deepness asks of a model by name; nothing for a network that its tiles do not fit."""
    if not_for_deepness(metadata):
        return {}
    side = metadata.input_size[0]
    bands = len(metadata.bands) or 3
    resolution = {"resolution": 100 * metadata.ground_sampling_distance_m}
    return {
        "model_type": "Segmentor",
        "class_names": {str(number): name for number, name in enumerate(metadata.class_names)},
        **(resolution if metadata.ground_sampling_distance_m else {}),
        "tiles_size": side,
        "tile_size": side,  # what its code asks for, where its page says `tiles_size`
        "tiles_overlap": round(100 * metadata.overlap / side),
        "standardization_mean": [0.0] * bands,
        "standardization_std": [1.0] * bands,
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }


def not_for_deepness(metadata: ModelMetadata) -> str:
    """Return why Deepness cannot run a network; empty where it can."""
    height, width = metadata.input_size
    if height != width:
        return f"its tiles are square, the network sees {height}×{width}"
    if metadata.fitting != "crop":
        return "it cuts tiles, the network sees whole images resized"
    if metadata.scale:
        return "it shows 8-bit values, the network's are scaled from others"
    return ""


def checked(model: Any) -> Any:
    """Return an ONNX model that the checker of ONNX finds valid, its shapes included.

    Raises:
        ModelError: if it does not.
    """
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # of several kinds, among them its C++ side's
        raise ModelError(f"the ONNX graph is not valid: {str(error).splitlines()[0]}") from error
    return model
