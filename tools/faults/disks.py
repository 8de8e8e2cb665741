"""Small file systems in memory, so that "no space left" comes from the kernel: to libraries in C as to Python."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_NEW_MOUNTS, _REMOUNT, _PRIVATE = 0x20000, 0x20, 0x4000 | 1 << 18
_DETACH = 2

PAGE = 4096
"""What a file system in memory counts in, in bytes."""


def may_mount() -> bool:
    """Return whether this process may mount file systems; from then on it does so for itself and its children alone."""
    with contextlib.suppress(OSError):
        _called("unshare", _NEW_MOUNTS)
        _called("mount", b"none", b"/", None, _PRIVATE, None)
        return True
    return False


@contextlib.contextmanager
def small_disk(folder: Path, *, size: int) -> Iterator[None]:
    """Mount an empty file system of so many bytes on a folder, for as long as the block runs.

    Raises:
        OSError: if that is not allowed; see `may_mount`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _called("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", 0, _size(size))
    try:
        yield
    finally:
        _called("umount2", os.fsencode(folder), _DETACH)


def resize(folder: Path, *, size: int) -> None:
    """Give the file system that is mounted on a folder another size, in bytes."""
    _called("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", _REMOUNT, _size(size))


def used(folder: Path) -> int:
    """Return the bytes in use on the file system of a folder."""
    return shutil.disk_usage(folder).used


def _size(size: int) -> bytes:
    return f"size={-(-size // PAGE) * PAGE}".encode()


def _called(name: str, *words: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*words):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
