"""A proof that a model file can be loaded and run, before the native library sees it in this process.

The native interpreter checks a file's structure but trusts what is in it: one flipped bit can end the
process. A file whose seal says that it is byte for byte what the export wrote is trusted (a few milliseconds);
any other is loaded and run once in a child process (a fifth of a second on a desktop), whose crash is an
ordinary error here. With a delegate every file is: a library that was built for another runtime crashes too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from rsseg_tf.child import prove, serve
from rsseg_tf.errors import ModelError
from rsseg_tf.tflite import interpreter
from rsseg_tf.tflite.metadata import verify_seal

TIMEOUT_S = 300
"""What a file may take to be loaded and run once."""

_checked: set[tuple[str, str, int, int]] = set()


def check_loads(path: Path, content: bytes, *, delegate: Path | None = None) -> None:
    """Check that the file `path` loads and runs; it is tried at most once in a process.

    Args:
        path: the model file.
        content: its bytes.
        delegate: the delegate's shared library that the file needs.

    Raises:
        ModelError: if the file differs from what was exported, or the interpreter refuses it, crashes, or does
            not come back.
    """
    status = path.stat()
    key = (str(path.resolve()), str(delegate or ""), status.st_size, status.st_mtime_ns)
    if key in _checked:
        return
    if not _is_sealed(content, path) or delegate is not None:
        _try_in_child(path, delegate)
    _checked.add(key)


def _is_sealed(content: bytes, path: Path) -> bool:
    try:
        return verify_seal(content)
    except ModelError as error:
        raise ModelError(f"`{path}` is damaged: {error.message}", hint=error.hint) from error


def _try_in_child(path: Path, delegate: Path | None) -> None:
    hint = "copy the file again, or export the model again"
    crash, late = f"`{path}` crashes the interpreter", f"`{path}` did not run once within {TIMEOUT_S} s"
    if delegate:
        hint = "was the library built for another runtime? see docs/edge.md"
        crash += f" on the delegate `{delegate}`"

    prove("rsseg_tf.tflite.guard", (path, delegate), crash=crash, late=late, hint=hint, most_s=TIMEOUT_S)


def run_once(requests: Iterator[tuple[Path, Path | None]]) -> Iterator[dict[str, bool]]:
    """Load and run the file that is asked for, in the child process."""
    path, delegate = next(requests)
    interpreter.invoke(interpreter.open_interpreter(path, threads=1, delegate=delegate), path=path)
    yield {"runs": True}


if __name__ == "__main__":
    sys.exit(serve(run_once))
