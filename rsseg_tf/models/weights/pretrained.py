"""Weights from elsewhere: another model of ours, PyTorch's and Keras' files, other libraries' own."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import tree
from numpy.typing import NDArray

from rsseg_tf.config.parsing import nearest
from rsseg_tf.errors import ConfigError, ModelError, first_line
from rsseg_tf.graphs import all_operations, refresh
from rsseg_tf.graphs.float32 import in_float32
from rsseg_tf.graphs.private import maker
from rsseg_tf.models.backbone import ChannelNormalization
from rsseg_tf.models.backbones import is_inlined, source_model, takes_bgr
from rsseg_tf.models.frame import NORMALIZE
from rsseg_tf.models.inlined import layer_names
from rsseg_tf.models.weights.archive import foreign_classes, require_archive
from rsseg_tf.models.weights.conversion import check_finite, convert, state_dict
from rsseg_tf.models.weights.keras_file import read_keras_weights, require_readable
from rsseg_tf.models.weights.names import NAMINGS
from rsseg_tf.models.weights.published import imagenet_file
from rsseg_tf.models.weights.safetensors_file import read_safetensors
from rsseg_tf.models.weights.torch_file import read_torch_file
from rsseg_tf.models.weights.widening import fitted
from rsseg_tf.tflite.ports import scores_among

Named = Mapping[str, Sequence[NDArray[Any]]]

_READERS: Mapping[str, Callable[[Path], Any]] = {
    ".pth": read_torch_file,
    ".pt": read_torch_file,
    ".safetensors": read_safetensors,
}
"""Suffix → what reads named arrays from a file."""

_KERAS = ".h5"
_AGAIN = "save it again with model.save"
_LAMBDA = "put a layer of Keras, such as Rescaling, or a class of your own in its place, and save the model again"
_REGISTER = (
    "build the model of Keras' own layers; or from Python: decorate the class with "
    "@keras.saving.register_keras_serializable(), import it, and call the functions of rsseg_tf (docs/python.md)"
)


def load_keras_model(path: Path) -> keras.Model:
    """Return the model in a `.keras` file, without its training state, in float32 whatever it was trained in.

    Raises:
        ModelError: if the file is missing, is not a `.keras` file, or needs code that is not available.
    """
    if not path.is_file():
        raise ModelError(f"no model at `{path}`", hint=_where_else(path))
    if path.suffix == ".tflite":
        raise ModelError(f"`{path}` is a TFLite file already", hint="give the .keras file that it was made from")
    require_archive(path)
    require_readable(path, hint=_AGAIN)
    try:
        model: keras.Model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises a dozen types here, from zipfile's to its own
        if foreign := foreign_classes(path):
            raise ModelError(
                f"`{path}` has layers of classes that are not Keras' own: {', '.join(foreign)}",
                hint=_missing(foreign) or _REGISTER,
            ) from error
        if "`Lambda`" in str(error):
            raise ModelError(
                f"`{path}` has a `Lambda` layer: Python code in a file is not run", hint=_LAMBDA
            ) from error
        reason = first_line(error)
        raise ModelError(f"cannot read `{path}` as a Keras model: {reason}", hint=_AGAIN) from error
    return in_float32(model)


def load_segmenter(path: Path, *, output: str | None = "") -> keras.Model:
    """Return the model in a `.keras` file with the one output that holds the classes; see `load_keras_model`.

    Args:
        path: the file.
        output: its name or number where the network has several; by default the only one as high and wide as the image;
            None for any of them, where time alone counts.

    Raises:
        ModelError: if the file cannot be read, or it is not clear which output is meant.
    """
    model = load_keras_model(path)
    if len(model.outputs) == 1 or len(model.inputs) != 1:
        return model
    sides = [tuple(each.shape[1:]) for each in model.outputs]
    names = _output_names(model)
    place = scores_among(
        dict(zip(names, sides, strict=True)),
        tuple(model.inputs[0].shape[1:3]),
        wanted=output,
        model=str(path),
        option="model.output=",
    )
    return keras.Model(model.inputs[0], model.outputs[place], name=model.name)


def _output_names(model: keras.Model) -> list[str]:
    """Return what the outputs are called; a name that several share has its number behind it."""
    names = [str(name) for name in model.output_names]
    if len(names) != len(model.outputs):
        names = [maker(each).name for each in model.outputs]
    return [name if names.count(name) == 1 else f"{name}_{place}" for place, name in enumerate(names)]


def _missing(foreign: Sequence[str]) -> str:
    """Return what to install where classes, as `module.Class`, are of packages that are not there."""
    packages = sorted({name.partition(".")[0] for name in foreign if "." in name} - {"__main__"})
    missing = [name for name in packages if name.isidentifier() and importlib.util.find_spec(name) is None]
    return f"pip install {' '.join(missing).replace('_', '-')}" if missing else ""


def initialize(
    model: keras.Model,
    weights: str,
    *,
    backbone: str = "resnet18",
    width: float = 1.0,
    classes: Sequence[int | None] | None = None,
) -> int:
    """Set weights of `model` to those of another model, and its first layer to the normalization that they expect.

    Args:
        model: from `rsseg_tf.models.deeplab.deeplab_v3_plus`; changed in place.
        weights: `none`; `imagenet` for published weights of the backbone; or a path. A `.keras` file, or the
            `.weights.h5` of such a model, gives its weights wherever a layer of the same name has the same shapes.
            Of `.pth`, `.safetensors` (torchvision's and timm's) and other `.h5` files (KerasHub's, and those of
            keras.applications and keras_cv for their backbones) the backbone takes all its weights. Where the model
            sees other bands than red, green and blue, its first convolution shares theirs; see `widening.band_shares`.
        backbone: the name that the model was built with.
        width: that of its backbone.
        classes: (`.keras` files) the number that each class of `model` has in the other one, None for one that it does
            not know, which keeps its weights; by default the same numbers, where there are as many.

    Returns:
        The number of layers that took over weights.

    Raises:
        ConfigError: if `weights` names nothing known, or weights that are not published at this width.
        ModelError: if the file cannot be fetched or read, holds values that are not finite, or does not fit.
    """
    if weights == "none":
        return 0
    path = Path(weights)
    if path.suffix == ".keras":
        source = {layer.name: layer.get_weights() for layer in load_keras_model(path).layers}
        if classes is not None and (head := _head(model)) in source:
            own = model.get_layer(head).get_weights()
            source[head] = [_renumbered(*pair, classes) for pair in zip(own, source[head], strict=True)]
        return _copy_by_name(model, source, path=path)
    if weights != "imagenet":
        _check_path(path)
    elif not is_inlined(backbone):
        path = imagenet_file(backbone, width=width)
    layers = read_keras_weights(path) if path.suffix == _KERAS else {}
    if _is_of_our_graph(model, layers):
        return _copy_by_name(model, layers, path=path)
    if is_inlined(backbone):
        return _from_library(model, weights, backbone, width)
    found = _flat(layers) if path.suffix == _KERAS else _READERS[path.suffix](path)
    return _from_arrays(model, state_dict(found, path=path), backbone, path=path)


def _check_path(path: Path) -> None:
    known_suffixes = (*_READERS, _KERAS)
    if path.suffix not in known_suffixes:
        known = ", ".join((".keras", *known_suffixes))
        meant = nearest(str(path), ("none", "imagenet"))
        raise ConfigError(
            f"`model.weights` must be `none`, `imagenet` or the path of a file ({known}), got `{path}`",
            hint=f"did you mean `{meant}`?"
            if meant
            else "write the weights as one of these: torch.save(model.state_dict(), 'FILE.pth') in PyTorch, "
            "model.save_weights('FILE.weights.h5') in Keras",
        )
    if not path.is_file():
        raise ModelError(f"no weights at `{path}`", hint=_where_else(path))


def _where_else(path: Path) -> str:
    """Return what to do about a file that is not at `path`."""
    if not path.parent.is_dir():
        return f"there is no folder `{path.parent.absolute()}`"
    meant = nearest(path.name, (file.name for file in path.parent.iterdir() if file.suffix == path.suffix))
    return f"did you mean `{path.parent / meant}`?" if meant else f"searched in `{path.parent.absolute()}`"


def _flat(layers: Named) -> dict[str, NDArray[Any]]:
    return {f"{layer}.{index}": array for layer, arrays in layers.items() for index, array in enumerate(arrays)}


def _from_arrays(model: keras.Model, arrays: Mapping[str, NDArray[Any]], backbone: str, *, path: Path) -> int:
    naming = convert(model, arrays, NAMINGS[backbone], path=path)
    _normalize_as(model, naming.normalization)
    return sum(layer.name.startswith(("stem", "stage")) for layer in model.layers if layer.weights)


def _from_library(model: keras.Model, weights: str, backbone: str, width: float) -> int:
    """Set the weights of keras.applications' or keras_cv's own model, layer by layer, and return of how many."""
    source = source_model(backbone, (*model.input_shape[1:3], 3), imagenet=weights == "imagenet", width=width)
    if weights != "imagenet":
        _load(source, Path(weights), backbone)
    return copy_inlined(model, source, bgr=takes_bgr(backbone))


def _load(source: keras.Model, path: Path, backbone: str) -> None:
    """Set the weights of another library's model to those of a file that Keras wrote."""
    if path.suffix != _KERAS:
        raise ModelError(
            f"`{path}` does not fit `{backbone}`, whose weights Keras writes",
            hint="give the .h5 file that the library publishes or save_weights writes",
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # It lists all that the error then says in short.
            source.load_weights(path)
    except Exception as error:  # Keras raises a dozen types here.
        reason = first_line(error).partition(" Example error")[0]
        raise ModelError(
            f"`{path}` does not fit `{backbone}`: {reason.rstrip('.:')}",
            hint="give the file of the same model without its classifier (`notop`), or another model.backbone or width",
        ) from error
    check_finite({variable.path: np.asarray(variable) for variable in source.weights}, path=path)


def copy_inlined(model: keras.Model, source: keras.Model, *, bgr: bool = False) -> int:
    """Set the weights of an inlined backbone to those of the model that it was made of.

    Args:
        model: with `source` inlined; changed in place.
        source: as `rsseg_tf.models.backbones.source_model` builds it.
        bgr: its first convolution expects blue first.

    Returns:
        The number of layers that took over weights.
    """
    names = layer_names(source)
    sources = [operation for operation in all_operations(source) if getattr(operation, "weights", ())]
    for number, operation in enumerate(sources):
        weights = operation.get_weights()
        if bgr and number == 0:
            weights[0] = weights[0][:, :, ::-1]
        layer = model.get_layer(names[id(operation)])
        own = [variable.shape for variable in layer.weights]
        layer.set_weights([fitted(array, shape) for array, shape in zip(weights, own, strict=True)])
        refresh(layer)
    return len(sources)


def _normalize_as(model: keras.Model, normalization: ChannelNormalization) -> None:
    layer = model.get_layer(NORMALIZE)
    seen = normalization.of(model.input_shape[-1])
    layer.scale, layer.offset = seen.scale, seen.offset


def _is_of_our_graph(model: keras.Model, found: Named) -> bool:
    own = {layer.name for layer in model.layers if layer.weights}
    return len(own & found.keys()) > len(own) / 2


def _head(model: keras.Model) -> str:
    """Return the name of the last layer with weights, whose filters are the classes."""
    operation = maker(model.outputs[0])
    while not getattr(operation, "weights", ()):
        operation = maker(tree.flatten(operation.input)[0])
    return str(operation.name)


def _renumbered(own: NDArray[Any], theirs: NDArray[Any], classes: Sequence[int | None]) -> NDArray[Any]:
    """Return an array whose last axis is the classes, with the values of those that another model knows."""
    found = own.copy()
    if own.shape[:-1] == theirs.shape[:-1]:
        for number, other in enumerate(classes):
            if other is not None:
                found[..., number] = theirs[..., other]
    return found


def _copy_by_name(model: keras.Model, source: Named, *, path: Path) -> int:
    check_finite(_flat(source), path=path)
    copied = copied_params = 0
    sees_bands = True  # up to the first kernel
    for layer in model.layers:
        own, theirs = layer.get_weights(), source.get(layer.name, [])
        if sees_bands and len(own) == len(theirs):
            theirs = [fitted(np.asarray(array), each.shape) for array, each in zip(theirs, own, strict=True)]
        sees_bands = sees_bands and not any(array.ndim > 1 for array in own)
        if own and [array.shape for array in own] == [np.shape(array) for array in theirs]:
            layer.set_weights(theirs)
            refresh(layer)
            copied, copied_params = copied + 1, copied_params + layer.count_params()
    if copied_params < model.count_params() / 2:
        raise ModelError(
            f"`{path}` fits only {copied_params:,} of the {model.count_params():,} weights of `{model.name}`",
            hint="use weights of a model with the same backbone and width",
        )
    return copied
