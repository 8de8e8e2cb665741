"""A proof that a model file can be loaded and run, before the native library sees it in this process.

The native interpreter checks a file's structure but trusts what is in it: one flipped bit can end the
process. A file whose seal says that it is byte for byte what the export wrote is trusted (a few milliseconds);
any other is loaded and run once in a child process (a fifth of a second on a desktop), whose crash is an
ordinary error here. With a delegate every file is: a library that was built for another runtime crashes too.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rsseg_tf.errors import ModelError, RssegError
from rsseg_tf.tflite import interpreter
from rsseg_tf.tflite.metadata import verify_seal

_TIMEOUT_S = 300
_checked: set[tuple[str, str, int, int]] = set()


def check_loads(path: Path, content: bytes, *, delegate: Path | None = None) -> None:
    """Return if the file `path` loads and runs; it is tried at most once in a process.

    Args:
        path: the model file.
        content: its bytes.
        delegate: the delegate's shared library that the file needs.

    Raises:
        ModelError: the file differs from what was exported, or the interpreter refuses it, crashes, or does
            not come back.
    """
    status = path.stat()
    key = (str(path.resolve()), str(delegate or ""), status.st_size, status.st_mtime_ns)
    if key in _checked or not sys.executable:
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
    command = [sys.executable, "-m", "rsseg_tf.tflite.guard", str(path), *([str(delegate)] if delegate else [])]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"`{path}` did not run once within {_TIMEOUT_S} s") from error
    if child.returncode == 0:
        return
    if delegate:
        reason = child.stdout.strip() or f"`{path}` crashes the interpreter on the delegate `{delegate}`"
        raise ModelError(reason, hint="was the library built for another runtime? see docs/edge.md")
    reason = child.stdout.strip() or f"`{path}` crashes the interpreter"
    raise ModelError(reason, hint="copy the file again, or export the model again")


def main(arguments: list[str]) -> int:
    """Load and run one file; print why when it fails."""
    path, *rest = arguments
    try:
        native = interpreter.open_interpreter(Path(path), threads=1, delegate=Path(rest[0]) if rest else None)
        interpreter.invoke(native, path=Path(path))
    except RssegError as error:
        sys.stdout.write(error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
