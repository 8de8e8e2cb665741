"""Layers of other libraries that are known by module and name: nothing of theirs is imported.

If a library moves one, its layers have no row any more and nothing else breaks.
"""

from __future__ import annotations

DROP_PATHS = (
    *(f"keras_hub.src.models.{place}.DropPath" for place in ("mit.mit_layers", "mobilenetv5.mobilenetv5_layers")),
    "keras_hub.src.models.swin_transformer.swin_transformer_layers.DropPath",
    "keras_hub.src.models.dinov2.dinov2_layers.DINOV2DropPath",
    "keras_hub.src.models.dinov3.dinov3_layers.DINOV3DropPath",
    "keras_cv.src.layers.regularization.drop_path.DropPath",
)
"""Layers that pass on what they get, or in training sometimes nothing."""

AFFINE = "keras_hub.src.models.hgnetv2.hgnetv2_layers.HGNetV2LearnableAffineBlock"
"""One scale and one offset for all channels."""

CLASSES = (*DROP_PATHS, AFFINE)
"""Module and name of every class of another library that a table of ours has a row for."""
