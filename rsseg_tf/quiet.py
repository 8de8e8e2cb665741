"""Silence from native libraries: they write to the file descriptor of stderr, past Python's `sys.stderr`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep stderr silent within the block, from Python and from C++; what was written before reaches it."""
    _flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        _flush()
        os.dup2(kept, 2)
        os.close(kept)


def _flush() -> None:
    """Send what Python still holds to where stderr leads now."""
    if sys.stderr is not None:
        with contextlib.suppress(ValueError):  # it is closed on Python's side
            sys.stderr.flush()
