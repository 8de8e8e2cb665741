"""`rsseg-tf` commands that a tool runs one after another."""

from __future__ import annotations

import subprocess
import sys
import time

import click

from rsseg_tf.errors import RssegError


def command(*words: str) -> str:
    """Run `rsseg-tf` in a process of its own, so that no job inherits anything, and return what it prints.

    Raises:
        RssegError: if it failed; its message stands on stderr.
    """
    result = subprocess.run(
        [sys.executable, "-m", "rsseg_tf.cli.main", *words], stdout=subprocess.PIPE, text=True, check=False
    )
    if result.returncode:
        raise RssegError(f"`rsseg-tf {' '.join(words)}` ended with {result.returncode}", hint="see its message above")
    return result.stdout


def log(text: str) -> None:
    """Print a line with the time of day on stderr."""
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)
