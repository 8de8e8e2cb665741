"""Files that appear whole or not at all, and a manifest that says how they came about."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rsseg_tf.errors import ConfigError, RssegError, system_hint

MANIFEST = "manifest.json"
CONFIG = "config.yaml"

TEMPORARY = ".rsseg-"
"""Prefix of files that are being written; a kill can leave them, and the next who writes to the folder removes them."""

_ASKING = threading.Lock()

_REPORTED_PACKAGES = (
    "rsseg-tf",
    "tensorflow",
    "keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "numpy",
    "opencv-python-headless",
)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends without an error.

    The temporary name keeps the suffix of `path`, since writers choose their format by it.

    Raises:
        RssegError: if the folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(path.parent.resolve())
        handle, temporary = _held_file(path)
    except OSError as error:
        hint = system_hint(error, otherwise="choose another --out")
        raise RssegError(f"cannot write `{path}`: {error.strerror or error}", hint=hint) from error
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _flush(temporary)
        temporary.replace(path)
    except OSError as error:
        hint = system_hint(error, otherwise="is the disk full?")
        raise RssegError(f"cannot write `{path}`: {error.strerror or error}", hint=hint) from error
    finally:
        with contextlib.suppress(OSError):  # the folder was protected on the way; the next process sweeps it
            temporary.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Delete what a kill left half-written in a folder; what is still being written stays."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError), leftover.open("rb") as stream:
            if _lock(stream.fileno()):
                leftover.unlink(missing_ok=True)


@functools.cache
def _sweep_once(folder: Path) -> None:
    """Delete leftovers the first time that this process writes to a folder: thousands of files may follow."""
    remove_leftovers(folder)


def _held_file(path: Path) -> tuple[int | None, Path]:
    """Return a new temporary file beside `path`, and a handle that tells other processes that it is in use.

    On Windows, which renames no file that is open, there is no handle.
    """
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY, suffix=path.suffix)
        if os.name == "nt":
            os.close(handle)
            return None, Path(name)
        _lock(handle)
        if Path(name).exists():  # else another process took it for a leftover before it was locked
            return handle, Path(name)
        os.close(handle)


def _lock(handle: int) -> bool:
    """Return whether an open file is now ours alone; where files cannot be locked, it is taken to be."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # Windows, and file systems without locks
        return True
    return True


def require_output(path: Path, *, kinds: Sequence[str], reads: Iterable[Path] = ()) -> None:
    """Check that a command may write a file: it does not read it, and no file of another kind lies there.

    Args:
        path: the file.
        kinds: suffixes of what the command writes, such as `.tflite`.
        reads: files that the command reads.

    Raises:
        ConfigError: if it may not.
    """
    if not path.exists():
        return
    if path.is_dir():
        raise ConfigError(f"`{path}` is a folder", hint=f"give the name of a {kinds[0]} file")
    if path.suffix.lower() not in kinds:
        raise ConfigError(f"`{path}` is there already and not a {kinds[0]} file", hint="choose another name")
    for source in reads:
        if source.exists() and path.samefile(source):
            raise ConfigError(f"`{path}` is what the command reads", hint="choose another name")


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, which appears whole or not at all.

    What is no UTF-8 in the name of a file is written as JSON escapes it.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, whole or not at all; numbers that are not finite become null."""
    write_text(path, json.dumps(json_ready(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def json_ready(value: Any) -> Any:
    """Return `value` with null for NaN and infinite numbers, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def require_regular(path: Path) -> None:
    """Check that a path, or what it links to, is a file with an end.

    Raises:
        OSError: if it is not there, or a pipe or device, which may be read without end.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        code, what = (errno.EISDIR, "it is a folder") if stat.S_ISDIR(mode) else (errno.EINVAL, "it is no file")
        raise OSError(code, what, str(path))


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: if it cannot be read, or is a pipe or device, whose bytes may have no end.
    """
    require_regular(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class RunManifest:
    """How a run's outputs came about; its file is written last, so its presence says that the run is whole.

    Attributes:
        command: the command line.
        seed: the seed of everything random.
        inputs: path → SHA-256 of the files that were read (of a data set: of its listing).
        outputs: name in the run folder → SHA-256.
        results: the figures that the run printed.
        versions: package → version.
        machine: processor and Python.
        git: commit and whether the tree differed from it; empty outside a repository.
    """

    command: tuple[str, ...]
    seed: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    results: Mapping[str, Any]
    versions: Mapping[str, str] = field(default_factory=lambda: package_versions())
    machine: Mapping[str, str] = field(
        default_factory=lambda: {"cpu": cpu_model(), "python": platform.python_version()}
    )
    git: Mapping[str, Any] = field(default_factory=lambda: git_state())


def write_manifest(
    folder: Path, *, seed: int, inputs: Mapping[str, str], outputs: Iterable[str], results: Mapping[str, Any]
) -> RunManifest:
    """Hash the named outputs of `folder` and write its manifest."""
    manifest = RunManifest(
        command=tuple(sys.argv),
        seed=seed,
        inputs=dict(inputs),
        outputs={name: file_hash(folder / name) for name in outputs},
        results=dict(results),
    )
    write_json(folder / MANIFEST, asdict(manifest))
    return manifest


def read_manifest(folder: Path) -> Mapping[str, Any] | None:
    """Return the manifest of a finished run, or None where there is none, or none that can be read."""
    try:
        loaded = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return loaded if isinstance(loaded, dict) else None


def package_versions() -> dict[str, str]:
    """Return the installed version of every package that a result may depend on."""
    versions = {}
    for package in _REPORTED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def cpu_model() -> str:
    """Return the processor's name as the kernel reports it, else the machine type."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    return platform.machine()


def git_state() -> dict[str, Any]:
    """Return the commit of the working tree that this package runs from, and whether it was changed since."""
    here = Path(__file__).parent
    if not (here.parent / ".git").exists():
        return {}
    git = shutil.which("git")
    if git is None:
        return {}
    commit = _output_of([git, "-C", str(here), "rev-parse", "HEAD"])
    changes = _output_of([git, "-C", str(here), "status", "--porcelain", "--untracked-files=no"])
    return {"commit": commit, "dirty": bool(changes)} if commit else {}


def _output_of(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip()


def _flush(path: Path) -> None:
    """Flush the file's bytes to the disk before its name appears there, so that a power cut leaves no empty file."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    with _ASKING:  # it is told only by changing it, for all threads
        current = os.umask(0)
        os.umask(current)
    return current
