"""A training's whole state in one file that is replaced as a whole, so that a killed run goes on exactly."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsseg_tf.errors import RssegError
from rsseg_tf.runs import atomic_path

_INFO = "info"


def save_arrays(path: Path, variables: Sequence[Any], info: Mapping[str, Any]) -> None:
    """Write the values of Keras `variables`, in their order, and a JSON mapping `info`."""
    arrays: dict[str, Any] = {f"a{index}": np.asarray(variable) for index, variable in enumerate(variables)}
    arrays[_INFO] = np.array(json.dumps(dict(info)))
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def load_arrays(path: Path, variables: Sequence[Any]) -> dict[str, Any]:
    """Assign the values that `save_arrays` wrote to `variables` and return its `info`.

    Raises:
        RssegError: the file is damaged or belongs to other variables.
    """
    try:
        with np.load(path) as stored:
            info: dict[str, Any] = json.loads(str(stored[_INFO]))
            arrays = [stored[f"a{index}"] for index in range(len(stored.files) - 1)]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RssegError(f"cannot read the state `{path}`: {error}", hint="--overwrite starts anew") from error
    shapes = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in arrays] != shapes:
        raise RssegError(f"the state `{path}` belongs to another network", hint="--overwrite starts anew")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return info
