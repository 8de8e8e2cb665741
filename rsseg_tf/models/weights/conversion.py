"""From a file's arrays to the weights of our backbone's layers, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError
from rsseg_tf.models.weights.names import Naming
from rsseg_tf.models.weights.widening import fitted

Arrays = Mapping[str, NDArray[Any]]

_LISTED = 6
_WRAPPERS = ("state_dict", "model_state", "model")
_PREFIX = "module."
_STATISTICS = "num_batches_tracked"
_ORDERED = {layers.Conv2D: "conv2d", layers.BatchNormalization: "batch_normalization"}


def state_dict(found: Any, *, path: object) -> dict[str, NDArray[Any]]:
    """Return the named arrays in what a checkpoint holds, without the prefix that data-parallel training adds.

    Raises:
        ModelError: if there are none, or one is not finite.
    """
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    arrays = {}
    if isinstance(found, Mapping):
        arrays = {str(name).removeprefix(_PREFIX): value for name, value in found.items() if hasattr(value, "shape")}
    if not arrays:
        raise ModelError(f"`{path}` holds no state dict", hint="write it with torch.save(model.state_dict(), FILE)")
    check_finite(arrays, path=path)
    return _keys_and_values_apart(arrays)


def _keys_and_values_apart(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Return arrays in which layers that make keys and values at once (`….kv`) are two, `….k` and `….v`."""
    found: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        layer, joined, variable = name.rpartition(".kv.")
        halves = np.split(array, 2) if joined and len(array) % 2 == 0 else []
        found |= {f"{layer}.{part}.{variable}": half for part, half in zip("kv", halves, strict=False)} or {name: array}
    return found


def check_finite(arrays: Arrays, *, path: object) -> None:
    """Check that all values of `arrays` are finite.

    Raises:
        ModelError: if some are not; it names the arrays and the file.
    """
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise ModelError(
            f"`{path}` holds values that are not finite, in {len(broken)} of {len(arrays)} arrays ({_some(broken)})",
            hint="use an earlier checkpoint",
        )


def convert(model: keras.Model, arrays: Arrays, namings: Sequence[Naming], *, path: object) -> Naming:
    """Set the weights of a model's backbone to those of a file.

    Args:
        model: its backbone's layers are changed in place, all of them or none. The first of them shares what it takes
            among the bands that it sees.
        arrays: the file's, by name.
        namings: the kinds of files that fit the backbone; the one that finds most is taken.
        path: of the file, for messages.

    Returns:
        The naming that fits.

    Raises:
        ModelError: if arrays are missing, too many, or of other shapes; all of them are counted and some named.
    """
    body = [layer for layer in model.layers if layer.weights and layer.name.startswith(("stem", "stage"))]
    known = [naming if naming.is_torch else _by_order(naming, body, arrays) for naming in namings]
    naming = max(known, key=lambda one: len(_wanted(body, one).keys() & arrays.keys()))
    wanted = _wanted(body, naming)
    missing = [key for key in wanted if key not in arrays]
    extra = [key for key in arrays if key not in wanted and not _is_head(key, naming)]
    found = {key: _as_ours(arrays[key], layer, naming) for key, (layer, _) in wanted.items() if key in arrays}
    first = next(iter(wanted))
    if first in found:
        found[first] = fitted(found[first], wanted[first][1].shape)
    misshaped = [
        f"{key} {found[key].shape} for {tuple(variable.shape)}"
        for key, (_, variable) in wanted.items()
        if key in found and found[key].shape != tuple(variable.shape)
    ]
    _complain({"missing": missing, "not known": extra, "of another shape": misshaped}, naming, path=path, model=model)
    for key, (_, variable) in wanted.items():
        variable.assign(found[key])
    return naming


def _wanted(body: Sequence[keras.Layer], naming: Naming) -> dict[str, tuple[keras.Layer, Any]]:
    return {naming.key(layer.name, variable.name): (layer, variable) for layer in body for variable in layer.weights}


def _by_order(naming: Naming, body: Sequence[keras.Layer], arrays: Arrays) -> Naming:
    """Return the naming of files that hold no layers' names: by type and number, in the order of the graph."""
    if naming.key(body[0].name, body[0].weights[0].name) in arrays:
        return naming
    numbers: dict[str, int] = {}
    modules = {}
    for layer in body:
        kind = _ORDERED.get(type(layer), layer.name)
        number = numbers[kind] = numbers.get(kind, -1) + 1
        modules[layer.name] = f"{kind}_{number}" if number else kind
    return replace(naming, module=modules.__getitem__)


def _is_head(key: str, naming: Naming) -> bool:
    return key.startswith(naming.head) or key.endswith(_STATISTICS)


def _as_ours(array: NDArray[Any], layer: keras.Layer, naming: Naming) -> NDArray[np.float32]:
    array = array.astype(np.float32)
    if naming.is_torch and array.ndim == 2:
        return array.T[None, None]
    if naming.is_torch and array.ndim == 4:
        return array.transpose((2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0))
    return array


def _complain(faults: Mapping[str, Sequence[str]], naming: Naming, *, path: object, model: keras.Model) -> None:
    said = [f"{len(names)} {what} ({_some(names)})" for what, names in faults.items() if names]
    if said:
        raise ModelError(
            f"`{path}`, read as weights of {naming.title}, does not fit `{model.name}`: {'; '.join(said)}",
            hint="give a file of the same backbone and width, or another model.backbone or model.width",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:_LISTED], *(["…"] if len(names) > _LISTED else [])])
