"""A run's whole state in one file that is replaced as a whole, so that a killed run resumes exactly."""

from __future__ import annotations

import json
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import RssegError, first_line
from rsseg_tf.runs import atomic_path

_INFO = "info"
_DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, MemoryError, SyntaxError),
    OverflowError,
    *(struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""What NumPy and zipfile raise on files that are not as they were written."""


def save_arrays(path: Path, variables: Sequence[Any], info: Mapping[str, Any]) -> None:
    """Write the values of `variables` (Keras variables or arrays), in their order, and a JSON mapping `info`."""
    arrays: dict[str, Any] = {f"a{index}": np.asarray(variable) for index, variable in enumerate(variables)}
    arrays[_INFO] = np.array(json.dumps(dict(info)))
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def read_arrays(path: Path) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    """Return the values that `save_arrays` wrote, in their order, and its `info`.

    Raises:
        RssegError: if the file is damaged.
    """
    try:
        with path.open("rb") as stream, np.load(stream) as stored:
            info = json.loads(str(stored[_INFO]))
            if not isinstance(info, dict):
                raise ValueError("its description is no object")
            return [stored[f"a{index}"] for index in range(len(stored.files) - 1)], info
    except _DAMAGE as error:
        reason = first_line(error)
        raise RssegError(f"cannot read the state `{path}`: {reason}", hint="delete that file to start over") from error


def load_arrays(path: Path, variables: Sequence[Any]) -> dict[str, Any]:
    """Assign the values that `save_arrays` wrote to Keras `variables` and return its `info`.

    Raises:
        RssegError: if the file is damaged or belongs to other variables.
    """
    arrays, info = read_arrays(path)
    shapes = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in arrays] != shapes:
        raise RssegError(f"the state `{path}` belongs to another network", hint="delete that file to start over")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return info
