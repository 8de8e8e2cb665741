"""Run folders: files that appear whole or not at all, and a manifest that says how they came about."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rsseg_tf.config import same_settings
from rsseg_tf.errors import ConfigError, RssegError

MANIFEST = "manifest.json"
CONFIG = "config.yaml"

_TEMPORARY = ".rsseg-"
"""Prefix of files that are being written; a kill can leave them, and the next run of the folder removes them."""

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
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY, suffix=path.suffix)
    except OSError as error:
        raise RssegError(f"cannot write `{path}`: {error.strerror}", hint="choose another --out") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _flush(temporary)
        temporary.replace(path)
    except OSError as error:
        raise RssegError(f"cannot write `{path}`: {error.strerror or error}", hint="is the disk full?") from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what a kill left half-written in a folder that no other process writes to."""
    for leftover in folder.glob(f"{_TEMPORARY}*"):
        leftover.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, which appears whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
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
    """Return the manifest of a finished run, or None."""
    try:
        loaded: Mapping[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return loaded


@contextlib.contextmanager
def open_run(folder: Path, config_text: str, *, overwrite: bool = False) -> Iterator[bool]:
    """Make `folder` ready for a run with the configuration `config_text`.

    A run that fails before it has saved anything leaves no folder behind, and restores the one that it
    was to overwrite. One that may not be resumed, as its data are others, keeps its configuration.

    Yields:
        Whether an unfinished run of the same configuration lies there, to be resumed.

    Raises:
        ConfigError: if a finished run, an unfinished run of another configuration, or other files lie there.
    """
    replaced = folder.with_name(f"{_TEMPORARY}replaced-{folder.name}")
    if overwrite and folder.is_dir() and (folder / CONFIG).is_file():
        shutil.rmtree(replaced, ignore_errors=True)
        folder.rename(replaced)
    try:
        resumed = _check_run_folder(folder, config_text)
        before = (folder / CONFIG).read_text(encoding="utf-8") if resumed else config_text
        write_text(folder / CONFIG, config_text)
        try:
            yield resumed
        except ConfigError:
            write_text(folder / CONFIG, before)
            raise
    except BaseException:
        if folder.is_dir() and _contents(folder) <= {CONFIG}:
            shutil.rmtree(folder)
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise
    finally:
        if folder.exists():
            shutil.rmtree(replaced, ignore_errors=True)


def require_startable(folder: Path, config_text: str, *, overwrite: bool = False) -> None:
    """Check that `open_run` would open this folder; nothing is written.

    Raises:
        ConfigError: as `open_run`.
    """
    if not (overwrite and (folder / CONFIG).is_file()):
        _check_run_folder(folder, config_text)


def _check_run_folder(folder: Path, config_text: str) -> bool:
    """Return whether a run is to be resumed there; an error where none may be started."""
    if (folder / MANIFEST).exists():
        raise ConfigError(f"`{folder}` holds a finished run", hint="choose another --out, or --overwrite to start over")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"`{folder}` is a file", hint="choose another --out")
    if not folder.exists() or _contents(folder) <= {CONFIG}:
        return False
    if not (folder / CONFIG).exists():
        raise ConfigError(f"`{folder}` exists and is not a run folder", hint="choose another --out")
    if not same_settings((folder / CONFIG).read_text(encoding="utf-8"), config_text):
        raise ConfigError(
            f"`{folder}` holds an unfinished run with other settings",
            hint="repeat its command to resume it, choose another --out, or --overwrite to start over",
        )
    return True


def _contents(folder: Path) -> set[str]:
    """Return the names in a run folder, after removing what a kill left half-written."""
    remove_leftovers(folder)
    return {path.name for path in folder.iterdir()}


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
    current = os.umask(0)
    os.umask(current)
    return current
