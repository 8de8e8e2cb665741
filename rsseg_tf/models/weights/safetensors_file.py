"""`.safetensors` files: a JSON header and the tensors behind it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError
from rsseg_tf.models.weights.published import FETCH_AGAIN
from rsseg_tf.models.weights.torch_file import from_bfloat16

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U8": "<u1",
    "BOOL": "?",
}


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a `.safetensors` file by name.

    Raises:
        ModelError: if the file is damaged, or holds a data type that weights do not have.
    """
    try:
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        if len(content) < 8 + length:
            raise ValueError("it ends within its header")
        header = json.loads(content[8 : 8 + length])
        data = memoryview(content)[8 + length :]
        return {name: _tensor(name, facts, data) for name, facts in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"cannot read `{path}` as safetensors: {error}", hint=FETCH_AGAIN) from error


def _tensor(name: str, facts: Mapping[str, Any], data: memoryview) -> NDArray[Any]:
    kind, shape = facts["dtype"], tuple(facts["shape"])
    begin, end = facts["data_offsets"]
    if kind not in _DTYPES:
        raise ValueError(f"`{name}` is of type {kind}")
    dtype = np.dtype(_DTYPES[kind])
    if not 0 <= begin <= end <= len(data) or end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"`{name}` has an invalid offset for shape {shape}")
    values = np.frombuffer(data[begin:end], dtype).reshape(shape)
    return from_bfloat16(values) if kind == "BF16" else values.copy()
