"""The error tree: what went wrong, what to do about it, and the exit code it ends in."""

from __future__ import annotations


class RssegError(Exception):
    """An error that a user can cause and mend; the command line prints it without a traceback.

    Args:
        message: what is wrong, naming the file or setting and what came.
        hint: what to do about it, in the imperative; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DataError(RssegError):
    """Images, masks or a data set that cannot be used as they are."""


class ModelError(RssegError):
    """A model file that cannot be read, or that does not fit what was asked of it."""


class ConfigError(RssegError):
    """A setting or a command line that does not make sense."""

    exit_code = 2


class MissingExtraError(RssegError):
    """A command that needs an optional part of the installation, or with an empty `extra` a part of the base."""

    exit_code = 2

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(
            f"this needs the package `{package}`, which is not installed",
            hint=f"pip install 'rsseg-tf[{extra}]'" if extra else f"pip install {package.replace('_', '-')}",
        )


class CheckFailedError(RssegError):
    """A result that exists but does not hold what was asked of it."""

    exit_code = 3
