"""The error tree: what went wrong, what to do about it, and the exit code it ends in."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping
from pathlib import Path


class RssegError(Exception):
    """An error that a user can cause and fix; the command line prints it without a traceback.

    Args:
        message: what is wrong, naming the file or setting and what was given.
        hint: what to do about it, in the imperative; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # Python programs see it at the end of a traceback


class DataError(RssegError):
    """Images, masks or a data set that cannot be used as they are."""


class ModelError(RssegError):
    """A model file that cannot be read, or that does not fit what was asked of it."""


class ConfigError(RssegError):
    """A setting or a command line that does not make sense."""

    exit_code = 2


class MissingExtraError(RssegError, ImportError):
    """Something that needs an optional part of the installation, or with an empty `extra` a part of the base."""

    exit_code = 2

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(
            f"this needs the package `{package}`, which is not installed",
            hint=f"pip install 'rsseg-tf[{extra}]'" if extra else f"pip install {package.replace('_', '-')}",
        )


class CheckFailedError(RssegError):
    """A result that exists but does not hold what was asked of it."""

    exit_code = 3


_EXTRA_OF_PACKAGE = {
    "tensorflow": "train",
    "keras": "train",
    "tf_keras": "train",
    "tensorflow_model_optimization": "train",
    "keras_cv": "train",
    "kagglehub": "train",
    "h5py": "train",
    "scipy": "train",
    "tensorboard": "train",
    "rasterio": "geo",
    "pyogrio": "geo",
    "shapely": "geo",
    "ai_edge_litert": "",
    "matplotlib": "report",
    "jinja2": "report",
    "av": "video",
}
"""Package → the extra that brings it; none for what the base brings where there is a wheel for the machine."""


@contextlib.contextmanager
def extras_named() -> Iterator[None]:
    """Name the extra to install where a package is missing; serves as a `with` block and as a decorator.

    Raises:
        MissingExtraError: in place of the ModuleNotFoundError about a package that an extra brings.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA_OF_PACKAGE:
            raise
        raise MissingExtraError(package, extra=_EXTRA_OF_PACKAGE[package]) from error


_RIGHTS = "give your user permission to read or write it, or use another place"
_DISK = "check the disk or the connection that it is on"

_SYSTEM_HINTS: Mapping[int | None, str] = {
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.ENOSPC: "free some space, or use another disk",
    errno.EDQUOT: "free some space, or use another disk",
    errno.EROFS: "use a folder on another disk: this one cannot be written",
    errno.EMFILE: "raise the number of files that a process may open: ulimit -n",
    errno.EIO: _DISK,
    errno.ESTALE: _DISK,
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ELOOP: "a link leads back to itself: remove it",
}


def system_hint(error: OSError, *, otherwise: str = "check the path") -> str:
    """Return what to do about an error of the operating system."""
    return _SYSTEM_HINTS.get(error.errno, otherwise)


def unreadable(path: Path, error: OSError) -> DataError:
    """Return the error about a file or folder that the operating system does not let us read."""
    return DataError(f"cannot read `{path}`: {error.strerror or error}", hint=system_hint(error))


def first_line(error: BaseException) -> str:
    r"""Return the first line of another library's error, or its type if it says nothing.

    Examples:
        >>> first_line(ValueError("no such layer\nat …"))
        'no such layer'
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
