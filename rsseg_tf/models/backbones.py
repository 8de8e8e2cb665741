"""The one door to backbones: our own by name, those of keras.applications and keras_cv by theirs."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from rsseg_tf.config.parsing import nearest
from rsseg_tf.errors import ConfigError, ModelError, first_line
from rsseg_tf.models.backbone import IMAGENET, Backbone, ChannelNormalization, Features, even_normalization
from rsseg_tf.models.inlined import inlined
from rsseg_tf.models.inverted_residual import efficientnet_lite0, mobilenet_v2
from rsseg_tf.models.resnet import resnet18, resnet34, resnet50, resnet101

BACKBONES: Mapping[str, Backbone] = {
    "resnet18": Backbone(resnet18),
    "resnet34": Backbone(resnet34),
    "resnet50": Backbone(resnet50),
    "resnet101": Backbone(resnet101),
    "mobilenet_v2": Backbone(mobilenet_v2),
    "efficientnet_lite0": Backbone(efficientnet_lite0, even_normalization(127, 128)),
}
"""Name → backbone."""

APPLICATIONS = "keras.applications."
KERAS_CV = "keras_cv."

_TO_ONE = even_normalization(127.5, 127.5)
_NONE = even_normalization(0, 1)
_CAFFE = ChannelNormalization((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3)
_EFFICIENTNET_B = ChannelNormalization(
    tuple(mean * (1 - math.sqrt(std)) for mean, std in zip(IMAGENET.mean, IMAGENET.std, strict=True)),
    tuple(math.sqrt(std) / 255 for std in IMAGENET.std),
)
"""Makes up for a layer, x / √std, that Keras puts into these networks only where it fetches their weights itself."""

_APPLICATION_NORMALIZATIONS = (
    (("EfficientNetB",), _EFFICIENTNET_B),
    (("VGG", "ResNet50", "ResNet101", "ResNet152"), _CAFFE),
    (("DenseNet",), IMAGENET),
    (("MobileNetV3", "EfficientNet", "ConvNeXt"), _NONE),
)
"""Beginnings of names → what `preprocess_input` of their modules does, where it is not (pixel − 127.5) / 127.5."""


def find_backbone(name: str) -> Backbone:
    """Return the backbone of a name in `BACKBONES`, `keras.applications.NAME` or `keras_cv.PRESET`.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    if name.startswith(APPLICATIONS) and callable(_application(name)):
        return Backbone(functools.partial(_inlined_features, name), _application_normalization(name))
    if name.startswith(KERAS_CV):
        return Backbone(functools.partial(_inlined_features, name), _NONE)
    known = (*BACKBONES, f"{APPLICATIONS}NAME", f"{KERAS_CV}PRESET")
    meant = _meant(name)
    suggestion = f"did you mean `{meant}`? " if meant else ""
    raise ConfigError(f"unknown backbone `{name}`", hint=f"{suggestion}known: {', '.join(known)}")


def _meant(name: str) -> str | None:
    """Return the backbone that a wrong name comes nearest to, with or without its library."""
    theirs = {base: f"{APPLICATIONS}{base}" for base in dir(keras.applications) if callable(_application(base))}
    if name.casefold().startswith(APPLICATIONS):
        base = nearest(name[len(APPLICATIONS) :], theirs)
        return theirs[base] if base else None
    meant = nearest(name, (*BACKBONES, *theirs))
    return theirs.get(meant, meant) if meant else None


def is_inlined(name: str) -> bool:
    """Return whether a backbone is a model of another library."""
    return name.startswith((APPLICATIONS, KERAS_CV))


def check_width(name: str, width: float) -> None:
    """Check that there is a backbone of that name and width.

    Raises:
        ConfigError: if there is none.
    """
    find_backbone(name)
    check_above_0(width)
    if width != 1 and name not in BACKBONES and not _takes_width(name):
        others = [f"{APPLICATIONS}{base}" for base in dir(keras.applications) if _takes_width(f"{APPLICATIONS}{base}")]
        raise ConfigError(
            f"`{name}` comes in one width, got `model.width` {width:g}",
            hint=f"leave it at 1, or take one of {', '.join((*BACKBONES, *others))}",
        )


def check_above_0(width: float) -> None:
    """Check that a backbone can be of a width.

    Raises:
        ConfigError: if it is 0 or less.
    """
    if width <= 0:
        raise ConfigError(f"the width of a backbone must be above 0, got {width:g}")


def _takes_width(name: str) -> bool:
    """Return whether a backbone of keras.applications comes in several widths, which it calls `alpha`."""
    build = _application(name) if name.startswith(APPLICATIONS) else None
    return callable(build) and "alpha" in inspect.signature(build).parameters


def takes_bgr(name: str) -> bool:
    """Return whether published weights of a backbone expect blue first, as those that came from Caffe do."""
    return name.startswith(APPLICATIONS) and find_backbone(name).normalization == _CAFFE


def source_model(
    name: str, input_shape: tuple[int, int, int], *, imagenet: bool = False, width: float = 1.0
) -> keras.Model:
    """Return the other library's own model of a backbone, without its classifier.

    Args:
        name: `keras.applications.NAME` or `keras_cv.PRESET`.
        input_shape: height, width and 3.
        imagenet: fetch its ImageNet weights.
        width: the library's own `alpha`, where it has one.

    Raises:
        ConfigError: if the library has no such model, or not of that width.
        ModelError: if the model cannot be built at this size, or cannot be fetched.
    """
    check_width(name, width)
    own: dict[str, Any] = {"alpha": width} if _takes_width(name) else {}
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras tells there of what it fetches.
            if name.startswith(APPLICATIONS):
                build = _application(name)
                return build(
                    weights="imagenet" if imagenet else None, include_top=False, input_shape=input_shape, **own
                )
            return _keras_cv_model(name.removeprefix(KERAS_CV), input_shape, imagenet=imagenet)
    except (ConfigError, ModelError, ModuleNotFoundError):
        raise
    except Exception as error:  # Other libraries' code, and a network that may be closed.
        reason = first_line(error)
        raise ModelError(
            f"`{name}` cannot be built for {input_shape[0]}×{input_shape[1]} pixels: {reason}",
            hint=_remedy(name, imagenet=imagenet),
        ) from error


def _remedy(name: str, *, imagenet: bool) -> str:
    """Return what to do where another library's model cannot be built."""
    if name.startswith(KERAS_CV) and Path(name.removeprefix(KERAS_CV)).is_dir():
        files = "config.json and model.weights.h5" if imagenet else "config.json"
        return f"the folder must hold {files} of a keras_cv backbone, as save_to_preset writes them"
    if imagenet:
        return "where the network is closed, fetch the file elsewhere and give model.weights=PATH"
    if name.startswith(KERAS_CV):
        return "where the network is closed, give a folder with the preset's files as keras_cv.FOLDER"
    return "give a data.input_size that it takes, or another model.backbone"


def _inlined_features(name: str, x: keras.KerasTensor, *, output_stride: int, width: float = 1.0) -> Features:
    return inlined(x, source_model(name, (*x.shape[1:3], 3), width=width), output_stride=output_stride)


def _application(name: str) -> Any:
    """Return the function of keras.applications, None where it has none of that name."""
    base = name.removeprefix(APPLICATIONS)
    return getattr(keras.applications, base, None) if base[:1].isupper() else None


def _application_normalization(name: str) -> ChannelNormalization:
    base = name.removeprefix(APPLICATIONS)
    if base.endswith("V2") and base.startswith("ResNet"):
        return _TO_ONE
    for beginnings, normalization in _APPLICATION_NORMALIZATIONS:
        if base.startswith(beginnings):
            return normalization
    return _TO_ONE


def _is_kind_of(value: object, kind: type) -> bool:
    return isinstance(value, type) and issubclass(value, kind)


def _keras_cv_model(preset: str, input_shape: tuple[int, int, int], *, imagenet: bool) -> keras.Model:
    import keras_cv  # A second and more to import, for this alone.

    backbone = keras_cv.models.Backbone
    kinds: list[Any] = [kind for kind in vars(keras_cv.models).values() if _is_kind_of(kind, backbone)]
    known = {name: facts for kind in kinds for name, facts in kind.presets.items()}
    presets = {name: facts["kaggle_handle"] for name, facts in known.items() if "kaggle_handle" in facts}
    if preset not in presets and not Path(preset).is_dir():
        meant = nearest(preset, presets)
        suggestion = f"did you mean `{KERAS_CV}{meant}`? " if meant else ""
        raise ConfigError(
            f"keras_cv has no backbone preset `{preset}`",
            hint=f"{suggestion}known: a folder with a preset's files, or {', '.join(sorted(presets))}",
        )
    return backbone.from_preset(presets.get(preset, preset), load_weights=imagenet, input_shape=input_shape)
