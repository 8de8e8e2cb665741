"""What tools that run `rsseg-tf` commands one after another have in common."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Collection

import click

from rsseg_tf.errors import ConfigError, RssegError


class CommandError(RssegError):
    """A command that failed; its message stands on stderr.

    Args:
        command: the command line.
        code: that it ended with.
    """

    def __init__(self, command: str, code: int) -> None:
        super().__init__(f"`{command}` ended with {code}", hint="see its message above")
        self.code = code


def command(*words: str) -> str:
    """Run `rsseg-tf` in a process of its own, so that no job inherits anything, and return what it prints.

    Raises:
        CommandError: if it failed.
    """
    result = subprocess.run(
        [sys.executable, "-m", "rsseg_tf.cli.main", *words], stdout=subprocess.PIPE, text=True, check=False
    )
    if result.returncode:
        raise CommandError(f"rsseg-tf {' '.join(words)}", result.returncode)
    return result.stdout


def log(text: str) -> None:
    """Print a line with the time of day on stderr."""
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


def chosen(words: str, known: Collection[str], *, what: str) -> list[str]:
    """Return the names that a comma-separated list has, all that are known where it is empty.

    Raises:
        ConfigError: if one of them is unknown; `what` is what messages call it.
    """
    names = [word.strip() for word in words.split(",") if word.strip()] or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"unknown {what} `{unknown[0]}`", hint=f"known: {', '.join(known)}")
    return names
