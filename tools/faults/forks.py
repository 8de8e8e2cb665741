"""Commands of rsseg-tf in forked children of a process that has imported all and used nothing yet."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsseg_tf.cli.main import main
from tools.faults.trap import Fault, Trap, heed_protection

_LIMIT_S = 1200.0
_MOMENT_S = 0.005
_STOPPED_S = 1.0
"""A longer time between two moments is none that the command had: another measurement has stopped both of us."""
_DATE = time.struct_time((2026, 1, 1, 0, 0, 0, 3, 1, 0))


@dataclass(frozen=True)
class Ending:
    """How a command ended: its exit code, negative for a signal, what it said, and the changes that were counted."""

    code: int
    said: str
    seconds: float
    changes: int

    @property
    def last(self) -> str:
        """What it said at the end."""
        return self.said.strip()[-1500:]


class Running:
    """A command that was started in `folder`."""

    def __init__(self, words: Sequence[str], folder: Path, fault: Fault | None = None) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="said")  # outside of what may be full
        self._words = list(words)
        self._started = time.monotonic()
        self._pid = os.fork()
        if self._pid == 0:
            self._be_child(folder, fault)

    def ended(self, *, kill_after_s: float | None = None, meanwhile: Callable[[], object] = bool) -> Ending:
        """Wait for the end; after so many seconds it comes by SIGKILL. Every few milliseconds `meanwhile` is called."""
        left_s = _LIMIT_S if kill_after_s is None else kill_after_s
        left_s, before = left_s - (time.monotonic() - self._started), time.monotonic()
        found, status = os.waitpid(self._pid, os.WNOHANG)
        while not found:
            now = time.monotonic()
            left_s, before = left_s - min(now - before, _STOPPED_S), now
            if left_s <= 0:
                os.kill(self._pid, signal.SIGKILL)
                found, status = os.waitpid(self._pid, 0)
                break
            meanwhile()
            time.sleep(_MOMENT_S)
            found, status = os.waitpid(self._pid, os.WNOHANG)
        place = Path(self._scratch.name)
        said = (place / "said").read_text(errors="replace")
        counted = (place / "changes").read_text() if (place / "changes").exists() else ""
        self._scratch.cleanup()
        return Ending(os.waitstatus_to_exitcode(status), said, time.monotonic() - self._started, int(counted or -1))

    def _be_child(self, folder: Path, fault: Fault | None) -> None:
        code = 99
        place = Path(self._scratch.name)
        try:
            handle = os.open(place / "said", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            for number in (1, 2):
                os.dup2(handle, number)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            os.chdir(folder)
            sys.argv = ["rsseg-tf", *self._words]
            _stop_the_calendar()
            counter = os.open(place / "changes", os.O_CREAT | os.O_WRONLY)
            heed_protection()
            trap = Trap(fault) if fault else None
            if trap:
                trap.arm()
            code = main(self._words)
            os.write(counter, str(trap.changes if trap else 0).encode())
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)


def run(words: Sequence[str], folder: Path, fault: Fault | None = None, *, kill_after_s: float | None = None) -> Ending:
    """Run a command to its end."""
    return Running(words, folder, fault).ended(kill_after_s=kill_after_s)


def import_all(*, with_tensorflow: bool) -> None:
    """Import what commands need, so that children begin at once."""
    import rsseg_tf.inference.folders

    for name in ("rasterio", "pyogrio", "shapely"):
        __import__(name)
    if with_tensorflow:
        import rsseg_tf.steps.ablate  # noqa: F401


def _stop_the_calendar() -> None:
    """Have files of the same content the same bytes: zip archives, .keras and others, hold when they were made."""
    time.localtime = lambda *_: _DATE
    saving = sys.modules.get("keras.src.saving.saving_lib")
    if saving is not None:
        saving.datetime = _Calendar


class _Calendar:
    class datetime:
        @staticmethod
        def now() -> _Calendar.datetime:
            return _Calendar.datetime()

        def strftime(self, _pattern: str) -> str:
            return "2026-01-01"
