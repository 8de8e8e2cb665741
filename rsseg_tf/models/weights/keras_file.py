"""Keras' `.h5` files of weights, read layer by layer without the model that wrote them.

The HDF5 library trusts what a file says: a damaged one can end the process, or never come back. So a file, and that
within a `.keras`, is read once in a process of its own before it is read in this one.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.child import prove, serve
from rsseg_tf.errors import ModelError
from rsseg_tf.models.weights.archive import WEIGHTS
from rsseg_tf.models.weights.published import FETCH_AGAIN

Arrays = list[NDArray[Any]]

TIMEOUT_S = 120
"""What a file may take to be read once."""


def read_keras_weights(path: Path) -> dict[str, Arrays]:
    """Return the weights of each layer in a `.weights.h5` file of Keras 3, or in an `.h5` file of Keras 1 and 2.

    Returns:
        Layer → its arrays in Keras' order. A layer's key is its name where the file says it (Keras since 3.10), else
        its type and number, such as `conv2d_3` for the fourth Conv2D of the model.

    Raises:
        ModelError: if the file is damaged, or of another kind.
    """
    require_readable(path, hint=FETCH_AGAIN)
    return _read(path)


def require_readable(path: Path, *, hint: str) -> None:
    """Check in a process of its own that the HDF5 library reads a file of weights, or that within a `.keras`.

    Raises:
        ModelError: if it does not, with this hint.
    """
    prove(
        "rsseg_tf.models.weights.keras_file",
        path,
        crash=f"`{path}` crashes the HDF5 library",
        late=f"`{path}` was not read within {TIMEOUT_S} s",
        hint=hint,
        most_s=TIMEOUT_S,
    )


def read_once(requests: Iterator[Path]) -> Iterator[dict[str, bool]]:
    """Read the file that is asked for, in the process of its own."""
    path = next(requests)
    if path.suffix == ".keras":
        _read_within(path)
    else:
        _read(path)
    yield {"is_read": True}


def _read_within(path: Path) -> None:
    """Read all arrays of the weights in a `.keras` file, as Keras does: where they lie, not unpacked."""

    def read(_name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            item[()]

    try:
        with zipfile.ZipFile(path) as archive, archive.open(WEIGHTS) as member, h5py.File(member) as file:
            file.visititems(read)
    except Exception as error:  # In a damaged file h5py raises what it comes across.
        raise ModelError(f"`{path}` is damaged: cannot read its `{WEIGHTS}`: {error}") from error


def _read(path: Path) -> dict[str, Arrays]:
    found: dict[str, Arrays] = {}

    def visit(name: str, group: Any) -> None:
        if not isinstance(group, h5py.Group) or not name.endswith("/vars") or len(group) == 0:
            return
        if name.startswith("optimizer"):
            return
        key = str(group.attrs.get("name", name.split("/")[-2]))
        found[key] = [np.asarray(group[str(index)]) for index in range(len(group))]

    try:
        with h5py.File(path) as file:
            file.visititems(visit)
            found.update(_of_keras_2(file))
    except Exception as error:  # In a damaged file h5py raises what it comes across.
        raise ModelError(f"cannot read `{path}` as Keras weights: {error}", hint=FETCH_AGAIN) from error
    if not found:
        raise ModelError(f"`{path}` holds no weights of Keras", hint="write it with model.save_weights")
    return found


def _of_keras_2(file: Any) -> dict[str, Arrays]:
    """Return the weights by layer as Keras 1 and 2 laid them out; none in other files."""
    layers = file.get("model_weights", file)
    names = {_text(name): layers[_text(name)] for name in layers.attrs.get("layer_names", ())}
    keys = {name: [_text(key) for key in group.attrs["weight_names"]] for name, group in names.items()}
    return {name: [np.asarray(names[name][key]) for key in some] for name, some in keys.items() if some}


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


if __name__ == "__main__":
    sys.exit(serve(read_once))
