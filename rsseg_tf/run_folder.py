"""Folders of runs: one process at a time writes to one, and an earlier run goes only when the new one is whole."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rsseg_tf.config import same_settings
from rsseg_tf.errors import ConfigError, RssegError, system_hint
from rsseg_tf.runs import CONFIG, MANIFEST, TEMPORARY, read_manifest, remove_leftovers, write_json, write_text

UNFINISHED = "unfinished.json"
"""Says that a run of ours is under way; the manifest takes its place."""

RESUME_FILES = ("state.npz", "best.npz", "pruning.npz")
"""What only an unfinished run needs."""

RUN_FILES = ("model.keras", "log.csv", "plan.json", "pruning.csv", *RESUME_FILES)
"""What a run writes beside its settings, whether its manifest names it or not."""

_TENSORBOARD = "tensorboard/events.out.tfevents.*"


@dataclass(frozen=True)
class OpenRun:
    """A run that may write now.

    Attributes:
        folder: where to; another than the run's own while that one holds the run that is to be replaced.
        resumed: whether an unfinished run of the same configuration lies there.
    """

    folder: Path
    resumed: bool


@contextlib.contextmanager
def open_run(folder: Path, config_text: str, *, overwrite: bool = False) -> Iterator[OpenRun]:
    """Make `folder` ready for a run with the configuration `config_text`.

    A run that fails before it has saved anything leaves no folder behind. With `overwrite` a finished run, or one with
    other settings, is replaced: the new one is made in `FOLDER.new`, which takes the old one's place once it has its
    manifest. Files that we did not write move along.

    Yields:
        Where to write, and whether an unfinished run is to be resumed there.

    Raises:
        ConfigError: if a finished run, an unfinished run of another configuration, or other files lie there, or another
            process writes to it.
    """
    _finish_replacement(folder)
    place = _place(folder, config_text, overwrite=overwrite)
    with only_writer(place):
        try:
            remove_leftovers(place)
            if place != folder:
                _drop_other(place, config_text)
            _end(place)  # of a run that was killed after its manifest was written
            resumed = _check(place, config_text)
            before = (place / CONFIG).read_text(encoding="utf-8") if resumed else config_text
            write_json(place / UNFINISHED, {"command": sys.argv, "process": os.getpid()})
            write_text(place / CONFIG, config_text)
            try:
                yield OpenRun(place, resumed)
            except ConfigError:  # it may not be resumed after all, as its data are others
                write_text(place / CONFIG, before)
                raise
        except BaseException:
            _leave(place)
            raise
        _end(place)
        if (place / MANIFEST).exists() and place != folder:
            _replace(folder, place)


def require_startable(folder: Path, config_text: str, *, overwrite: bool = False) -> None:
    """Check that `open_run` would open this folder; nothing is written, but what a kill left in it is removed.

    Raises:
        ConfigError: as `open_run`.
    """
    place = _place(folder, config_text, overwrite=overwrite)
    if _has_ended(place):
        with only_writer(place):
            _end(place)
    if place == folder or not _is_ours(place):
        _check(place, config_text)
    if place != folder:
        _require_room(_beside(folder, "old"))


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes that ask for it from writing to it within the block; a kill lets go too.

    A folder that had to be made and in which nothing is written is removed again.

    Raises:
        ConfigError: if another process has it.
        RssegError: if it cannot be made.
    """
    is_new = _made(folder)
    try:
        with _locked(folder):
            yield
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # it holds something
                folder.rmdir()


def _made(folder: Path) -> bool:
    """Return whether a folder had to be made."""
    try:
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = system_hint(error, otherwise="choose another --out")
        raise RssegError(f"cannot write `{folder}`: {error.strerror}", hint=hint) from error
    return is_new


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another process writes to `{folder}`", hint="wait for it, or choose another --out"
            ) from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def remove_own(folder: Path, *patterns: str) -> None:
    """Delete the files in a folder that match patterns, and the folder where nothing else is in it."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _place(folder: Path, config_text: str, *, overwrite: bool) -> Path:
    """Return where a run is made: beside its folder while that one holds another of ours."""
    if not overwrite or not _is_ours(folder) or _is_same(folder, config_text):
        return folder
    return _beside(folder, "new")


def _is_ours(folder: Path) -> bool:
    if (folder / UNFINISHED).is_file() and (folder / CONFIG).is_file():
        return True
    manifest = read_manifest(folder) or {}
    return {"command", "outputs", "versions"} <= manifest.keys() and isinstance(manifest["outputs"], dict)


def _is_same(folder: Path, config_text: str) -> bool:
    """Return whether an unfinished run with these settings lies there."""
    config = folder / CONFIG
    if (folder / MANIFEST).exists() or not config.is_file():
        return False
    return same_settings(config.read_text(encoding="utf-8", errors="replace"), config_text)


def _check(folder: Path, config_text: str) -> bool:
    """Return whether a run is to be resumed there; an error where none may be started."""
    if (folder / MANIFEST).exists():
        hint = "choose another --out"
        if _is_ours(folder):
            hint += ", or --overwrite to replace it once the new one is whole"
        raise ConfigError(f"`{folder}` holds a finished run", hint=hint)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"`{folder}` is a file", hint="choose another --out")
    names = _names(folder)
    if not names or (UNFINISHED in names and names <= {CONFIG, UNFINISHED}):
        return False
    if not ({UNFINISHED, *RUN_FILES} & names and CONFIG in names):  # before there was a marker, runs had none
        raise ConfigError(f"`{folder}` exists and is not a run folder", hint="choose another --out")
    if not _is_same(folder, config_text):
        raise ConfigError(
            f"`{folder}` holds an unfinished run with other settings",
            hint="repeat its command to resume it, choose another --out, or --overwrite to start over",
        )
    return True


def _drop_other(place: Path, config_text: str) -> None:
    """Make room in a folder for a replacement that is of other settings than the one that was begun there."""
    if _is_ours(place) and not _is_same(place, config_text):
        remove_run(place)
        place.mkdir(exist_ok=True)


def holds_nothing(folder: Path) -> bool:
    """Return whether this is a folder, and nothing lies in it but what a kill left half-written."""
    return folder.is_dir() and not _names(folder)


def _names(folder: Path) -> set[str]:
    """Return what lies in a folder, without what a kill left half-written."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return {path.name for path in paths if not path.name.startswith(TEMPORARY)}


def _end(folder: Path) -> None:
    """Remove what only an unfinished run needs, once there is a manifest."""
    if _has_ended(folder):
        for name in (*RESUME_FILES, UNFINISHED):
            (folder / name).unlink(missing_ok=True)


def _has_ended(folder: Path) -> bool:
    return (folder / MANIFEST).exists() and (folder / UNFINISHED).exists()


def _leave(folder: Path) -> None:
    """Remove a folder after a failure if nothing was saved in it."""
    names = _names(folder)
    if UNFINISHED in names and names <= {CONFIG, UNFINISHED}:
        remove_own(folder, CONFIG, UNFINISHED)


def _finish_replacement(folder: Path) -> None:
    """Do what a kill kept a replacement from doing."""
    new, old = _beside(folder, "new"), _beside(folder, "old")
    if (new / MANIFEST).exists() and _is_ours(new):
        with only_writer(new):  # which has not ended while another process has it
            if (new / MANIFEST).exists():
                _replace(folder, new)
    elif folder.exists() and (_is_ours(old) or not any(path.is_file() for path in old.rglob("*"))):
        remove_run(old)


def _replace(folder: Path, new: Path) -> None:
    """Put a whole run in the place of an earlier one; what we did not write moves along."""
    old = _beside(folder, "old")
    _end(new)
    if folder.exists():
        if _is_ours(old):
            remove_run(old)
        _require_room(old)
        own = set(_own_files(folder))
        for path in sorted(folder.rglob("*")):
            target = new / path.relative_to(folder)
            if path.is_dir() and not path.is_symlink():
                continue
            if path not in own and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
        folder.rename(old)
    new.rename(folder)
    remove_run(old)


def _require_room(old: Path) -> None:
    """Check that what is replaced can be put at `old` for a moment."""
    if not _is_ours(old) and any(path.is_file() for path in old.rglob("*")):
        raise ConfigError(f"`{old}` is in the way", hint="move it elsewhere and run the command again")


def remove_run(folder: Path) -> None:
    """Delete what we wrote in a folder, and the folder where nothing else is in it."""
    for path in [*_own_files(folder)]:
        path.unlink(missing_ok=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            with contextlib.suppress(OSError):
                path.rmdir()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _own_files(folder: Path) -> Iterator[Path]:
    """Yield the files in the folder of a run that we wrote: of the run, of runs within it, exports of its model."""
    outputs = (read_manifest(folder) or {}).get("outputs", {})
    yield from (folder / name for name in (*RUN_FILES, *outputs) if _lies_in(folder, name))
    yield from folder.glob(_TENSORBOARD)
    for record in folder.glob("*.tflite.json"):
        yield from (record.with_suffix(""), record)
    for within in folder.iterdir() if folder.is_dir() else ():
        if within.is_dir() and not within.is_symlink() and _is_ours(within):
            yield from _own_files(within)
    # What says that the folder is ours comes last, so that a kill leaves it so.
    yield from (folder / name for name in (CONFIG, UNFINISHED, MANIFEST))


def _lies_in(folder: Path, name: str) -> bool:
    return (folder / name).is_file() and (folder / name).resolve().is_relative_to(folder.resolve())


def _beside(folder: Path, kind: str) -> Path:
    return folder.with_name(f"{folder.name}.{kind}")
