"""What goes wrong in a process, at the K-th time that it changes something in a folder.

It is killed before it renames or removes something, finds its disk full from then on, or its folders write-protected.
Only what Python does is counted: libraries in C meet full disks and protected folders all the same, but a kill waits
for the next change that Python makes.
"""

from __future__ import annotations

# It stands in the place of functions of os, and so speaks as they do.
# ruff: noqa: PTH100, PTH101, PTH115, PTH118
import builtins
import contextlib
import ctypes
import errno
import io
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

MOVES = ("replace", "rename", "unlink", "remove", "rmdir")
_GROWING = ("replace", "rename", "mkdir")
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAPABILITIES_V3 = 1, 2, 0x20080522


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and at which change, counted from 1; 0 for never, to count the changes.

    Attributes:
        kind: `kill` counts renames and removals; `full` and `protect` count whatever makes a folder larger.
        at: the change before which it happens.
        within: the folder whose changes count.
    """

    kind: Literal["kill", "full", "protect"]
    at: int
    within: Path


class Trap:
    """A fault that lies in wait in this process, once it is armed.

    Attributes:
        changes: how many were seen.
    """

    def __init__(self, fault: Fault) -> None:
        self.changes = 0
        self._fault = fault
        self._home = os.path.realpath(fault.within)

    def arm(self) -> None:
        """Put itself in the place of the functions that change folders."""
        if self._fault.kind == "kill":
            for name in MOVES:
                setattr(os, name, self._watched(getattr(os, name)))
            return
        for name in _GROWING:
            setattr(os, name, self._watched(getattr(os, name)))
        os.open = self._opening(os.open)
        os.fsync = self._flushing(os.fsync)
        builtins.open = io.open = self._writing(io.open)

    def happens(self, *paths: Any) -> None:
        """Count a change of paths, and spring if it is the one."""
        if not any(self._is_below(path) for path in paths):
            return
        self.changes += 1
        fault = self._fault
        if fault.kind == "kill" and self.changes == fault.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.kind == "full" and 0 < fault.at <= self.changes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(paths[-1]))
        if fault.kind == "protect" and self.changes == fault.at:
            protect(Path(self._home))

    def _is_below(self, path: Any) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        place, name = os.path.split(os.path.abspath(path))
        whole = os.path.join(os.path.realpath(place), name)
        return whole == self._home or whole.startswith(self._home + os.sep)

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*words: Any, **named: Any) -> Any:
            self.happens(*words)
            return function(*words, **named)

        return called

    def _opening(self, function: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *words: Any, **named: Any) -> int:
            if flags & os.O_CREAT:
                self.happens(path)
            return function(path, flags, *words, **named)

        return opened

    def _flushing(self, function: Callable[[int], None]) -> Callable[[int], None]:
        def flushed(handle: int) -> None:
            self.happens(f"/proc/self/fd/{handle}" if not isinstance(handle, int) else _path_of(handle))
            function(handle)

        return flushed

    def _writing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        trap = self

        class Raw(io.FileIO):
            def write(self, data: Any) -> Any:
                trap.happens(self.name)
                return super().write(data)

        def opened(file: Any, mode: str = "r", buffering: int = -1, *words: Any, **named: Any) -> Any:
            if not set(mode) & set("wax+") or not self._is_below(file):
                return function(file, mode, buffering, *words, **named)
            self.happens(file)
            raw = Raw(file, mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffer if "b" in mode else io.TextIOWrapper(buffer, *words, **named)

        return opened


def protect(folder: Path) -> None:
    """Keep a folder and all in it from being added to."""
    for place, _, _ in os.walk(folder):
        os.chmod(place, 0o555)


def unprotect(folder: Path) -> None:
    """Take the protection off."""
    os.chmod(folder, 0o755)
    for place, folders, _ in os.walk(folder):
        for name in folders:
            os.chmod(os.path.join(place, name), 0o755)


def heed_protection() -> bool:
    """Make this process respect write protection, root too, for good; return whether it does."""
    if os.geteuid() != 0:
        return True
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    sets = (ctypes.c_uint32 * 6)()
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.capget(header, sets):
            return False
        for number in range(3):  # effective, permitted, inheritable
            sets[number] &= ~(1 << _CAP_DAC_OVERRIDE | 1 << _CAP_DAC_READ_SEARCH)
        return libc.capset(header, sets) == 0
    return False


def _path_of(handle: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{handle}")
    except OSError:
        return ""
