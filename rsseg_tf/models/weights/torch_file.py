"""PyTorch's `.pth` files, read without PyTorch: their pickles can build tensors and containers, and nothing else.

Both layouts are known: the zip archive that PyTorch writes since 1.6 (`data.pkl` and one member a storage) and the
older chain of pickles with the storages behind them.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError, first_line
from rsseg_tf.models.weights.published import FETCH_AGAIN

Array = NDArray[Any]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
"""PyTorch's storage type → how its elements lie in the file; NumPy has no bfloat16, whose bits are read as integers."""


class _StorageType(NamedTuple):
    """Stands for one of PyTorch's storage classes. A pickle can set nothing on a tuple."""

    name: str


@dataclass
class _Storage:
    """Elements that tensors are views of; of the older layout they come after the tensors."""

    kind: str
    count: int
    data: bytes | None = None

    def elements(self) -> Array:
        if self.data is None:
            raise pickle.UnpicklingError("a tensor without its values")
        elements = np.frombuffer(self.data, _DTYPES[self.kind])
        if len(elements) != self.count:
            raise pickle.UnpicklingError(f"{len(elements)} values where {self.count} were declared")
        return from_bfloat16(elements) if self.kind == "BFloat16Storage" else elements


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage: what a pickle says about a tensor."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> Array:
        """Return the tensor's values, after checking that all of them lie inside the storage."""
        elements = self.storage.elements()
        if len(self.shape) != len(self.strides) or min((self.offset, *self.shape, *self.strides)) < 0:
            raise pickle.UnpicklingError("a tensor with impossible sizes")
        if 0 in self.shape:
            return np.zeros(self.shape, elements.dtype)
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if last >= len(elements) or math.prod(self.shape) > len(elements):
            raise pickle.UnpicklingError("a tensor that reaches beyond its storage")
        strides = [stride * elements.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(elements[self.offset :], self.shape, strides).copy()


def from_bfloat16(bits: Array) -> NDArray[np.float32]:
    """Return the float32 values of bfloat16 bits in uint16: the upper half of a float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def read_torch_file(path: Path) -> Any:
    """Return what a `.pth` file holds, with NumPy arrays for tensors.

    Returns:
        The pickled object: usually a dict of names and arrays, or a checkpoint with such a dict inside.

    Raises:
        ModelError: if the file is damaged, or its pickle asks for anything but tensors and plain containers.
    """
    try:
        found = _read_archive(path) if zipfile.is_zipfile(path) else _read_legacy(path)
        return _with_arrays(found)
    except ModelError:
        raise
    except Exception as error:  # A damaged pickle may raise anything, from EOFError to MemoryError.
        reason = first_line(error)
        raise ModelError(f"cannot read `{path}` as a PyTorch state dict: {reason}", hint=FETCH_AGAIN) from error


class _Unpickler(pickle.Unpickler):
    """Builds what a state dict is made of and refuses every other name."""

    def __init__(self, stream: IO[bytes], *, path: Path, storage: Callable[..., _Storage]) -> None:
        super().__init__(stream, encoding="utf-8")
        self._path = path
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if module in {"torch", "torch.storage"} and name in _DTYPES:
            return _StorageType(name)
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise ModelError(
            f"`{self._path}` asks for `{module}.{name}`, which no tensor needs; it was not run",
            hint="use a file of weights alone, written by torch.save(model.state_dict(), FILE)",
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _location, count, *_view = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise pickle.UnpicklingError("a reference to something that is not a storage")
        return self._storage(str(key), storage_type.name, int(count))


def _read_archive(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        members = {name.partition("/")[2]: name for name in archive.namelist()}
        if "data.pkl" not in members:
            raise pickle.UnpicklingError("no `data.pkl` in the archive")
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise pickle.UnpicklingError("its members are compressed, which PyTorch does not do")
        if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
            raise pickle.UnpicklingError("its byte order is not little-endian")

        def storage(key: str, kind: str, count: int) -> _Storage:
            return _Storage(kind, count, archive.read(members[f"data/{key}"]))

        with archive.open(members["data.pkl"]) as stream:
            return _Unpickler(stream, path=path, storage=storage).load()


def _read_legacy(path: Path) -> Any:
    storages: dict[str, _Storage] = {}

    def storage(key: str, kind: str, count: int) -> _Storage:
        return storages.setdefault(key, _Storage(kind, count))

    with path.open("rb") as stream:
        header = [_Unpickler(stream, path=path, storage=storage).load() for _ in range(3)]
        if header[0] != _LEGACY_MAGIC:
            raise pickle.UnpicklingError("not a file of PyTorch's")
        found = _Unpickler(stream, path=path, storage=storage).load()
        keys = _Unpickler(stream, path=path, storage=storage).load()
        for key in keys:
            one = storages[key]
            size = int.from_bytes(stream.read(8), "little")
            one.data = stream.read(size * np.dtype(_DTYPES[one.kind]).itemsize)
    return found


def _with_arrays(value: Any) -> Any:
    if isinstance(value, _Tensor):
        return value.array()
    if isinstance(value, Mapping):
        return {name: _with_arrays(item) for name, item in value.items()}
    return value


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_gradients: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _rebuild_parameter(data: Any, *_gradients: Any) -> Any:
    return data


class _Maker(NamedTuple):
    """A function that a pickle may call; unlike the function itself, the pickle can set nothing on it."""

    function: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _Maker(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Maker(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): _Maker(_rebuild_parameter),
    ("torch", "Size"): tuple,
}
"""What a pickle may name, besides storage types → what it gets."""
