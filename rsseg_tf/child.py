"""A process of its own for native code that is measured: requests are lines, answers are lines of JSON."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from rsseg_tf.errors import ModelError


class Child:
    """The near end of a child process that holds the model at `path`."""

    def __init__(self, path: Path, *, requests: IO[str], answers: IO[str]) -> None:
        self._path = path
        self._requests = requests
        self._answers = answers

    def ask(self, request: str) -> dict[str, Any]:
        """Send one line and return the answer to it.

        Raises:
            ModelError: the process answers with an error, or has ended.
        """
        with contextlib.suppress(BrokenPipeError):  # the missing answer is reported
            self._requests.write(f"{request}\n")
            self._requests.flush()
        return self.read()

    def end(self) -> None:
        """Say that there are no more requests."""
        self._requests.close()

    def read(self) -> dict[str, Any]:
        """The next answer.

        Raises:
            ModelError: it is an error, or the process has ended.
        """
        line = self._answers.readline()
        if not line:
            raise ModelError(f"`{self._path}` ended its benchmark process", hint="the interpreter crashed on it")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ModelError(answer["error"], hint=answer["hint"])
        return answer


@contextlib.contextmanager
def open_child(module: str, *arguments: str, path: Path) -> Iterator[Child]:
    """Run `python -m module arguments`; the process is ended with the block. `path` is the model that errors name."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process, cast("IO[str]", process.stdin) as requests, cast("IO[str]", process.stdout) as answers:
        try:
            yield Child(path, requests=requests, answers=answers)
        finally:
            process.kill()


def answer(values: dict[str, Any]) -> None:
    """In the child process: send an answer."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()
