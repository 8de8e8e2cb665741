"""Writes PyTorch's and safetensors' files with NumPy alone, and random arrays for a backbone in a library's names."""

from __future__ import annotations

import json
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from rsseg_tf.models.weights.names import Naming

_TYPES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}


class _Storage:
    """Persistent id of the elements of one tensor."""

    def __init__(self, key: str, array: np.ndarray) -> None:
        self.key, self.array = key, array


class _Pickler(pickle.Pickler):
    def __init__(self, stream, classes, *, legacy: bool) -> None:
        super().__init__(stream, protocol=2)
        self._classes, self._legacy = classes, legacy

    def persistent_id(self, value):
        if not isinstance(value, _Storage):
            return None
        facts = ("storage", self._classes[str(value.array.dtype)], value.key, "cpu", value.array.size)
        return (*facts, None) if self._legacy else facts


def _fake_torch() -> dict[str, types.ModuleType]:
    """Modules with PyTorch's names, so that the pickle names what PyTorch's would."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch._utils = utils
    for name in _TYPES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    utils._rebuild_tensor_v2 = lambda *arguments: arguments
    utils._rebuild_tensor_v2.__module__ = "torch._utils"
    utils._rebuild_tensor_v2.__qualname__ = utils._rebuild_tensor_v2.__name__ = "_rebuild_tensor_v2"
    return {"torch": torch, "torch._utils": utils}


class Tensor:
    def __init__(self, storage: _Storage, strides: tuple[int, ...], rebuild) -> None:
        self._arguments = (rebuild, (storage, 0, storage.array.shape, strides, False, OrderedDict()))

    def __reduce__(self):
        return self._arguments


def write_torch(path: Path, arrays: Mapping[str, np.ndarray], *, legacy: bool = False) -> Path:
    """Write a `.pth` file as torch.save does, in the zip layout or the one from before it."""
    modules = _fake_torch()
    torch = modules["torch"]
    classes = {kind: getattr(torch, name) for kind, name in _TYPES.items()}
    storages = [_Storage(str(number), np.array(array, order="C")) for number, array in enumerate(arrays.values())]
    tensors = OrderedDict(
        (
            name,
            Tensor(
                one, tuple(step // one.array.itemsize for step in one.array.strides), torch._utils._rebuild_tensor_v2
            ),
        )
        for name, one in zip(arrays, storages, strict=True)
    )
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        (_write_legacy if legacy else _write_archive)(path, tensors, storages, classes)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return path


def _write_archive(path, tensors, storages, classes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("archive/data.pkl", "w") as stream:
            _Pickler(stream, classes, legacy=False).dump(tensors)
        archive.writestr("archive/byteorder", "little")
        for one in storages:
            archive.writestr(f"archive/data/{one.key}", one.array.tobytes())


def _write_legacy(path, tensors, storages, classes) -> None:
    with path.open("wb") as stream:
        for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "type_sizes": {"short": 2}}):
            pickle.dump(value, stream, protocol=2)
        _Pickler(stream, classes, legacy=True).dump(tensors)
        pickle.dump([one.key for one in storages], stream, protocol=2)
        for one in storages:
            stream.write(struct.pack("<q", one.array.size) + one.array.tobytes())


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write a `.safetensors` file."""
    names = {"float32": "F32", "float16": "F16", "int64": "I64"}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        content = np.ascontiguousarray(array).tobytes()
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": names[str(array.dtype)], "shape": list(array.shape), "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def random_state(model: keras.Model, naming: Naming, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of a backbone in a library's names and layout, random, with what a classifier has beside them."""
    rng = np.random.default_rng(seed)
    state = {}
    for layer in model.layers:
        if layer.weights and layer.name.startswith(("stem", "stage")):
            for variable in layer.weights:
                value = rng.uniform(0.5, 1.5, variable.shape) if "kernel" not in variable.name else None
                if value is None:
                    fan_in = np.prod(variable.shape[:2] if "Depthwise" in type(layer).__name__ else variable.shape[:3])
                    value = rng.normal(0, fan_in**-0.5, variable.shape)
                if naming.is_torch and value.ndim == 4:
                    depthwise = "Depthwise" in type(layer).__name__
                    value = value.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
                state[naming.key(layer.name, variable.name)] = value.astype(np.float32)
    if naming.is_torch:
        state[f"{naming.head[0]}weight"] = np.zeros((4, 3), np.float32)
        state["bn1.num_batches_tracked"] = np.array(7)
    return state
